"""The decoder of the audio VAE: a log-mel spectrogram of latents (docs/model/audio.md 4 and 6)."""

import torch
from torch import nn
from torch.nn import functional

MULTIPLIERS = (1, 2, 4)


def _norm_silu(x):
    return functional.silu(x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6))


class CausalConv(nn.Module):
    """A convolution over [batch, channels, time, frequency] that looks back only in time."""

    def __init__(self, inputs, outputs, kernel=3):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel)
        self.reach = kernel - 1

    def forward(self, x):
        side = self.reach // 2
        return self.conv(functional.pad(x, (side, side, self.reach, 0)))


class ResBlock(nn.Module):
    """Two convolutions of normalised values, added to the input."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = CausalConv(inputs, outputs)
        self.conv2 = CausalConv(outputs, outputs)
        if inputs != outputs:
            self.nin_shortcut = CausalConv(inputs, outputs, 1)

    def forward(self, x):
        h = self.conv2(_norm_silu(self.conv1(_norm_silu(x))))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class _Upsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = CausalConv(channels, channels)

    def forward(self, x):
        return self.conv(functional.interpolate(x, scale_factor=2.0))[:, :, 1:]


class _Level(nn.Module):
    def __init__(self, inputs, outputs, blocks, upsample):
        super().__init__()
        self.block = nn.ModuleList(ResBlock(inputs if i == 0 else outputs, outputs) for i in range(blocks))
        if upsample:
            self.upsample = _Upsample(outputs)

    def forward(self, x):
        for block in self.block:
            x = block(x)
        return self.upsample(x) if hasattr(self, "upsample") else x


class AudioDecoder(nn.Module):
    """Log-mel [batch, 2, 4 T - 3, 64] of latents [batch, 8, T, 16] as they are before normalisation."""

    def __init__(self, channels, blocks):
        super().__init__()
        widths = [channels * multiplier for multiplier in MULTIPLIERS]
        self.conv_in = CausalConv(8, widths[-1])
        self.mid = nn.ModuleDict({f"block_{i}": ResBlock(widths[-1], widths[-1]) for i in (1, 2)})
        inputs = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(
            _Level(inputs[i], widths[i], blocks + 1, upsample=i > 0) for i in range(len(widths))
        )
        self.conv_out = CausalConv(widths[0], 2)

    def forward(self, z):
        x = self.conv_in(z)
        for block in self.mid.values():
            x = block(x)
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(_norm_silu(x))
