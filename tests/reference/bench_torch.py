#!/usr/bin/env python3
"""Time PyTorch on a card at the shapes of LTX-2.3, 1920x1088, 241 frames: what `zoetrope bench` is compared with.

Products, attention (every backend of scaled_dot_product_attention), a convolution of the video decoder, copies, and one
transformer block's worth of them, eager and with torch.compile. Medians; random bf16 numbers. Needs a card and torch.
"""

import argparse
import statistics

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

DIM, HEADS, TEXT, AUDIO = 4096, 32, 1024, 251
STAGES = {"stage 1": 15_810, "stage 2": 63_240}


def seconds(work, turns):
    """The median time of `work`, after two turns that do not count."""
    times = []
    for turn in range(turns + 2):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        if turn >= 2:
            times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


def random(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16) * 0.1


def row(name, time, flops=0, moved=0):
    rate = f"{flops / time / 1e12:9.1f} TFLOP/s" if flops else f"{moved / time / 1e9:9.1f} GB/s"
    print(f"{name:<58} {time * 1e3:10.3f} ms {rate}")


def products(turns):
    for stage, rows in STAGES.items():
        for name, inner, outer in [("qkv and gates", DIM, 3 * DIM + HEADS), ("out", DIM, DIM),
                                   ("ff in", DIM, 4 * DIM), ("ff out", 4 * DIM, DIM)]:
            x, w, bias = random(rows, inner), random(outer, inner), random(outer)
            time = seconds(lambda: F.linear(x, w, bias), turns)
            row(f"linear {stage}, {name}: {rows} x {inner} -> {outer}", time, flops=2 * rows * inner * outer)


def attention(turns):
    for stage, rows in STAGES.items():
        for kind, keys in [("self", rows), ("text", TEXT), ("audio", AUDIO)]:
            q = random(1, HEADS, rows, DIM // HEADS)
            k, v = random(1, HEADS, keys, DIM // HEADS), random(1, HEADS, keys, DIM // HEADS)
            best = None
            for backend in [SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]:
                try:
                    with sdpa_kernel(backend):
                        time = seconds(lambda: F.scaled_dot_product_attention(q, k, v), turns)
                except RuntimeError as error:
                    print(f"attention {stage}, {kind}, {backend.name}: {str(error).splitlines()[0]}")
                    continue
                row(f"attention {stage}, {kind}, {backend.name}", time, flops=4 * rows * keys * DIM)
                best = min(best or time, time)
            if best:
                row(f"attention {stage}, {kind}, best", best, flops=4 * rows * keys * DIM)


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


def block(turns):
    for stage, rows in STAGES.items():
        x, text, shift, scale = random(rows, DIM), random(TEXT, DIM), random(DIM), random(DIM)
        flops = 2 * rows * DIM * DIM * 14 + 4 * TEXT * DIM * DIM + 4 * rows * (rows + TEXT) * DIM
        model = Block()
        with torch.inference_mode():
            row(f"block {stage}, eager", seconds(lambda: model(x, text, shift, scale), turns), flops=flops)
            fast = torch.compile(model, mode="max-autotune-no-cudagraphs")
            row(f"block {stage}, torch.compile", seconds(lambda: fast(x, text, shift, scale), turns), flops=flops)


def convolutions(turns):
    # The decoder's widths, at a few of its frames: channels, frames, height, width.
    for channels, frames, height, width in [(1024, 31, 34, 60), (512, 61, 68, 120), (512, 32, 136, 240),
                                             (256, 32, 136, 240), (128, 32, 272, 480)]:
        x = random(1, channels, frames + 2, height + 2, width + 2).contiguous(memory_format=torch.channels_last_3d)
        w = random(channels, channels, 3, 3, 3).contiguous(memory_format=torch.channels_last_3d)
        time = seconds(lambda: F.conv3d(x, w), turns)
        flops = 2 * 27 * channels * channels * frames * height * width
        row(f"conv3d {channels} channels, {frames}x{height}x{width}", time, flops=flops)


def copies(turns):
    x = random(1 << 29)
    y = torch.empty_like(x)
    row("copy of 1 GiB", seconds(lambda: y.copy_(x), turns), moved=2 * x.numel() * 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=10)
    turns = parser.parse_args().turns
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    with torch.inference_mode():
        copies(turns)
        products(turns)
        attention(turns)
        convolutions(turns)
    block(turns)


if __name__ == "__main__":
    main()
