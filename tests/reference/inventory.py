#!/usr/bin/env python3
"""Write the tensors of the published files, one text file a component, one line a tensor.

    python3 tests/reference/inventory.py LISTS model-spec/tests/inventory

LISTS holds the lists of tensors that the model documents name: `ltx-2.3-22b.tensors.json`,
`ltx-2.3-upscalers.tensors.json`, `gemma-3-12b.tensors.json`. A line is `name dtype shape`, the
shape with commas, sorted by name. Only the components that are compiled are written: no encoders
of images or audio, no other upscalers, no vision tower. Needs only Python.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

# Component as the lists call it: file to write.
COMPONENTS = {
    "ltx-2.3-22b": {
        "text_embedding_projection": "text_projections",
        "video_embeddings_connector": "video_connector",
        "audio_embeddings_connector": "audio_connector",
        "transformer": "transformer",
        "video_vae_statistics": "video_statistics",
        "video_vae_decoder": "video_decoder",
        "audio_vae_statistics": "audio_statistics",
        "audio_vae_decoder": "audio_decoder",
        "vocoder": "vocoder",
        "vocoder_bwe": "vocoder_bwe",
        "vocoder_mel_stft": "vocoder_mel_stft",
    },
    "ltx-2.3-upscalers": {"spatial_x2": "spatial_upscaler"},
    "gemma-3-12b": {"text": "gemma"},
}


def main(lists: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for file, components in COMPONENTS.items():
        tensors = json.loads((lists / f"{file}.tensors.json").read_text())["tensors"]
        for component, name in components.items():
            lines = sorted(
                f"{t['name']} {t['dtype']} {','.join(map(str, t['shape']))}\n"
                for t in tensors
                if t["component"] == component
            )
            (out / f"{name}.txt").write_text("".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
