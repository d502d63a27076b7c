"""Sounds that the audio parts learn from: waves, spectrograms and the latents' basis, kept in a work folder."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import world
from audio_latents import Basis
from latents import read_dataset
from mel import log_mel
from sound import FRAMES, waveform

CLIPS = 3000


def _waves(count: int, seed: int) -> torch.Tensor:
    """The waves of random specs that training may see."""
    rng = np.random.default_rng([3, seed])
    return torch.from_numpy(np.stack([waveform(world.training_spec(rng), rng) for _ in range(count)]))


def sounds(work: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The training set: waves [clips, 2, 16160] and their spectrograms [clips, 2, 101, 64]."""
    file = work / "sounds.safetensors"
    if not file.exists():
        waves = _waves(CLIPS, 0)
        mel = torch.cat([log_mel(part, FRAMES) for part in waves.split(100)])
        save_file({"waves": waves.half(), "mel": mel.half()}, file)
    stored = load_file(file)
    return stored["waves"].float(), stored["mel"].float()


def basis(work: Path) -> Basis:
    """The latents' basis, fitted once to the training set."""
    file = work / "audio-basis.safetensors"
    if not file.exists():
        save_file(Basis.fit(sounds(work)[1]).tensors(), file)
    return Basis(**load_file(file))


def aligned(folder: Path, components: Basis) -> np.ndarray:
    """The audio latents [clips, 26, 128] of the dataset of video latents in `folder`, kept beside them."""
    file = folder / "audio.npy"
    if not file.exists():
        _, _, specs, scenes = read_dataset(folder)
        rows = [components.of(spec, scene).half().numpy() for spec, scene in zip(specs, scenes)]
        np.save(file, np.stack(rows))
    return np.load(file, mmap_mode="r")
