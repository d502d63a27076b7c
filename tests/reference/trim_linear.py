#!/usr/bin/env python3
"""Trim one linear layer of quantised weights and rounded inputs, with its result, to the part that the tests use.

    python3 tests/reference/trim_linear.py VARIANTS files_linear.safetensors index.json tests/fixtures/encodings/linear.safetensors

VARIANTS is the folder with the small model in every kind of file. Codes, scales and results are those that comfy-kitchen
computed, weights those of the files; of both the first ROWS outputs are kept. Bytes are copied, never computed. Needs only
Python.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

ROWS = 16
MODULE = "transformer_blocks.1.ff.net.2"
# Of the weights: what has a row for each output, and what is kept whole (scales in tiles begin with their rows).
BY_ROW, WHOLE = ("weight", "bias"), ("weight_scale", "weight_scale_2", "input_scale")


def tensors(path: Path) -> dict[str, tuple[str, list[int], bytes]]:
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    data = raw[8 + length :]
    return {name: (e["dtype"], e["shape"], data[slice(*e["data_offsets"])]) for name, e in header.items()}


def rows(entry: tuple[str, list[int], bytes]) -> tuple[str, list[int], bytes]:
    dtype, shape, data = entry
    return dtype, [ROWS, *shape[1:]], data[: len(data) // shape[0] * ROWS]


def main(variants: Path, linear: Path, index: Path, out: Path) -> None:
    made = {}
    goldens = tensors(linear)
    for rule, facts in json.loads(index.read_text())["files"]["files_linear"]["facts"].items():
        file = tensors(variants / f"{facts['file']}.safetensors")
        prefix = next(name for name in file if name.endswith(f"{MODULE}.weight"))[: -len("weight")]
        for what in BY_ROW:
            made[f"{rule}.{what}"] = rows(file[prefix + what])
        for what in WHOLE:
            if prefix + what in file:
                dtype, shape, data = file[prefix + what]
                by_row = dtype == "F32" and shape[:1] == file[prefix + "weight"][1][:1]
                made[f"{rule}.{what}"] = rows((dtype, shape, data)) if by_row else (dtype, shape, data)
        for what in ("codes", "scales", "tensor_scale"):
            if f"{rule}.f32.{what}" in goldens:
                made[f"{rule}.x.{what}"] = goldens[f"{rule}.f32.{what}"]
        dtype, shape, data = goldens[f"{rule}.f32.y"]
        inner = len(data) // shape[0]
        kept = b"".join(data[inner * r : inner * r + 4 * ROWS] for r in range(shape[0]))
        made[f"{rule}.y"] = (dtype, [shape[0], ROWS], kept)
    header, blobs, at = {}, [], 0
    for name, (dtype, shape, data) in sorted(made.items()):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        blobs.append(data)
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    out.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
