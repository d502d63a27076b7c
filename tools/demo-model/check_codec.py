"""Holds encoder, decoder and upscaler against Zoetrope's own phases, in f32: trained ones of a work folder."""

import argparse
import json
import subprocess
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import codec
import upscaler
import world
from check_transformer import compare
from fitting import load
from latents import USED, Basis

CHECKPOINT = "ltx-2.3-demo.safetensors"
UPSCALER = "ltx-2.3-demo-spatial-upscaler-x2.safetensors"


def _with(stock, own, change, tensors):
    """Writes to `own` the model file `stock` with a changed config and these tensors in place of its own."""
    with safe_open(stock, "pt") as file:
        metadata = file.metadata()
    config = json.loads(metadata["config"])
    change(config)
    metadata["config"] = json.dumps(config)
    names = tuple({name.split(".")[0] + "." for name in tensors})
    kept = {name: t for name, t in load_file(stock).items() if not name.startswith(names)}
    save_file(kept | {name: t.detach().clone().contiguous() for name, t in tensors.items()}, own, metadata=metadata)


class Phases:
    """Phases of `zoetropec eval` on a model that is the stand-in but for codec and upscaler."""

    def __init__(self, program, standin, work, tensors, upscaler_tensors):
        self.program, self.work, self.standin = program, work, standin
        self.files = work / "codec.safetensors", work / "upscaler.safetensors"
        _with(standin / CHECKPOINT, self.files[0], lambda config: config["vae"].update(codec.CONFIG), tensors)
        _with(standin / UPSCALER, self.files[1], lambda config: config.update(upscaler.CONFIG), upscaler_tensors)

    def __call__(self, phase, frames, inputs):
        """Outputs of a phase for a dictionary of tensors, in a target of so many frames."""
        target, given, made = (self.work / f"{phase}.{end}" for end in ("toml", "in.safetensors", "out.safetensors"))
        height, width = world.LARGE
        target.write_text(
            f'width = {width}\nheight = {height}\nframes = {frames}\nfps = 24\npipeline = "distilled"\n'
            f'dtype = "f32"\nmodel = {{ checkpoint = "{self.files[0]}", spatial_upscaler = "{self.files[1]}", '
            f'text_encoder = "{self.standin / "gemma-3-demo"}" }}\n'
        )
        save_file({key: t.clone().contiguous() for key, t in inputs.items()}, given)
        command = [self.program, "eval", target, phase, "--inputs", given, "--outputs", made]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return load_file(made)


@torch.no_grad()
def check(program, standin, work, scratch):
    """Runs all comparisons."""
    scratch.mkdir(parents=True, exist_ok=True)
    basis = Basis.load(work / "basis.npz")
    decoder, encoder = load(codec.Decoder(), work / "decoder.pt"), load(codec.Encoder(), work / "encoder.pt")
    enlarge = load(upscaler.Upscaler(), work / "upscaler.pt")
    phases = Phases(
        program, standin, scratch, codec.checkpoint(decoder, encoder, basis), upscaler.checkpoint(enlarge, basis)
    )
    spec = world.held_out_specs()[0]
    clips = {size: world.draw(spec, size, 1) for size in (world.LARGE, world.SMALL)}
    large, small = (torch.from_numpy(basis.encode(clip)).movedim(-1, 0)[None] for clip in clips.values())
    pixels = torch.from_numpy(clips[world.LARGE]).movedim(-1, 0)[None].float() / 127.5 - 1
    for frames in (1, world.FRAMES):
        of, rest = pixels[:, :, :frames], large[:, :, : (frames + 7) // 8]
        theirs = phases("video-encode", frames, {"video": of})["v.latent"].view_as(rest)
        compare(f"video-encode, {frames} frames", encoder(of), theirs[:, :USED])
        compare("video-encode, unused channels", torch.zeros(1), theirs[:, USED:])
        theirs = phases("video-decode", frames, {"v.latent": rest})["video"]
        compare(f"video-decode, {frames} frames", decoder(rest[:, :USED]), theirs.view_as(of))
    theirs = phases("upscale", world.FRAMES, {"v.latent": small})["v.latent"].view_as(large)
    compare("upscale", enlarge(small[:, :USED]), theirs[:, :USED])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoetropec", required=True, help="the program zoetropec")
    parser.add_argument("--standin", type=Path, required=True, help="what `zoetrope demo-model` wrote")
    parser.add_argument("--work", type=Path, required=True, help="the folder of the training")
    parser.add_argument("--scratch", type=Path, required=True, help="a folder for files in between")
    options = parser.parse_args()
    check(options.zoetropec, options.standin, options.work, options.scratch)
