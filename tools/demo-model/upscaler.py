"""The spatial x2 latent upscaler (docs/model/upsampler.md), trainable, with the checkpoint's names, and its training."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import latents
from fitting import export, fit, load, muon
from latents import CHANNELS, USED

MID, BLOCKS, GROUPS = 64, 1, 32
BATCH = 24
STEPS = 6000


def _conv(width, out):
    return nn.Conv3d(width, out, 3, padding=1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = _conv(MID, MID), _conv(MID, MID)
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, MID), nn.GroupNorm(GROUPS, MID)

    def forward(self, x):
        h = F.silu(self.norm1(self.conv1(x)))
        return F.silu(self.norm2(self.conv2(h)) + x)


class Upscaler(nn.Module):
    """Normalised latents [n, USED, f, 2h, 2w] of normalised latents [n, USED, f, h, w]."""

    def __init__(self):
        super().__init__()
        self.initial_conv, self.initial_norm = _conv(USED, MID), nn.GroupNorm(GROUPS, MID)
        self.res_blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.upsampler = nn.Sequential(nn.Conv2d(MID, 4 * MID, 3, padding=1))
        self.post_upsample_res_blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.final_conv = _conv(MID, USED)

    def forward(self, z):
        x = self.res_blocks(F.silu(self.initial_norm(self.initial_conv(z))))
        n, frames = x.shape[0], x.shape[2]
        x = F.pixel_shuffle(self.upsampler(x.movedim(2, 1).flatten(0, 1)), 2)
        x = x.unflatten(0, (n, frames)).movedim(1, 2)
        return self.final_conv(self.post_upsample_res_blocks(x))


def checkpoint(module, basis):
    """The upscaler file's tensors. They take and give latents times their deviations: see `codec.checkpoint`."""
    tensors = dict(module.state_dict())
    used = torch.from_numpy(basis.deviation[:USED])
    weight = tensors["initial_conv.weight"] / used.view(1, -1, 1, 1, 1)
    tensors["initial_conv.weight"] = F.pad(weight, (0, 0) * 3 + (0, CHANNELS - USED))
    weight, bias = tensors["final_conv.weight"] * used.view(-1, 1, 1, 1, 1), tensors["final_conv.bias"] * used
    tensors["final_conv.weight"] = F.pad(weight, (0, 0) * 4 + (0, CHANNELS - USED))
    tensors["final_conv.bias"] = F.pad(bias, (0, CHANNELS - USED))
    return tensors


def trained(work, steps=STEPS):
    """The upscaler of a work folder, trained on the clips of `latents.dataset` there as far as it is not."""
    large, small, _, _ = latents.read_dataset(work / "train")

    def loss(module, step):
        chosen = np.sort(np.random.default_rng([5, step]).choice(len(large), BATCH, replace=False))
        wanted, given = (torch.from_numpy(of[chosen]).float().movedim(-1, 1) for of in (large, small))
        noise = torch.randn(given.shape, generator=torch.Generator().manual_seed(step))
        given = (given + 0.03 * noise).to(memory_format=torch.channels_last_3d)
        with torch.autocast("cpu", torch.bfloat16):
            found = module(given)
        return (found.float() - wanted).square().mean()

    torch.manual_seed(0)
    module = Upscaler()
    return fit(module, work / "upscaler.pt", steps, loss, 5e-2, optimizers=muon)


def train(work):
    """The part `upscaler`, and its export. Wants the data sets of the part `video`."""
    module = trained(work)
    export(checkpoint(module, latents.Basis.load(work / "basis.npz")), work / "export/upscaler.safetensors")


@torch.no_grad()
def measure(work):
    """Prints the share of the latents' variance that the upscaler misses on held-out clips."""
    module = load(Upscaler(), work / "upscaler.pt")
    large, small, _, _ = latents.read_dataset(work / "held")
    wanted, given = (torch.from_numpy(of[:100]).float().movedim(-1, 1) for of in (large, small))
    missed = (module(given) - wanted).square().mean() / wanted.var(dim=(0, 2, 3, 4)).mean()
    print(f"upscaler: misses {missed:.4f} of the variance")
