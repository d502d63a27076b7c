"""Trains the video VAE by regression: pixels of given latents, and given latents of pixels."""

import numpy as np
import torch
from torch.nn import functional as F

import starts
import world
from codec import Decoder, Encoder
from fitting import fit
from latents import USED, Basis

CLIPS, SAMPLED_CLIPS = 4, 160
DECODER_STEPS, ENCODER_STEPS = 2400, 400
PATCH = 32


def _spec(rng):
    while world.is_held_out(spec := world.random_spec(rng)):
        pass
    return spec


def _tensor(arrays):
    return torch.from_numpy(np.stack(arrays)).float().movedim(-1, 1)


def _corner(rng, spec, scene, side):
    """The corner (row, column of latents) of a crop of a large clip: three times in four around an object."""
    most = [n // PATCH - side for n in world.LARGE]
    if rng.random() < 0.25:
        return [int(rng.integers(n + 1)) for n in most]
    tracks = world.tracks(spec, scene)
    track, frame = tracks[rng.integers(len(tracks))], rng.integers(world.FRAMES)
    middle = np.array([track.y[frame], track.x[frame]]) * world.LARGE[0] / PATCH - side / 2
    return [int(np.clip(np.rint(m + rng.uniform(-1, 1)), 0, n)) for m, n in zip(middle, most)]


def batch(basis, seed, step, small, side=4):
    """Random clips and their latents: crops of large ones, or whole `small` ones.

    Returns pixels [CLIPS, 3, 25, h, w], -1 to 1, and latents [CLIPS, USED, 4, h / 32, w / 32].
    """
    rng = np.random.default_rng([seed, step])
    clips, latents = [], []
    for _ in range(CLIPS):
        spec, scene = _spec(rng), int(rng.integers(2**31))
        if small:
            clip = world.draw(spec, world.SMALL, scene)
        else:
            row, column = _corner(rng, spec, scene, side)
            rows, columns = (slice(PATCH * n, PATCH * (n + side)) for n in (row, column))
            clip = np.ascontiguousarray(world.draw(spec, world.LARGE, scene)[:, rows, columns])
        clips.append(clip)
        latents.append(basis.encode(clip)[..., :USED])
    return _tensor(clips) / 127.5 - 1, _tensor(latents)


def _noise(latents, step):
    """A little noise, of another strength for each clip: generated latents are not exact."""
    rng = torch.Generator().manual_seed(step)
    strength = 0.05 * torch.rand((len(latents), 1, 1, 1, 1), generator=rng)
    return strength * torch.randn(latents.shape, generator=rng)


def _start(module, how, basis):
    torch.manual_seed(0)
    how(module, *starts.samples(basis, SAMPLED_CLIPS))
    return module.to(memory_format=torch.channels_last_3d)


def trained_decoder(work, steps=DECODER_STEPS):
    """The decoder of a work folder, trained as far as it is not. One step in six takes small clips, one a single
    latent frame, as previews do."""
    basis = Basis.load(work / "basis.npz")

    def loss(decoder, step):
        kind = step % 6
        pixels, latents = batch(basis, 4, step, small=kind == 1)
        if kind == 2:
            frame = step // 6 % 4
            pixels, latents = pixels[:, :, 8 * frame : 8 * frame + 1], latents[:, :, frame : frame + 1]
        latents = latents + _noise(latents, step)
        with torch.autocast("cpu", torch.bfloat16):
            found = decoder(latents.to(memory_format=torch.channels_last_3d))
        # Squares for small differences, absolute values for those at misplaced edges.
        return F.huber_loss(found.float(), pixels, delta=0.2)

    return fit(_start(Decoder(), starts.decoder, basis), work / "decoder.pt", steps, loss, 3e-3)


def trained_encoder(work, steps=ENCODER_STEPS):
    """The encoder of a work folder, trained as far as it is not. Every other step takes single frames, as
    image-to-video does, some steps small clips."""
    basis = Basis.load(work / "basis.npz")

    def loss(encoder, step):
        pixels, wanted = batch(basis, 7, step, small=step % 6 == 1)
        if step % 2 == 0:
            frame = step // 2 % world.FRAMES
            pixels = pixels[:, :, frame : frame + 1]
            shown = [((clip + 1) * 127.5).round().byte().movedim(0, -1).numpy() for clip in pixels]
            wanted = _tensor([basis.encode(clip)[..., :USED] for clip in shown])
        with torch.autocast("cpu", torch.bfloat16):
            found = encoder(pixels.to(memory_format=torch.channels_last_3d))
        return (found.float() - wanted).square().mean()

    return fit(_start(Encoder(), starts.encoder, basis), work / "encoder.pt", steps, loss, 1e-3)
