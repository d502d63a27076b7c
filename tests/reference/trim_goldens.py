#!/usr/bin/env python3
"""Trim the full set of reference values to the part that the tests use.

    python3 tests/reference/trim_goldens.py GOLDENS/gamma tests/fixtures/gamma

GOLDENS/gamma is one profile of the full set: `<case>.safetensors` files, `index.json`,
`prompts.json` and the recipe of the model files, `weights.json`. The output is a function of
these alone, so running the script again shows whether a fixture was edited by hand. Needs only
Python.

What it does: keeps the cases of CASES; lists the outputs of the cases in ORDER in the order in
which the computation makes them, so that the first divergent tensor of a failing run is the one to
look at; keeps the recipes of MODEL_FILES and of all texts.
Numbers, notes and tolerances are copied, never computed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

# What the distilled path runs, prompt to pixels and waveform; guided steps, masked attention, other solvers; images on
# their way in; LoRAs.
CASES = [
    "tokenizer",
    "gemma",
    "text_features",
    "text_connectors",
    "positions",
    "rope",
    "sigmas",
    "steps",
    "transformer_t2v",
    "transformer_long",
    "transformer_per_token",
    "transformer_guided_batch",
    "transformer_stg_all_video",
    "transformer_stg_audio_one",
    "transformer_no_a2v",
    "transformer_no_v2a",
    "transformer_attention_mask",
    "transformer_video_only",
    "transformer_audio_only",
    "transformer_audio_frozen",
    "lora",
    "conditioning",
    "denoise_contexts",
    "denoise_t2v_distilled",
    "guidance",
    "denoise_t2v_guided",
    "denoise_i2v",
    "denoise_i2v_soft",
    "denoise_keyframes",
    "denoise_gradient_estimation",
    "denoise_skip_step",
    "denoise_hq_res2s",
    "denoise_audio_frozen",
    "denoise_ic_lora",
    "denoise_retake",
    "upsampler",
    "vae_decode",
    "vae_encode",
    "image",
    "audio_decode",
    "audio_encode",
    "two_stage",
    "e2e",
    "e2e_distilled",
]

# Outputs that the full index lists in another order than they are computed.
_STREAM_TAPS = ["patchify", "embedded_timestep", "adaln", "prompt_adaln", "cross_scale_shift", "cross_gate"]
ORDER = {
    "transformer_t2v": [
        *(f"tap.{stream}.{tap}" for stream in "va" for tap in _STREAM_TAPS),
        *(f"tap.block{block}.{stream}" for block in range(2) for stream in "va"),
        "v.velocity",
        "a.velocity",
    ],
    "denoise_t2v_distilled": [
        "step0.denoised.v",
        "step0.denoised.a",
        "step_latents.v",
        "step_latents.a",
        "final.v",
        "final.a",
    ],
}

# The checkpoint, the upscalers, the LoRAs, the text encoder in both layouts.
MODEL_FILES = (
    "ltx-2.3-tiny.safetensors",
    "ltx-2.3-tiny-spatial-upscaler-x2.safetensors",
    "ltx-2.3-tiny-spatial-upscaler-x1.5.safetensors",
    "ltx-2.3-tiny-temporal-upscaler-x2.safetensors",
    "ltx-2.3-tiny-distilled-lora.safetensors",
    "ltx-2.3-tiny-style-lora.safetensors",
    "gemma-3-tiny/",
    "gemma-3-tiny-sharded/",
)


def trim_index(index: dict) -> dict:
    """The entries of CASES, outputs in the order of ORDER."""
    files = {}
    for case in CASES:
        entry = dict(index["files"][case])
        outputs = entry["outputs"]
        order = ORDER.get(case, list(outputs))
        if sorted(order) != sorted(outputs):
            raise SystemExit(f"{case}: ORDER does not list the outputs of the index")
        files[case] = {**entry, "outputs": {k: outputs[k] for k in order}}
    return {**index, "files": files}


def trim_recipe(recipe: dict) -> dict:
    """The recipe of MODEL_FILES with the literals that they use and the sha256 of each file."""
    keep = {rel: spec for rel, spec in recipe["files"].items() if rel.startswith(MODEL_FILES)}
    texts = {rel: text for rel, text in recipe["texts"].items() if rel.startswith(MODEL_FILES)}
    rules = [t[3][2] if t[3][0] == "as" else t[3] for spec in keep.values() for t in spec["tensors"]]
    used = {rule[1] for rule in rules if rule[0] == "lit"}
    return {
        "profile": recipe["profile"],
        "seed": recipe["seed"],
        "literals": {k: v for k, v in recipe["literals"].items() if k in used},
        "texts": texts,
        "sha256": {k: v for k, v in recipe["sha256"].items() if k in keep or k in texts},
        "files": keep,
    }


def recipe_text(recipe: dict) -> str:
    """JSON with one tensor, text or hash a line: small, and readable in a diff."""

    def flat(value: object) -> str:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    def lines(entries: dict) -> str:
        return "{\n" + ",\n".join(f"{flat(k)}:{flat(v)}" for k, v in entries.items()) + "\n}"

    files = []
    for rel, spec in recipe["files"].items():
        tensors = ",\n".join(flat(t) for t in spec["tensors"])
        files.append(f'{flat(rel)}:{{"metadata":{flat(spec["metadata"])},"tensors":[\n{tensors}\n]}}')
    parts = [f'"{k}":{flat(recipe[k])}' for k in ("profile", "seed")]
    parts += [f'"{k}":{lines(recipe[k])}' for k in ("literals", "texts", "sha256")]
    parts.append('"files":{\n' + ",\n".join(files) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        (target / f"{case}.safetensors").write_bytes((source / f"{case}.safetensors").read_bytes())
    index = trim_index(json.loads((source / "index.json").read_text(encoding="utf-8")))
    (target / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    recipe = trim_recipe(json.loads((source / "weights.json").read_text(encoding="utf-8")))
    text = recipe_text(recipe)
    if json.loads(text) != recipe:
        raise SystemExit("the recipe does not read back as written")
    (target / "weights.json").write_text(text, encoding="utf-8")
    for name in ("prompts.json", "image.png"):
        (target / name).write_bytes((source / name).read_bytes())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
