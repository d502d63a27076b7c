#!/usr/bin/env python3
"""Trim raw blocks of every encoding, with their values, to the part that the tests use.

    python3 tests/reference/trim_blocks.py blocks.safetensors tests/fixtures/encodings/blocks.safetensors

`blocks.safetensors` is the full set: bytes and values that torch, gguf-py and comfy-kitchen computed. The output is a
function of it alone. Needs only Python.

What it does: leaves out rounding cases and inputs of products; of matrices with scales in tiles it keeps all codes and
scales, and the values of the rows in ROWS. Bytes are copied, never computed.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

DROPPED = ("round.", ".x", ".x_rotated")
ROWS = {"144x96": [0, 1, 31, 32, 63, 127, 128, 143], "48x320": [0, 31, 32, 47]}


def main(full: Path, out: Path) -> None:
    raw = full.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    data = raw[8 + length :]
    metadata = header.pop("__metadata__") | {"rows." + size: json.dumps(rows) for size, rows in ROWS.items()}
    kept, blobs, at = {}, [], 0
    for name, entry in header.items():
        if name.startswith(DROPPED[0]) or name.endswith(DROPPED[1:]):
            continue
        blob = data[slice(*entry["data_offsets"])]
        size = next((size for size in ROWS if name.endswith(f".{size}.values")), None)
        if size:
            row = len(blob) // entry["shape"][0]
            blob = b"".join(blob[row * r : row * (r + 1)] for r in ROWS[size])
            entry = entry | {"shape": [len(ROWS[size]), *entry["shape"][1:]]}
        kept[name] = entry | {"data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps({"__metadata__": metadata, **kept}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    out.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
