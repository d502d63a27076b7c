"""The video VAE's encoder and decoder (docs/model/video-vae.md), trainable, with the checkpoint's names.

Both take and give clips as [batch, channels, frames, height, width], and latents as the transformer sees them.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from latents import CHANNELS, USED

PATCH = 4
DECODER_BASE = 8
DECODER_BLOCKS = [
    ["res_x", {"num_layers": 1}],
    ["compress_space", {"multiplier": 3}],
    ["res_x", {"num_layers": 1}],
    ["compress_time", {"multiplier": 1}],
    ["res_x", {"num_layers": 1}],
    ["compress_all", {"multiplier": 2}],
    ["res_x", {"num_layers": 1}],
    ["compress_all", {"multiplier": 2}],
    ["res_x", {"num_layers": 1}],
]
"""As in the config of the program's demo model (model-spec/src/ltx/demo): in the encoder's order, applied in reverse."""
ENCODER_BASE = 12
ENCODER_BLOCKS = [
    ["res_x", {"num_layers": 1}],
    ["compress_space_res", {"multiplier": 4}],
    ["res_x", {"num_layers": 1}],
    ["compress_time_res", {"multiplier": 1}],
    ["res_x", {"num_layers": 1}],
    ["compress_all_res", {"multiplier": 8}],
    ["compress_all_res", {"multiplier": 1}],
]
STRIDES = {"space": (1, 2, 2), "time": (2, 1, 1), "all": (2, 2, 2)}


class Conv(nn.Module):
    """3 x 3 x 3 with zeros around in space. In time edge frames are repeated: one on each side, or `before` in front."""

    def __init__(self, width, out, before=None):
        super().__init__()
        self.before = before
        self.conv = nn.Conv3d(width, out, 3, padding=(0, 1, 1))
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="linear")
        nn.init.zeros_(self.conv.bias)

    def forward(self, x):
        first = x[:, :, :1]
        around = [first, x, x[:, :, -1:]] if self.before is None else [first] * self.before + [x]
        return self.conv(torch.cat(around, 2))


def norm_silu(x):
    """Pixel norm over the channels, then SiLU."""
    return F.silu(F.rms_norm(x.movedim(1, -1), x.shape[1:2], eps=1e-8)).movedim(-1, 1)


class Residual(nn.Module):
    """`layers` residual blocks, that begin as the identity."""

    def __init__(self, width, layers, before):
        super().__init__()
        pair = lambda: nn.ModuleDict({"conv1": Conv(width, width, before), "conv2": Conv(width, width, before)})
        self.res_blocks = nn.ModuleList(pair() for _ in range(layers))
        for block in self.res_blocks:
            nn.init.zeros_(block["conv2"].conv.weight)

    def forward(self, x):
        for block in self.res_blocks:
            x = x + block["conv2"](norm_silu(block["conv1"](norm_silu(x))))
        return x


def fold(x, strides):
    """Space to depth: channel ((c * t + a) * h + b) * w + d, with offsets a, b, d in time, rows and columns."""
    n, c, f, h, w = x.shape
    st, sh, sw = strides
    x = x.reshape(n, c, f // st, st, h // sh, sh, w // sw, sw)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, c * st * sh * sw, f // st, h // sh, w // sw)


def unfold(x, strides):
    """The inverse of `fold`."""
    n, c, f, h, w = x.shape
    st, sh, sw = strides
    x = x.reshape(n, c // (st * sh * sw), st, sh, sw, f, h, w)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(n, -1, f * st, h * sh, w * sw)


def patchify(x):
    """Pixels [n, 3, f, h, w] to [n, 48, f, h / 4, w / 4]: channel c * 16 + column * 4 + row."""
    n, c, f, h, w = x.shape
    x = x.reshape(n, c, f, h // PATCH, PATCH, w // PATCH, PATCH)
    return x.permute(0, 1, 6, 4, 2, 3, 5).reshape(n, c * PATCH**2, f, h // PATCH, w // PATCH)


def unpatchify(x):
    """The inverse of `patchify`."""
    n, c, f, h, w = x.shape
    x = x.reshape(n, c // PATCH**2, PATCH, PATCH, f, h, w)
    return x.permute(0, 1, 4, 5, 3, 6, 2).reshape(n, -1, f, h * PATCH, w * PATCH)


class Up(nn.Module):
    def __init__(self, width, strides, multiplier):
        super().__init__()
        self.strides = strides
        self.conv = Conv(width, width * math.prod(strides) // multiplier)

    def forward(self, x):
        return unfold(self.conv(x), self.strides)[:, :, self.strides[0] - 1 :]


class Down(nn.Module):
    def __init__(self, width, strides, multiplier):
        super().__init__()
        self.strides, self.group = strides, math.prod(strides) // multiplier
        self.conv = Conv(width, width * multiplier // math.prod(strides), before=2)

    def forward(self, x):
        x = torch.cat([x[:, :, :1]] * (self.strides[0] - 1) + [x], 2)
        skip = fold(x, self.strides).unflatten(1, (-1, self.group)).mean(2)
        return fold(self.conv(x), self.strides) + skip


class Decoder(nn.Module):
    """Pixels (about -1 to 1) of normalised latents [n, USED, f, h, w]."""

    def __init__(self):
        super().__init__()
        width = DECODER_BASE * math.prod(how.get("multiplier", 1) for _, how in DECODER_BLOCKS)
        self.conv_in, self.up_blocks = Conv(USED, width), nn.ModuleList()
        for kind, how in reversed(DECODER_BLOCKS):
            if kind == "res_x":
                self.up_blocks.append(Residual(width, how["num_layers"], None))
            else:
                self.up_blocks.append(Up(width, STRIDES[kind.split("_")[1]], how["multiplier"]))
                width //= how["multiplier"]
        self.conv_out = Conv(width, 3 * PATCH**2)

    def forward(self, z):
        x = self.conv_in(z)
        for block in self.up_blocks:
            x = block(x)
        return unpatchify(self.conv_out(norm_silu(x)))


class Encoder(nn.Module):
    """Normalised latents [n, USED, 1 + k, h / 32, w / 32] of pixels [n, 3, 1 + 8k, h, w], -1 to 1."""

    def __init__(self):
        super().__init__()
        width = ENCODER_BASE
        self.conv_in, self.down_blocks = Conv(3 * PATCH**2, width, before=2), nn.ModuleList()
        for kind, how in ENCODER_BLOCKS:
            if kind == "res_x":
                self.down_blocks.append(Residual(width, how["num_layers"], 2))
            else:
                self.down_blocks.append(Down(width, STRIDES[kind.split("_")[1]], how["multiplier"]))
                width *= how["multiplier"]
        self.conv_out = Conv(width, USED, before=2)

    def forward(self, video):
        x = self.conv_in(patchify(video))
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(norm_silu(x))


def checkpoint(decoder, encoder, basis):
    """The checkpoint's tensors. Statistics and unused channels, which training leaves out, are folded into the
    convolutions that latents meet: the decoder's sees `latent * deviation + mean`, the encoder's makes it."""
    deviation, mean = (torch.from_numpy(values) for values in (basis.deviation, basis.mean))
    tensors = {f"vae.decoder.{name}": value for name, value in decoder.state_dict().items()}
    tensors |= {f"vae.encoder.{name}": value for name, value in encoder.state_dict().items()}
    into, out = (f"vae.{name}.conv" for name in ("decoder.conv_in", "encoder.conv_out"))
    used = deviation[:USED]
    weight = tensors[f"{into}.weight"] / used.view(1, -1, 1, 1, 1)
    tensors[f"{into}.bias"] = tensors[f"{into}.bias"] - weight.sum((2, 3, 4)) @ mean[:USED]
    tensors[f"{into}.weight"] = F.pad(weight, (0, 0) * 3 + (0, CHANNELS - USED))
    weight, bias = tensors[f"{out}.weight"] * used.view(-1, 1, 1, 1, 1), tensors[f"{out}.bias"] * used + mean[:USED]
    tensors[f"{out}.weight"] = F.pad(weight, (0, 0) * 4 + (0, CHANNELS + 1 - USED))
    tensors[f"{out}.bias"] = F.pad(bias, (0, CHANNELS + 1 - USED))
    statistics = {"mean-of-means": mean, "std-of-means": deviation}
    return tensors | {f"vae.per_channel_statistics.{name}": value for name, value in statistics.items()}
