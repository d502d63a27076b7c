"""The trained audio parts of a work folder, as the checkpoint holds them."""

from pathlib import Path

import numpy as np
import torch

import fitting
import world
from audio_data import basis
from audio_latents import Basis, denormalised
from audio_measure import measure as report
from audio_training import train_decoder, train_vocoder
from audio_vae import AudioDecoder
from vocoder import Vocoder


def trained(work: Path) -> tuple[AudioDecoder, Vocoder, Basis]:
    """Decoder, vocoder and the latents' basis; trained first where they are not yet."""
    decoder = train_decoder(work)
    return decoder, train_vocoder(work, decoder), basis(work)


def checkpoint(decoder: AudioDecoder, vocoder: Vocoder, components: Basis) -> dict[str, torch.Tensor]:
    """All tensors that were trained or set, by their official names.

    Of the bandwidth extension that is its last convolution, zeros. Its other weights do not matter.
    """
    mean, deviation = components.statistics()
    prefix = "audio_vae.per_channel_statistics."
    tensors = {prefix + "mean-of-means": mean, prefix + "std-of-means": deviation}
    tensors |= {f"audio_vae.decoder.{name}": value for name, value in decoder.state_dict().items()}
    for name, value in vocoder.state_dict().items():
        set_here = name.startswith("vocoder.") or name == "bwe_generator.conv_post.weight"
        if set_here and "filter" not in name:
            tensors[f"vocoder.{name}"] = value
    return tensors


def export(work: Path) -> None:
    """Writes `export/audio.safetensors` in the work folder."""
    fitting.export(checkpoint(*trained(work)), work / "export/audio.safetensors")


@torch.no_grad()
def wave(latents: torch.Tensor, decoder: AudioDecoder, vocoder: Vocoder, components: Basis) -> torch.Tensor:
    """The wave [batch, 2, samples] at 16 kHz of latents [batch, T, 128]."""
    return vocoder.base(decoder(denormalised(latents, components.statistics()))).clamp(-1, 1)


def measure(work: Path) -> None:
    """Prints how well decoder and vocoder give the sound of held-out clips back, from exact and from noisy latents."""
    parts = trained(work)
    specs = world.held_out_specs()[:200]
    latents = torch.stack([parts[2].of(spec, scene) for scene, spec in enumerate(specs)])
    for noise in (0.0, 0.1, 0.3):
        generator = torch.Generator().manual_seed(0)
        given = latents + noise * torch.randn(latents.shape, generator=generator)
        waves = np.concatenate([wave(part, *parts).numpy() for part in given.split(20)])
        print(f"sound, latents with noise of {noise}: {report(waves, specs, range(len(specs)))}", flush=True)
