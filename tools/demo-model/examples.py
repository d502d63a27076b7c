"""What one step of the transformer's training sees: captions, latents and noise levels, by the number of the step."""

import functools
from pathlib import Path

import numpy as np
import torch

import latents
import world
from connector import sampled_places

LENGTHS, LONG_SHARE, REGISTER_ROWS = (22, 40), 0.094, 8
"""Places for the tokens of short and of all captions, the share of captions that are not short, and rows that stand
for all registers. A batch holds captions of one kind, which saves the places that the others would leave empty."""
SMALL, LARGE = (4, 3, 4), (4, 6, 8)
"""Latent frames, rows and columns of the two stages."""
LEVELS = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875)
SECOND_LEVELS = LEVELS[5:]
HELD, UNCAPTIONED = 0.15, 0.1
"""Shares of samples whose first frame is given, and whose caption is one of defects."""
CENTRAL = 0.5
"""Scenes with offsets below it are central."""
DEFECTS = (
    "blurry", "out of focus", "low quality", "compression artefacts", "noise", "flicker", "distorted", "overexposed",
    "underexposed", "jerky motion", "bad anatomy", "watermark", "text", "low contrast", "muffled sound",
)

_captions = functools.lru_cache(8192)(world.captions)


def _caption(spec, rng):
    if rng.random() < UNCAPTIONED:
        return ", ".join(rng.choice(DEFECTS, rng.integers(0, 7), replace=False))
    every = _captions(spec)
    return every[0] if rng.random() < 0.3 else every[rng.integers(len(every))]


def _noise_levels(count, second, rng):
    """Half of them of the distilled list, a third shifted to high noise, the rest uniform."""
    listed = rng.choice(SECOND_LEVELS if second else LEVELS, count)
    shifted = 1 / (1 + np.exp(-(rng.standard_normal(count) * 1.2 + 0.8)))
    top = SECOND_LEVELS[0] if second else 1.0
    kind = rng.random(count)
    levels = np.where(kind < 0.5, listed, np.where(kind < 0.83, shifted * top, rng.random(count) * top))
    return torch.from_numpy(levels.astype(np.float32))[:, None]


class Batch:
    """Tensors of a step: `clean` and `noise` (video, audio or None), `sigma` [batch, 1], `timesteps` [batch, 2],
    `first` [tokens, 1], `ids` and `counts` of captions, `places` of registers."""

    def noisy(self, stream):
        """Latents at their noise level; where the first frame is given, it stays clean."""
        level = self.sigma.unsqueeze(1)
        if stream == 0:
            level = torch.where(self.first, self.timesteps[:, 1:, None], level)
        return (1 - level) * self.clean[stream] + level * self.noise[stream]

    def begin(self, level):
        """All samples get this noise level."""
        self.timesteps = torch.where(self.timesteps > 0, level, 0.0)
        self.sigma = torch.full_like(self.sigma, level)

    def step(self, velocity, level):
        """The video goes to a lower noise level as a sampler goes, with a `velocity` that may be wrong.

        `noise` becomes what would have led there from the clean latents. So the velocity that is wanted there leads to
        them still, and undoes the mistake.
        """
        at = self.noisy(0) + velocity * (level - self.sigma.unsqueeze(1))
        self.noise = (at - (1 - level) * self.clean[0]) / level, self.noise[1]
        self.begin(level)


class Examples:
    """Batches of a dataset. `audio` is an array [clips, 26, 128] or None; `audio_used` [128] are its channels that are
    not always zero."""

    def __init__(self, folder, encoder, audio=None):
        self.large, self.small, self.specs, scenes = latents.read_dataset(Path(folder))
        offsets = np.abs([world.offsets(scene) for scene in scenes])
        self.every, self.central = np.arange(len(scenes)), (offsets < CENTRAL).all(1).nonzero()[0]
        self.encoder, self.audio = encoder, audio
        self.audio_used = None if audio is None else torch.from_numpy((audio[:500] != 0).any((0, 1)))

    def _captioned(self, rng, count, long, among):
        """Numbers of random clips `among` these, and tokens of a caption of each that is of the wanted kind."""
        numbers, tokens = [], []
        while len(numbers) < count:
            number = int(among[rng.integers(len(among))])
            ids = self.encoder.tokenizer.encode(_caption(self.specs[number], rng)).ids
            if (len(ids) > LENGTHS[0]) == long:
                numbers.append(number)
                tokens.append(torch.tensor(ids[: LENGTHS[1]]))
        return np.array(numbers), tokens

    def batch(self, seed, large, long, count, central=False):
        """The batch of this seed, of the larger or the smaller size, with long or short captions. With `central` all
        clips have small offsets."""
        rng = np.random.default_rng(seed)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        size, clips = (LARGE, self.large) if large else (SMALL, self.small)
        chosen, tokens = self._captioned(rng, count, long, self.central if central else self.every)
        batch = Batch()
        batch.size, batch.count = size, count
        video = torch.from_numpy(clips[chosen].astype(np.float32)).flatten(1, 3)
        video = torch.nn.functional.pad(video, (0, latents.CHANNELS - latents.USED))
        audio = None if self.audio is None else torch.from_numpy(self.audio[chosen].astype(np.float32))
        batch.clean = video, audio
        noise = torch.randn(video.shape, generator=generator)
        noise[..., latents.USED :] = 0
        of_audio = None if audio is None else torch.randn(audio.shape, generator=generator) * self.audio_used
        batch.noise = noise, of_audio
        batch.sigma = _noise_levels(count, large, rng)
        given = torch.from_numpy(rng.random((count, 1)) < HELD)
        batch.timesteps = torch.cat([batch.sigma, batch.sigma.masked_fill(given, 0)], 1)
        batch.first = (torch.arange(video.shape[1]) < size[1] * size[2])[:, None]
        batch.counts = torch.tensor([len(ids) for ids in tokens])
        batch.ids = torch.stack([torch.nn.functional.pad(ids, (0, LENGTHS[long] - len(ids))) for ids in tokens])
        batch.places = sampled_places(batch.counts, REGISTER_ROWS, generator)
        return batch
