"""Trains the demo model, part by part: `python train.py PART --work DIR`. README.md says what the parts are.

A part that was interrupted goes on where it stopped. The time of each part is printed at its end.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch

import adapter
import audio
import flow
import transformer_measure
import upscaler
import video
from audio_data import aligned, basis

HERE = Path(__file__).parent


def _transformer(options):
    """The streams that are asked for. The latents of the clips' sound are made first."""
    for stream in [options.stream] if options.stream else ["video", "audio"]:
        if stream == "audio":
            aligned(options.work / "train", basis(options.work))
        flow.train(options.work, options.encoder, stream, options.minutes, options.finish)


def _export(options):
    """The files that Zoetrope embeds."""
    subprocess.run([sys.executable, HERE / "export.py", "--work", options.work], check=True)


def _measure(options):
    """Figures of every part on held-out clips."""
    video.measure(options.work)
    upscaler.measure(options.work)
    audio.measure(options.work)
    transformer_measure.measure(options.work, options.encoder)


PARTS = {
    "video": lambda options: video.train(options.work),
    "upscaler": lambda options: upscaler.train(options.work),
    "audio": lambda options: audio.export(options.work),
    "transformer": _transformer,
    "adapter": lambda options: adapter.train(options.work, options.encoder),
    "export": _export,
    "measure": _measure,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--work", type=Path, required=True, help="folder of data sets, states and results")
    parser.add_argument("--encoder", type=Path, required=True,
                        help="folder gemma-3-demo of what `zoetrope demo-model` wrote")
    parser.add_argument("--stream", choices=["video", "audio"], help="transformer: one stream only")
    parser.add_argument("--minutes", type=float, default=600, help="transformer: the most that each stream may take")
    parser.add_argument("--finish", action="store_true",
                        help="transformer: let the learning rate fall to zero within --minutes, and end")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for part in PARTS if options.part == "all" else [options.part]:
        began = time.monotonic()
        PARTS[part](options)
        print(f"{part}: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
