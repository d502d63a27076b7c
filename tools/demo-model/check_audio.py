"""Holds audio decoder and vocoder against Zoetrope's own phases, in f32: trained ones of a work folder."""

import numpy as np
import torch

import audio
import world
from audio_latents import BANDS, CHANNELS, denormalised
from zoetropec import Phases, compare, options, zeros

TAPS = "waveform16k", "skip48k", "bwe_residual"


@torch.no_grad()
def check(given):
    """Runs all comparisons."""
    decoder, vocoder, components = audio.trained(given.work)
    # The filters, too: those of the model's file are rounded.
    own = {f"vocoder.{name}": value for name, value in vocoder.state_dict().items() if "basis" not in name}
    phases = Phases(given, own | audio.checkpoint(decoder, vocoder, components))
    spec = world.held_out_specs()[0]
    latents = components.of(spec, np.random.default_rng(1))[None]
    mel = decoder(denormalised(latents, components.statistics()))
    given = latents.unflatten(-1, (CHANNELS, BANDS)).transpose(1, 2)
    theirs = phases("audio-decode", {"a.latent": given})["mel"]
    compare("audio-decode", mel, theirs.view_as(mel))
    theirs = phases("vocode", {"mel": mel}, more=[part for tap in TAPS for part in ("--tap", tap)])
    compare("vocode, 16 kHz", vocoder.base(mel).clamp(-1, 1)[0], theirs["waveform16k"])
    compare("vocode, 48 kHz", vocoder(mel)[0], theirs["waveform"])
    zeros("vocode, extension", theirs["bwe_residual"])
    compare("vocode, resampled", theirs["waveform"], theirs["skip48k"].clamp(-1, 1))


if __name__ == "__main__":
    check(options(__doc__))
