#!/usr/bin/env python3
"""Compare the CPU executor with PyTorch: the same model, the same inputs, float32, every core, one machine.

    python tests/reference/bench_cpu.py --zoetropec target/release/zoetropec

Two cases: one step of the transformer and one decode of a video. Both sides run in rounds, one after the other; a
round is a warm-up and a few timed runs, loading is excluded on both sides, and medians are compared. Before any ratio
is printed the two results must agree. Beside the ratio stand both sides' shares of the machine's own product rate: of
the fastest of some large float32 products, by PyTorch and, with `--cpu-speed target/release/examples/cpu_speed`, by
the library that our products are made of. Without `--zoetropec` only PyTorch is measured. `README.md` beside this file
says how to install what it needs.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
from safetensors.torch import load_file, save_file

import bench_model
from bench_model import AUDIO_HEAD, HEADS, LATENT_CHANNELS, VIDEO_HEAD, Files

TEXT_TOKENS = 1024
SIGMA = 0.725
FPS = 24
# Largest relative L2 difference of two float32 runs of one network: rounding and the last bits of rotary angles
# make some 1e-5, the smallest mistakes 1e-4 and most 1e-2.
TOLERANCE = 1e-3
# The share of all cores that others may have before a round counts as disturbed.
QUIET = 0.04

Tensors = dict[str, torch.Tensor]


@dataclass
class Case:
    """One phase at one size, and the same work by diffusers."""

    phase: str
    width: int
    height: int
    frames: int
    inputs: Tensors
    module: torch.nn.Module
    run: Callable[[], Tensors]

    def target(self, files: Files) -> str:
        return (
            f"width = {self.width}\nheight = {self.height}\nframes = {self.frames}\nfps = {FPS}\n"
            f'pipeline = "distilled-single-stage"\ndtype = "f32"\ntext_tokens = {TEXT_TOKENS}\n\n'
            f'[model]\ncheckpoint = "{files.checkpoint}"\ntext_encoder = "{files.text_encoder}"\n'
            f'spatial_upscaler = "{files.upscaler}"\n'
        )


def latent_size(width: int, height: int, frames: int) -> tuple[int, int, int]:
    return (frames - 1) // 8 + 1, height // 32, width // 32


def velocity(files: Files, rng: torch.Generator) -> Case:
    """One step: velocities of both streams, every token at the same noise level."""
    width, height, frames = 512, 512, 57
    f, h, w = latent_size(width, height, frames)
    audio_tokens = round(frames / FPS * 25)
    normal = lambda *shape: torch.randn(1, *shape, generator=rng)  # noqa: E731
    inputs = {
        "v.latent": normal(f * h * w, LATENT_CHANNELS),
        "a.latent": normal(audio_tokens, LATENT_CHANNELS),
        "v.timesteps": torch.full((1, f * h * w, 1), SIGMA),
        "a.timesteps": torch.full((1, audio_tokens, 1), SIGMA),
        "v.sigma": torch.tensor([SIGMA]),
        "a.sigma": torch.tensor([SIGMA]),
        "v.context": normal(TEXT_TOKENS, HEADS * VIDEO_HEAD),
        "a.context": normal(TEXT_TOKENS, HEADS * AUDIO_HEAD),
    }
    module = bench_model.fill(bench_model.transformer(), bench_model.official_transformer_name, files.checkpoint)
    # One timestep for the whole batch element, as diffusers' text-to-video pipeline passes it: its modulation is
    # then computed once and not once per token.
    timestep = inputs["v.sigma"] * 1000

    def run() -> Tensors:
        video, audio = module(
            hidden_states=inputs["v.latent"],
            audio_hidden_states=inputs["a.latent"],
            encoder_hidden_states=inputs["v.context"],
            audio_encoder_hidden_states=inputs["a.context"],
            timestep=timestep,
            sigma=timestep,
            num_frames=f,
            height=h,
            width=w,
            fps=float(FPS),
            audio_num_frames=audio_tokens,
            use_cross_timestep=True,
            return_dict=False,
        )
        return {"v.velocity": video, "a.velocity": audio}

    return Case("velocity", width, height, frames, inputs, module, run)


def video_decode(files: Files, rng: torch.Generator, channels_last: bool) -> Case:
    """One decode, from the normalised latent to pixels, untiled."""
    width, height, frames = 512, 512, 57
    latent = torch.randn(1, LATENT_CHANNELS, *latent_size(width, height, frames), generator=rng)
    vae = bench_model.fill(bench_model.video_vae(), bench_model.official_vae_name, files.checkpoint)
    if channels_last:
        vae.decoder.to(memory_format=torch.channels_last_3d)
    mean, std = (s.view(1, -1, 1, 1, 1) for s in (vae.latents_mean, vae.latents_std))

    def run() -> Tensors:
        return {"video": vae.decode(latent * std + mean, return_dict=False)[0]}

    return Case("video-decode", width, height, frames, {"v.latent": latent}, vae, run)


def flops(case: Case) -> float:
    """Twice the multiply-adds of linears, attention products and convolutions in one run."""
    total = 0

    def linear(module, _args, out):
        nonlocal total
        total += 2 * out.numel() * module.in_features

    def convolution(module, _args, out):
        nonlocal total
        total += 2 * out.numel() * module.weight[0].numel()

    def attention(module, args, kwargs, _out):
        nonlocal total
        queries = args[0] if args else kwargs["hidden_states"]
        keys = kwargs.get("encoder_hidden_states")
        total += 4 * queries.shape[1] * (queries if keys is None else keys).shape[1] * module.inner_dim

    hooks = []
    for module in case.module.modules():
        if isinstance(module, torch.nn.Linear):
            hooks.append(module.register_forward_hook(linear))
        elif isinstance(module, torch.nn.Conv3d):
            hooks.append(module.register_forward_hook(convolution))
        elif type(module).__name__ == "LTX2Attention":
            hooks.append(module.register_forward_hook(attention, with_kwargs=True))
    case.run()
    for hook in hooks:
        hook.remove()
    return total


def pytorch(case: Case, runs: int) -> tuple[list[float], Tensors]:
    """Seconds of each run after a warm-up, and the results."""
    out = case.run()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        out = case.run()
        seconds.append(time.perf_counter() - start)
    return seconds, out


class OtherWork:
    """What else the machine does, without which a median says little. Linux counts it; elsewhere it is unknown."""

    STAT = Path("/proc/stat")

    def __init__(self):
        self.start = self.read()

    def read(self) -> tuple[float, float, float]:
        """Seconds since the clocks' start: of all cores, busy; of this process and its children, busy; wall."""
        if not self.STAT.exists():
            return 0.0, 0.0, time.perf_counter()
        ticks = [int(word) for word in self.STAT.read_text().split("\n")[0].split()[1:9]]
        user, nice, system, _idle, _wait, irq, soft, steal = ticks
        busy = (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
        return busy, sum(os.times()[:4]), time.perf_counter()

    def share(self) -> float:
        """Of all cores' time since the start, the part that others had."""
        busy, own, wall = (now - then for now, then in zip(self.read(), self.start))
        return max(0.0, busy - own) / (wall * os.cpu_count())

    @classmethod
    def quiet_round(cls, run_round: Callable[[], tuple[list[float], Tensors]], patience: float):
        """A round and the share that others had of it: the first with little, or the best within `patience` seconds."""
        end = time.monotonic() + patience
        best = None
        while best is None or (best[0] > QUIET and time.monotonic() < end):
            while time.monotonic() < end and cls.over_a_second() > QUIET:
                pass
            window = cls()
            result = run_round()
            share = window.share()
            if best is None or share < best[0]:
                best = share, result
        return best

    @classmethod
    def over_a_second(cls) -> float:
        window = cls()
        time.sleep(1)
        return window.share()


class Ours:
    """`zoetropec eval` of one case."""

    def __init__(self, program: Path, case: Case, files: Files, folder: Path):
        target, inputs = folder / f"{case.phase}.toml", folder / f"{case.phase}.in.safetensors"
        self.outputs = folder / f"{case.phase}.out.safetensors"
        target.write_text(case.target(files))
        save_file(case.inputs, inputs)
        self.command = [str(program), "eval", str(target), case.phase]
        for option, value in {
            "--checkpoint": files.checkpoint,
            "--text-encoder": files.text_encoder,
            "--spatial-upscaler": files.upscaler,
            "--inputs": inputs,
            "--outputs": self.outputs,
        }.items():
            self.command += [option, str(value)]

    def __call__(self, runs: int) -> tuple[list[float], Tensors]:
        """Seconds of each run after a warm-up, and the results."""
        command = [*self.command, "--repeat", str(runs + 1)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        line = next(line for line in done.stdout.splitlines() if line.startswith("replay seconds:"))
        seconds = [float(word) for word in line.split(":")[1].split()]
        return seconds[1:], load_file(self.outputs)


def differences(ours: Tensors, theirs: Tensors) -> dict[str, float]:
    """Relative L2 difference of every output; a NaN anywhere stays one."""
    found = {}
    for name, wanted in theirs.items():
        got = ours[name]
        if got.shape != wanted.shape:
            raise SystemExit(f"{name} has shape {tuple(got.shape)}, PyTorch's {tuple(wanted.shape)}")
        got, wanted = got.double(), wanted.double()
        found[name] = ((got - wanted).norm() / wanted.norm()).item()
    return found


def product_rate(cpu_speed: Path | None) -> float:
    """Operations per second of the fastest large product that the machine is seen to make."""
    left, right = (torch.randn(2048, 2048) for _ in range(2))
    torch.mm(left, right)
    seconds = []
    for _ in range(9):
        start = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - start)
    rates = {"PyTorch": 2 * 2048**3 / statistics.median(seconds)}
    if cpu_speed:
        done = subprocess.run([cpu_speed], stdout=subprocess.PIPE, text=True, check=True)
        words = [line.split() for line in done.stdout.splitlines() if " library " in line]
        rates["the library"] = max(float(line[line.index("library") + 1]) for line in words) * 1e9
    print("large products: " + ", ".join(f"{rate / 1e9:.1f} GFLOP/s by {by}" for by, rate in rates.items()), flush=True)
    return max(rates.values())


def describe(side: str, seconds: list[float], shares: list[float], work: float, products: float) -> float:
    median = statistics.median(seconds)
    rate = work / median
    print(f"  {side}: {median:.3f} s median of {len(seconds)}, {rate / 1e9:.1f} GFLOP/s, {rate / products:.2f} of products, "
          f"{min(seconds):.3f} to {max(seconds):.3f} s; others had {100 * statistics.median(shares):.0f} % of the "
          f"cores, {100 * max(shares):.0f} % in the worst of {len(shares)} rounds", flush=True)
    return median


def measure(case: Case, ours: Ours | None, products: float, rounds: int, runs: int, patience: float) -> bool:
    """Prints what was measured; whether both sides computed the same."""
    work = flops(case)
    shapes = ", ".join(f"{name} {tuple(t.shape)}" for name, t in case.inputs.items() if name.endswith("latent"))
    print(f"{case.phase}: {case.width}x{case.height}, {case.frames} frames, {shapes}, {work / 1e9:.1f} GFLOP")
    our_seconds, their_seconds, our_shares, their_shares = [], [], [], []
    for _ in range(rounds):
        if ours is not None:
            share, (seconds, our_outputs) = OtherWork.quiet_round(lambda: ours(runs), patience)
            our_seconds += seconds
            our_shares.append(share)
        share, (seconds, their_outputs) = OtherWork.quiet_round(lambda: pytorch(case, runs), patience)
        their_seconds += seconds
        their_shares.append(share)
    their_median = describe("PyTorch", their_seconds, their_shares, work, products)
    if ours is None:
        return True
    our_median = describe("ours   ", our_seconds, our_shares, work, products)
    differ = differences(our_outputs, their_outputs)
    same = all(difference <= TOLERANCE for difference in differ.values())
    for name, difference in differ.items():
        print(f"  {name}: relative L2 difference {difference:.2e}")
    if not same:
        print(f"  the results differ by more than {TOLERANCE}: no ratio")
    elif max(statistics.median(our_shares), statistics.median(their_shares)) > QUIET:
        print("  other work on the machine disturbed most rounds of a side: no ratio; try --patience")
    else:
        shares = [work / median / products for median in (our_median, their_median)]
        print(f"  ours / PyTorch: {our_median / their_median:.3f}, at {shares[0]:.2f} and {shares[1]:.2f} of the machine's products")
    return same


def machine() -> str:
    names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")] if Path("/proc/cpuinfo").exists() else [platform.processor()]
    return (f"{names[0]}, {os.cpu_count()} cores, PyTorch {torch.__version__} "
            f"({torch.backends.cpu.get_cpu_capability()}), diffusers {diffusers.__version__}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zoetropec", type=Path, help="the compiler; without it only PyTorch is measured")
    parser.add_argument("--cpu-speed", type=Path, help="the example of this name, which times our library's products")
    parser.add_argument("--phase", choices=["velocity", "video-decode"], help="only this one")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each side")
    parser.add_argument("--runs", type=int, default=3, help="timed runs of a round")
    parser.add_argument("--patience", type=float, default=0,
                        help="seconds to spend at most on a round until one is undisturbed by other work")
    parser.add_argument("--channels-last", action="store_true", help="PyTorch's video decoder in channels_last_3d")
    parser.add_argument("--folder", type=Path, help="where to put the model files and leave them")
    args = parser.parse_args()

    torch.set_num_threads(os.cpu_count())
    with tempfile.TemporaryDirectory() as temporary, torch.inference_mode():
        folder = (args.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        files = bench_model.write_files(folder)
        cases = {
            "velocity": lambda rng: velocity(files, rng),
            "video-decode": lambda rng: video_decode(files, rng, args.channels_last),
        }
        print(machine(), flush=True)
        products = product_rate(args.cpu_speed)
        same = True
        for phase, make in cases.items():
            if args.phase in (None, phase):
                case = make(torch.Generator().manual_seed(7))
                ours = args.zoetropec and Ours(args.zoetropec, case, files, folder)
                same &= measure(case, ours, products, args.rounds, args.runs, args.patience)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
