"""Makes tests/fixtures/tiny: what the tiny decoders (docs/model/video-vae.md 11) make of a small latent, by PyTorch.

    python tests/reference/tiny_decoder.py tests/fixtures/tiny/tiny_decoders.safetensors

Weights are made up from the names of their tensors by integer arithmetic, so that the test makes the same ones
(tests/parity/tiny.rs). Frame by frame, with a memory of the frame before: another way round than the plan's.
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

LATENT = (128, 2, 1, 2)  # channels, frames, rows, columns
KINDS = {"tiny": ((256, 128, 64), None), "tiny-wide": ((1024, 512, 256), 64)}


def uniform(name: str, count: int) -> np.ndarray:
    """Numbers in -1..1: SplitMix64 of the FNV-1a hash of the name, and the place."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    z = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    whole = (z >> np.uint64(40)).astype(np.int64) - 2**23
    return whole.astype(np.float32) / np.float32(2**23)


def tensor(kind: str, name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Filters keep the size of what they sum; biases are small, but for that of the pixels."""
    values = uniform(f"{kind}/{name}", int(np.prod(shape)))
    if name.endswith(".bias"):
        values = values * np.float32(0.125) + np.float32(0.5 if name == "decoder.22.bias" else 0.0)
    else:
        values = values * np.float32(np.sqrt(3.0 / float(np.prod(shape[1:]))))
    return torch.from_numpy(values.reshape(shape))


class Decoder:
    def __init__(self, kind: str):
        self.kind, (self.widths, self.group) = kind, KINDS[kind]
        self.past: dict[int, torch.Tensor] = {}
        self.made: dict[str, torch.Tensor] = {}

    def conv(self, name: str, x: torch.Tensor, out: int, side: int, bias: bool = True, groups: int = 1) -> torch.Tensor:
        def get(part: str, *shape: int) -> torch.Tensor:
            key = f"decoder.{name}.{part}"
            if key not in self.made:
                self.made[key] = tensor(self.kind, key, shape)
            return self.made[key]

        weight = get("weight", out, x.shape[1] // groups, side, side)
        return F.conv2d(x, weight, get("bias", out) if bias else None, padding=side // 2, groups=groups)

    def block(self, number: int, x: torch.Tensor) -> torch.Tensor:
        past = self.past.get(number, torch.zeros_like(x))
        self.past[number] = x
        h, width = torch.cat([x, past], 1), x.shape[1]
        if self.group is None:
            for i, name in enumerate(("conv.0", "conv.2", "conv.4")):
                h = self.conv(f"{number}.{name}", torch.relu(h) if i else h, width, 3)
        else:
            groups = width // self.group
            h = torch.relu(self.conv(f"{number}.conv.0", h, width, 1))
            h = torch.relu(self.conv(f"{number}.conv.2", h, width, 3, groups=groups))
            h = torch.relu(self.conv(f"{number}.conv.4", h, width, 1))
            h = self.conv(f"{number}.conv.6", h, width, 3, groups=groups)
        return torch.relu(h + x)

    def level(self, level: int, x: torch.Tensor) -> list[torch.Tensor]:
        """The frames that a frame becomes from this level on."""
        if level == 3:
            x = self.conv("22", torch.relu(x), 48, 3)
            return [F.pixel_shuffle(x, 4).clamp(0, 1)]
        first = 3 + 6 * level
        for number in range(first, first + 3):
            x = self.block(number, x)
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        pair = self.conv(f"{first + 4}.conv", x, 2 * x.shape[1], 1, bias=False).chunk(2, 1)
        out = (*self.widths, 64)[level + 1]
        return [y for half in pair for y in self.level(level + 1, self.conv(f"{first + 5}", half, out, 3, bias=False))]

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        frames = []
        for z in latent.unbind(1):
            x = 3 * torch.tanh(z[None] / 3)
            frames += self.level(0, torch.relu(self.conv("1", x, self.widths[0], 3)))
        return torch.stack([frame[0] for frame in frames[7:]], 1)


def main() -> None:
    latent = uniform("latent", int(np.prod(LATENT))).reshape(LATENT) * np.float32(2.5)
    out = {"in.latent": latent[None]}
    for kind in KINDS:
        # In 64 bits, rounded once.
        decoder = Decoder(kind)
        with torch.inference_mode():
            torch.set_default_dtype(torch.float64)
            made = tensor
            globals()["tensor"] = lambda *args: made(*args).double()
            video = decoder.decode(torch.from_numpy(latent).double())
            globals()["tensor"] = made
        # As the phase leaves them: -1..1, [1, 3, frames, height, width].
        out[f"{kind}.video"] = (2 * video - 1).float().numpy()[None]
        inside = ((video > 0) & (video < 1)).double().mean().item()
        print(kind, tuple(video.shape), f"{inside:.2f} of the values inside 0..1")
    save_file(out, sys.argv[1], metadata={"made by": "tests/reference/tiny_decoder.py", "torch": torch.__version__})


if __name__ == "__main__":
    main()
