#!/usr/bin/env python3
"""Time PyTorch on a card at the shapes of LTX-2.3, 1920x1088, 241 frames: what `zoetropec selftest --sizes full` and
`zoetrope bench` are compared with.

The rows are those of src/selftest/sizes.txt, under the same names: products by cuBLAS, attention by the best backend of
scaled_dot_product_attention, convolutions by cuDNN, the rest by torch.compile. Then a transformer block's worth of them,
eager and with torch.compile. Medians; random bf16 numbers. Needs a card and torch.
"""

import argparse
import statistics
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

SIZES = Path(__file__).resolve().parents[2] / "src" / "selftest" / "sizes.txt"
DIM, HEADS, TEXT = 4096, 32, 1024
STAGES = {"stage 1": 15_810, "stage 2": 63_240}


def seconds(work, runs):
    """The median time of `work`, after two runs that do not count."""
    times = []
    for run in range(runs + 2):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        if run >= 2:
            times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


def random(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16) * 0.1


def row(name, time, flops=0, moved=0):
    """A line; `moved` are numbers of two bytes."""
    rates = f"{flops / time / 1e12:9.2f} TFLOP/s" if flops else " " * 17
    rates += f" {2 * moved / time / 1e9:9.1f} GB/s" if moved else ""
    print(f"{name:<38} {time * 1e6:11.1f} us {rates}", flush=True)


def copy(runs, rows, width):
    x = random(rows, width)
    y = torch.empty_like(x)
    return seconds(lambda: y.copy_(x), runs), 0, 2 * rows * width


def linear(runs, rows, k, n):
    x, w, bias = random(rows, k), random(n, k), random(n)
    return seconds(lambda: F.linear(x, w, bias), runs), 2 * rows * k * n, rows * k + n * k + rows * n


def attention(runs, queries, keys, heads, head):
    q, k, v = (random(1, heads, rows, head) for rows in (queries, keys, keys))
    times = []
    for backend in [SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]:
        try:
            with sdpa_kernel(backend):
                times.append(seconds(lambda: F.scaled_dot_product_attention(q, k, v), runs))
            print(f"    {backend.name}: {times[-1] * 1e6:.1f} us")
        except RuntimeError as error:
            print(f"    {backend.name}: {str(error).splitlines()[0]}")
    return min(times), 4 * queries * keys * heads * head, 2 * (queries + keys) * heads * head


def channels_last(*shape):
    return random(*shape).contiguous(memory_format=torch.channels_last_3d)


def conv3d(runs, read, written, frames, height, width):
    x, w, bias = channels_last(1, read, frames, height, width), channels_last(written, read, 3, 3, 3), random(written)
    time = seconds(lambda: F.conv3d(x, w, bias, padding=1), runs)
    return time, *of_conv3d(read, written, frames * height * width)


def rms_norm_silu_conv3d(runs, read, written, frames, height, width):
    x, w, bias = channels_last(1, read, frames, height, width), channels_last(written, read, 3, 3, 3), random(written)
    root = lambda x: torch.rsqrt(x.float().pow(2).mean(1, keepdim=True) + 1e-8).bfloat16()
    norm = torch.compile(lambda x: F.silu(x * root(x)), dynamic=False)
    time = seconds(lambda: F.conv3d(norm(x), w, bias, padding=1), runs)
    return time, *of_conv3d(read, written, frames * height * width)


def of_conv3d(read, written, positions):
    return 2 * 27 * read * written * positions, positions * (read + written) + 27 * read * written


def compiled(runs, work, *operands):
    fast = torch.compile(work, dynamic=False)
    return seconds(lambda: fast(*operands), runs)


def rms_norm_modulate(runs, rows, width):
    x, scale, shift = random(rows, width), random(2, width), random(2, width)
    kind = torch.randint(2, (rows,), device="cuda")
    work = lambda x, scale, shift: F.rms_norm(x, (width,), eps=1e-6) * (1 + scale[kind]) + shift[kind]
    return compiled(runs, work, x, scale, shift), 0, 2 * rows * width


def rms_norm_weight(runs, rows, width):
    x, weight = random(rows, width), random(width)
    return compiled(runs, lambda x: F.rms_norm(x, (width,), weight, eps=1e-6), x), 0, 2 * rows * width


def rotated(x, cos, sin, heads):
    """Both halves of every head; the tables are joined already."""
    a, b = x.view(x.shape[0], heads, 2, -1).unbind(2)
    return torch.stack([a * cos - b * sin, b * cos + a * sin], 2).view(x.shape)


def rope(runs, rows, width, heads, before=lambda x: x):
    x, (cos, sin) = random(rows, width), (random(rows, heads, width // heads // 2) for _ in range(2))
    return compiled(runs, lambda x: rotated(before(x), cos, sin, heads), x), 0, 2 * rows * width


def rms_norm_rope(runs, rows, width, heads):
    weight = random(width)
    return rope(runs, rows, width, heads, lambda x: F.rms_norm(x, (width,), weight, eps=1e-6))


KINDS = {work.__name__: work for work in [copy, linear, attention, conv3d, rms_norm_silu_conv3d, rms_norm_modulate,
                                         rms_norm_weight, rope, rms_norm_rope]}


def sizes(runs, path):
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            kind, *numbers = line.split()
            row(line, *KINDS[kind](runs, *map(int, numbers)))


class Block(torch.nn.Module):
    """What takes the time in a block's video stream: self attention, attention to text, feed-forward."""

    def __init__(self):
        super().__init__()
        sizes = {"qkv": (3 * DIM, DIM), "out": (DIM, DIM), "q": (DIM, DIM), "kv": (2 * DIM, DIM), "out2": (DIM, DIM),
                 "up": (4 * DIM, DIM), "down": (DIM, 4 * DIM)}
        for name, (outer, inner) in sizes.items():
            self.register_buffer(name, random(outer, inner))

    def attend(self, q, k, v):
        heads = [x.view(1, -1, HEADS, DIM // HEADS).transpose(1, 2) for x in (q, k, v)]
        return F.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(-1, DIM)

    def forward(self, x, text, shift, scale):
        h = F.rms_norm(x, (DIM,)) * (1 + scale) + shift
        x = x + scale * F.linear(self.attend(*F.linear(h, self.qkv).chunk(3, -1)), self.out)
        h = F.rms_norm(x, (DIM,)) * (1 + scale) + shift
        k, v = F.linear(text, self.kv).chunk(2, -1)
        x = x + scale * F.linear(self.attend(F.linear(h, self.q), k, v), self.out2)
        h = F.rms_norm(x, (DIM,)) * (1 + scale) + shift
        return x + scale * F.linear(F.gelu(F.linear(h, self.up), approximate="tanh"), self.down)


def block(runs):
    for stage, rows in STAGES.items():
        x, text, shift, scale = random(rows, DIM), random(TEXT, DIM), random(DIM), random(DIM)
        flops = 2 * rows * DIM * DIM * 14 + 4 * TEXT * DIM * DIM + 4 * rows * (rows + TEXT) * DIM
        model = Block()
        with torch.inference_mode():
            row(f"block {stage}, eager", seconds(lambda: model(x, text, shift, scale), runs), flops=flops)
            fast = torch.compile(model, mode="max-autotune-no-cudagraphs")
            row(f"block {stage}, torch.compile", seconds(lambda: fast(x, text, shift, scale), runs), flops=flops)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--sizes", type=Path, default=SIZES, help="the rows, a kind and its numbers in each")
    args = parser.parse_args()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    with torch.inference_mode():
        sizes(args.runs, args.sizes)
    block(args.runs)


if __name__ == "__main__":
    main()
