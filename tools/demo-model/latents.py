"""Latents of clips: given, not learned.

A clip of [1 + 8k, height, width, 3] becomes one patch of 8 x 32 x 32 pixels for each latent (the first frame is
repeated seven times). A patch, averaged over pairs of frames, rows and columns, is projected on principal components,
the same for all sizes. Each is scaled so that its deviation is the square root of the component's, with a mean square
of 1 over the first `USED`; the other channels are zero.
"""

import json
from dataclasses import asdict
from functools import partial
from multiprocessing import Pool

import numpy as np
import torch

import world

CHANNELS, USED = 128, 64
TRAINING, HELD_OUT = 2, 3
UNUSED_DEVIATION = 2.0**-10
"""Deviation in the statistics of channels that are always zero: so small that noise in them is not heard."""


def patches(frames):
    """Of frames [1 + 8k, height, width, 3]: patches [1 + k, rows, columns, 8 * 32 * 32 * 3]."""
    frames = np.concatenate([np.repeat(frames[:1], 7, axis=0), frames])
    f, h, w = frames.shape[0] // 8, frames.shape[1] // 32, frames.shape[2] // 32
    return frames.reshape(f, 8, h, 32, w, 32, 3).transpose(0, 2, 4, 1, 3, 5, 6).reshape(f, h, w, -1)


def unpatch(patches):
    """The frames of `patches`."""
    f, h, w, _ = patches.shape
    frames = patches.reshape(f, h, w, 8, 32, 32, 3).transpose(0, 3, 1, 4, 2, 5, 6).reshape(8 * f, 32 * h, 32 * w, 3)
    return frames[7:]


