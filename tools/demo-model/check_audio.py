"""Holds audio decoder and vocoder against Zoetrope's own phases, in f32: trained ones of a work folder."""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import audio
import world
from audio_latents import BANDS, CHANNELS, denormalised
from check_transformer import compare


class Phases:
    """Phases of `zoetropec eval` on a model that is the stand-in but for its audio parts."""

    def __init__(self, program, standin, scratch, tensors, vocoder):
        self.program, self.scratch = program, scratch
        stock, own = standin / "ltx-2.3-demo.safetensors", scratch / "audio.safetensors"
        with safe_open(stock, "pt") as file:
            metadata = file.metadata()
        config = json.loads(metadata["config"])
        audio.configure(config)
        metadata["config"] = json.dumps(config)
        # What is not set, the stand-in has in other sizes; the filters are the same.
        rest = {f"vocoder.{name}": value for name, value in vocoder.state_dict().items() if "basis" not in name}
        save_file(load_file(stock) | rest | tensors, own, metadata=metadata)
        (scratch / "audio.toml").write_text(
            'width = 256\nheight = 192\nframes = 25\nfps = 24\npipeline = "distilled"\ndtype = "f32"\n'
            f'model = {{ checkpoint = "{own}", text_encoder = "{standin / "gemma-3-demo"}", '
            f'spatial_upscaler = "{standin / "ltx-2.3-demo-spatial-upscaler-x2.safetensors"}" }}\n'
        )

    def __call__(self, phase, inputs, taps=()):
        """Outputs of a phase for a dictionary of tensors."""
        given, made = (self.scratch / f"{phase}.{end}.safetensors" for end in ("in", "out"))
        save_file({name: value.clone().contiguous() for name, value in inputs.items()}, given)
        command = [self.program, "eval", self.scratch / "audio.toml", phase, "--inputs", given, "--outputs", made]
        command += [part for tap in taps for part in ("--tap", tap)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return load_file(made)


@torch.no_grad()
def check(program, standin, work, scratch):
    """Runs all comparisons."""
    scratch.mkdir(parents=True, exist_ok=True)
    decoder, vocoder, components = audio.trained(work)
    phases = Phases(program, standin, scratch, audio.checkpoint(decoder, vocoder, components), vocoder)
    spec = world.held_out_specs()[0]
    latents = components.of(spec, np.random.default_rng(1))[None]
    mel = decoder(denormalised(latents, components.statistics()))
    given = latents.unflatten(-1, (CHANNELS, BANDS)).transpose(1, 2)
    theirs = phases("audio-decode", {"a.latent": given})["mel"]
    compare("audio-decode", mel, theirs.view_as(mel))
    theirs = phases("vocode", {"mel": mel}, ("waveform16k", "skip48k", "bwe_residual"))
    compare("vocode, 16 kHz", vocoder.base(mel).clamp(-1, 1)[0], theirs["waveform16k"])
    compare("vocode, 48 kHz", vocoder(mel)[0], theirs["waveform"])
    compare("vocode, extension", torch.zeros(1), theirs["bwe_residual"])
    compare("vocode, resampled", theirs["waveform"], theirs["skip48k"].clamp(-1, 1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoetropec", required=True, help="the program zoetropec")
    parser.add_argument("--standin", type=Path, required=True, help="what `zoetrope demo-model` wrote")
    parser.add_argument("--work", type=Path, required=True, help="the folder of the training")
    parser.add_argument("--scratch", type=Path, required=True, help="a folder for files in between")
    options = parser.parse_args()
    check(options.zoetropec, options.standin, options.work, options.scratch)
