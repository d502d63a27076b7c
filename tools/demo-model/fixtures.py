"""Writes what the tests of the demo model compare with: `tests/demo/`.

    python fixtures.py [--out DIR]

- `backgrounds/`: the background pictures
- `captions.tsv`: 200 held-out captions, and what they say: colour, shape, motion, background, and the loudness of the
  drawn sound, in thousandths, as `audio_measure.loudness` has it
- `drawn/`: clips as the world draws them, with their sounds, in H.264 and AAC at a low rate; `drawn.tsv` says what they
  show
- `first.png`: the first frame of a clip

Needs ffmpeg with libx264. Equal tools write equal files.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import world
from audio_measure import loudness
from backgrounds import BACKGROUNDS, background
from sound import RATE, waveform

ROOT = Path(__file__).resolve().parents[2]
CAPTIONS = 200
CLIPS = 60
MOMENTS = 48
"""Of 20 ms, whose loudness is compared."""
RATE_FACTOR = 32
"""Of x264: higher is smaller."""


def fields(spec: world.Spec, scene: int) -> list[str]:
    """Colour, shape, motion, background and loudness of a spec with one object."""
    ((colour, shape),) = spec.objects
    loud = loudness(waveform(spec, scene)).reshape(2, -1)[:, :MOMENTS]
    thousandths = np.rint(1000 * loud.ravel()).astype(int)
    return [colour, shape, spec.motion, spec.background, " ".join(map(str, thousandths))]


def encode(frames: np.ndarray, wave: np.ndarray, path: Path) -> None:
    """Writes frames [n, height, width, 3] and a wave [2, samples] as the tests decode them: H.264 Baseline, BT.709,
    limited range; AAC at 48 kHz."""
    _, height, width, _ = frames.shape
    with tempfile.NamedTemporaryFile(suffix=".raw") as sound:
        sound.write(wave.T.astype("<f4").tobytes())
        sound.flush()
        command = f"ffmpeg -v error -y -f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {world.FPS} -i -".split()
        command += f"-f f32le -ar {RATE} -ac 2 -i {sound.name}".split()
        command += "-vf scale=out_color_matrix=bt709:out_range=tv -pix_fmt yuv420p".split()
        command += f"-c:v libx264 -profile:v baseline -crf {RATE_FACTOR} -preset veryslow -threads 1".split()
        command += "-bsf:v filter_units=remove_types=6 -c:a aac -b:a 48k -ar 48000".split()
        command += ["-fflags", "+bitexact", "-flags:a", "+bitexact", "-movflags", "+faststart", str(path)]
        subprocess.run(command, input=frames.tobytes(), check=True)


def write_backgrounds(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in BACKGROUNDS:
        Image.fromarray(background(name)).save(folder / f"{name}.png", optimize=True)


def write_captions(path: Path) -> None:
    """A fixed wording of each spec, so that all wordings are asked for."""
    lines = []
    for number, spec in enumerate(world.held_out_specs()[:CAPTIONS]):
        lines.append([world.caption(spec, np.random.default_rng(number)), *fields(spec, number)])
    path.write_text("".join("\t".join(line) + "\n" for line in lines))


def write_clips(folder: Path, table: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    # From the far end of the list, so that few are those of the captions.
    for number, spec in enumerate(world.held_out_specs()[::-1][:CLIPS]):
        name = f"{number:03}.mp4"
        encode(world.draw(spec, world.LARGE, number), waveform(spec, number), folder / name)
        lines.append([name, *fields(spec, number)])
    table.write_text("".join("\t".join(line) + "\n" for line in lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "tests/demo", help="the folder")
    arguments = parser.parse_args()
    write_backgrounds(arguments.out / "backgrounds")
    write_captions(arguments.out / "captions.tsv")
    write_clips(arguments.out / "drawn", arguments.out / "drawn.tsv")
    first = world.Spec((("red", "ball"),), "rolls right", "wood")
    Image.fromarray(world.draw(first, world.LARGE, 0)[0]).save(arguments.out / "first.png", optimize=True)


if __name__ == "__main__":
    main()