def pooled(frames):
    """Patches of frames (uint8) at half the resolution in time and space: f32 [1 + k, rows, columns, 3072], -1 to 1."""
    total = np.concatenate([np.repeat(frames[:1], 7, axis=0), frames]).astype(np.uint16)
    total = total[::2] + total[1::2]
    total = total[:, ::2] + total[:, 1::2]
    total = total[:, :, ::2] + total[:, :, 1::2]
    t, h, w = (n // size for n, size in zip(total.shape, (4, 16, 16)))
    p = total.reshape(t, 4, h, 16, w, 16, 3).transpose(0, 2, 4, 1, 3, 5, 6).reshape(t, h, w, -1)
    return p * np.float32(1 / (8 * 127.5)) - np.float32(1)


class Basis:
    """The principal components, what a latent means in pixels, and the statistics of the checkpoint.

    `mean` and `deviation` [128] are the VAE's: un-normalised latents are `latent * deviation + mean`.
    """

    def __init__(self, centre, components, deviation, pixels, mean_pixels):
        self.centre, self.components, self.deviation = centre, components, deviation
        self.pixels, self.mean_pixels = pixels, mean_pixels
        self.mean = np.zeros(CHANNELS, np.float32)

    @classmethod
    def load(cls, path):
        with np.load(path) as file:
            return cls(*(file[name] for name in ("centre", "components", "deviation", "pixels", "mean_pixels")))

    def save(self, path):
        np.savez(path, **{name: value for name, value in vars(self).items() if name != "mean"})

    def encode(self, frames):
        """Normalised latents of uint8 frames: f32 [1 + k, rows, columns, 128]."""
        centred = torch.from_numpy(pooled(frames) - self.centre)
        used = (centred @ torch.from_numpy(self.components)).numpy() / self.deviation[:USED]
        return np.pad(used, [(0, 0)] * 3 + [(0, CHANNELS - USED)])

    def decode(self, latent):
        """The linear picture of normalised latents [1 + k, rows, columns, 64 or 128]: uint8 frames, full size."""
        p = latent[..., :USED].astype(np.float32) @ self.pixels + self.mean_pixels
        return np.clip(np.rint((unpatch(p) + 1) * 127.5), 0, 255).astype(np.uint8)


def _sample(seed):
    """Random clips of both sizes: pooled patches of a few, and the same patches in full."""
    rng = np.random.default_rng([1, seed])
    spec = world.random_spec(rng)
    scene, halves, full = int(rng.integers(2**31)), [], []
    for size in (world.LARGE, world.SMALL):
        clip = world.draw(spec, size, scene)
        p = patches(clip)
        p = p.reshape(-1, p.shape[-1])
        keep = rng.choice(len(p), 24, replace=False)
        half = pooled(clip)
        halves.append(half.reshape(-1, half.shape[-1])[keep])
        full.append(p[keep[:6]])
    return np.concatenate(halves), np.concatenate(full)


def fit(clips, workers):
    """The `Basis` of random clips; of both sizes as many patches. Returns it with the shares of the variance that
    the first 1, 2, ... components keep."""
    with Pool(workers) as pool:
        samples = pool.map(_sample, range(clips), chunksize=50)
    half = torch.from_numpy(np.concatenate([s[0] for s in samples]))
    centre = half.mean(0)
    half -= centre
    values, vectors = torch.linalg.eigh(half.T @ half / len(half))
    values, components = values.flip(0), vectors.flip(1)[:, :USED].contiguous()
    spread = values[:USED].sqrt()
    wanted = spread.sqrt() / spread.mean().sqrt()
    deviation = torch.full((CHANNELS,), UNUSED_DEVIATION)
    deviation[:USED] = spread / wanted
    full = torch.from_numpy(np.concatenate([s[1] for s in samples]))
    rows = torch.cat([s.reshape(2, 24, -1)[:, :6].flatten(0, 1) for s in half.split(48)])
    known = rows @ components / deviation[:USED]
    full = full.float() / 127.5 - 1
    mean_pixels = full.mean(0)
    gram = known.T @ known + 1e-3 * torch.eye(USED)
    pixels = torch.linalg.solve(gram, known.T @ (full - mean_pixels))
    basis = Basis(*(t.numpy().astype(np.float32) for t in (centre, components, deviation, pixels, mean_pixels)))
    return basis, (values.cumsum(0) / values.sum()).numpy()


def _example(numbered, basis):
    """A numbered clip: its spec, its scene's seed, and its latents of both sizes (f16, used channels)."""
    kind, number = numbered
    rng = np.random.default_rng([kind, number])
    spec = world.random_spec(rng)
    while world.is_held_out(spec) != (kind == HELD_OUT):
        spec = world.random_spec(rng)
    scene = int(rng.integers(2**31))
    large, small = (
        basis.encode(world.draw(spec, size, scene))[..., :USED].astype(np.float16) for size in (world.LARGE, world.SMALL)
    )
    return spec, scene, large, small


def dataset(folder, basis, kind, clips, workers):
    """Writes `large.npy` [clips, 4, 6, 8, 64], `small.npy` [clips, 4, 3, 4, 64] (f16) and `clips.json` (of each clip
    {"spec": ..., "scene": seed}) of clips of a kind, `TRAINING` or `HELD_OUT`, to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {"large": (4, 6, 8), "small": (4, 3, 4)}
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.part", "w+", np.float16, (clips, *shape, USED))
        for name, shape in shapes.items()
    }
    listed = []
    with Pool(workers) as pool:
        jobs = ((kind, number) for number in range(clips))
        for i, (spec, scene, large, small) in enumerate(pool.imap(partial(_example, basis=basis), jobs, chunksize=64)):
            files["large"][i], files["small"][i] = large, small
            listed.append({"spec": asdict(spec), "scene": scene})
    for name, file in files.items():
        file.flush()
        (folder / f"{name}.part").rename(folder / f"{name}.npy")
    (folder / "clips.json").write_text(json.dumps(listed))


def read_dataset(folder):
    """What `dataset` wrote: (large, small, specs, scenes); the arrays are mapped, not read."""
    large, small = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("large", "small"))
    listed = json.loads((folder / "clips.json").read_text())
    specs = [
        world.Spec(tuple(map(tuple, clip["spec"]["objects"])), clip["spec"]["motion"], clip["spec"]["background"])
        for clip in listed
    ]
    return large, small, specs, [clip["scene"] for clip in listed]
