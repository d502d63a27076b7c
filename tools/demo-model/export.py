"""Packs trained tensors into the files that Zoetrope embeds (src/demo/trained.rs reads them).

    python export.py --work WORK [PART ...]

A part is `WORK/export/PART.safetensors`: tensors under their official names. It becomes `src/demo/weights/PART.bin`, a
safetensors file inside a zlib stream. Large f32 tensors are stored as int8 with an f32 scale for every row of the first
axis, under `NAME.row_scale`; small ones as bf16. What a part saved as bf16 stays so, and tables of scales and shifts stay
f32, as in the official files. The hash of all values that Zoetrope will make of a part goes to
`tests/demo/weights.sha256`. Equal tensors give equal bytes.
"""

import argparse
import hashlib
import json
import struct
import zlib
from pathlib import Path

import torch
from safetensors.torch import load_file

PARTS = ("transformer", "video", "audio", "upscaler", "adapter")
ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "src/demo/weights"
HASHES = ROOT / "tests/demo/weights.sha256"

# Smaller tensors are stored as bf16: norms, biases, statistics.
SMALL = 2048
SCALES = ".row_scale"
DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.int8: "I8"}


def stored(name: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """What stands in the file for a tensor, by name."""
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name} has values that are not finite")
    if tensor.dtype == torch.bfloat16 or (tensor.dtype == torch.float32 and "scale_shift_table" in name):
        return {name: tensor}
    if tensor.dtype != torch.float32:
        raise ValueError(f"{name} is {tensor.dtype}; float32 or bfloat16 wanted")
    if tensor.ndim < 2 or tensor.numel() <= SMALL:
        return {name: tensor.to(torch.bfloat16)}
    rows = tensor.reshape(tensor.shape[0], -1)
    scales = rows.abs().amax(1) / 127
    whole = torch.round(rows / scales.clamp(min=1e-30)[:, None]).clamp(-127, 127)
    return {name: whole.to(torch.int8).reshape(tensor.shape), name + SCALES: scales}


def value(name: str, entries: dict[str, torch.Tensor]) -> torch.Tensor:
    """A tensor as Zoetrope makes it from what is stored: bf16, or f32 where that is stored."""
    tensor = entries[name]
    if tensor.dtype != torch.int8:
        return tensor
    scales = entries[name + SCALES].reshape(-1, *[1] * (tensor.ndim - 1))
    return (tensor.to(torch.float32) * scales).to(torch.bfloat16)


def dequantised(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors with the values that Zoetrope will use, to measure with before they are exported."""
    return {name: value(name, stored(name, tensor.detach().cpu())) for name, tensor in tensors.items()}


def content(tensor: torch.Tensor) -> bytes:
    """The elements, little-endian."""
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def safetensors_bytes(entries: dict[str, torch.Tensor]) -> bytes:
    """A safetensors file: wide elements first, so that all are aligned, then by name."""
    order = sorted(entries, key=lambda name: (-entries[name].element_size(), name))
    header, data = {}, []
    end = 0
    for name in order:
        data.append(content(entries[name]))
        begin, end = end, end + len(data[-1])
        dtype, shape = DTYPES[entries[name].dtype], list(entries[name].shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data)


def values_hash(entries: dict[str, torch.Tensor]) -> str:
    """A hash of every tensor as Zoetrope has it, in the order of names: name, element type and bytes."""
    digest = hashlib.sha256()
    for name in sorted(name for name in entries if not name.endswith(SCALES)):
        tensor = value(name, entries)
        digest.update(f"{name} {DTYPES[tensor.dtype]} ".encode() + content(tensor))
    return digest.hexdigest()


def export(part: str, tensors: dict[str, torch.Tensor], weights: Path = WEIGHTS) -> tuple[int, str]:
    """Writes a part; gives the size of its file and the hash of its values."""
    entries = {}
    for name in sorted(tensors):
        entries.update(stored(name, tensors[name].detach().cpu()))
    packed = zlib.compress(safetensors_bytes(entries), 9)
    weights.mkdir(parents=True, exist_ok=True)
    (weights / f"{part}.bin").write_bytes(packed)
    return len(packed), values_hash(entries)


def write_hashes(hashes: dict[str, str], path: Path = HASHES) -> None:
    """Puts the hashes of parts into the list beside those of the others."""
    known = dict(line.split() for line in path.read_text().splitlines()) if path.exists() else {}
    known.update(hashes)
    path.write_text("".join(f"{part} {known[part]}\n" for part in PARTS if part in known))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="the folder of the training")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all that are there if none is named")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    files = {part: arguments.work / "export" / f"{part}.safetensors" for part in PARTS}
    hashes = {}
    for part in arguments.parts or [part for part, file in files.items() if file.exists()]:
        size, hashes[part] = export(part, load_file(files[part]))
        print(f"{part:12} {size / 1e6:6.2f} MB")
    write_hashes(hashes)


if __name__ == "__main__":
    main()
