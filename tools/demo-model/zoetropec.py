"""Phases of `zoetropec eval` on the demo model with other values, and what checks have in common.

Tensors have to have the sizes that the program's own demo model has (model-spec/src/ltx/demo).
"""

import argparse
import subprocess
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

CHECKPOINT = "ltx-2.3-demo.safetensors"
UPSCALER = "ltx-2.3-demo-spatial-upscaler-x2.safetensors"
TEXT_ENCODER = "gemma-3-demo"
FRAMES, HEIGHT, WIDTH = 25, 192, 256


def options(description):
    """The options of a check."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--zoetropec", required=True, help="the program zoetropec")
    parser.add_argument("--standin", type=Path, required=True, help="what `zoetrope demo-model` wrote")
    parser.add_argument("--work", type=Path, required=True, help="the folder of the training")
    parser.add_argument("--scratch", type=Path, required=True, help="a folder for files in between")
    given = parser.parse_args()
    given.scratch.mkdir(parents=True, exist_ok=True)
    return given


class Phases:
    """Phases, in f32, of the model in `given.standin` with `checkpoint` and `upscaler` tensors in place of its own."""

    def __init__(self, given, checkpoint=(), upscaler=()):
        self.program, self.scratch, self.standin = given.zoetropec, given.scratch, given.standin
        self.files = {name: self.scratch / name for name in (CHECKPOINT, UPSCALER)}
        for name, tensors in ((CHECKPOINT, checkpoint), (UPSCALER, upscaler)):
            self._with(name, dict(tensors))

    def _with(self, name, tensors):
        stock = load_file(self.standin / name)
        odd = [key for key, t in tensors.items() if key not in stock or stock[key].shape != t.shape]
        if odd:
            raise SystemExit(f"{name} has no tensors of these names and shapes: {', '.join(odd)}")
        with safe_open(self.standin / name, "pt") as file:
            metadata = file.metadata()
        own = {key: t.detach().clone().contiguous() for key, t in tensors.items()}
        save_file(stock | own, self.files[name], metadata=metadata)

    def __call__(self, phase, inputs=None, frames=FRAMES, more=()):
        """Outputs of a phase for a dictionary of tensors, in a clip of so many frames; `more` are further options."""
        target, given, made = (self.scratch / f"{phase}.{end}" for end in ("toml", "in.safetensors", "out.safetensors"))
        target.write_text(
            f'width = {WIDTH}\nheight = {HEIGHT}\nframes = {frames}\nfps = 24\npipeline = "distilled"\n'
            f'dtype = "f32"\ntimestep_classes = 2\nmodel = {{ checkpoint = "{self.files[CHECKPOINT]}", '
            f'text_encoder = "{self.standin / TEXT_ENCODER}", spatial_upscaler = "{self.files[UPSCALER]}" }}\n'
        )
        command = [self.program, "eval", target, phase, "--outputs", made, *more]
        if inputs is not None:
            save_file({key: t.clone().contiguous() for key, t in inputs.items()}, given)
            command += ["--inputs", given]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return load_file(made)


def compare(what, own, theirs):
    """Prints the largest difference, and refuses one above 1e-3 of the values' size."""
    difference, size = (own - theirs).abs().max().item(), theirs.abs().max().item()
    print(f"{what}: largest difference {difference:.1e} of {size:.2f}")
    if difference > 1e-3 * size:
        raise SystemExit(f"{what}: differs")


def zeros(what, theirs):
    """Refuses anything but zeros."""
    compare(what, torch.zeros(1), theirs)
