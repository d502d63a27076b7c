#!/usr/bin/env python3
"""Writes tests/fixtures/enhancement/written.safetensors: what Gemma 3 writes, computed without a cache.

Every token comes from a whole pass over all tokens so far, by Hugging Face's model in float32 on a CPU. Token t of the
answer is the one of rank t mod 5, because a model with random weights repeats the likeliest. Needs torch, transformers,
tokenizers, safetensors, and the small model of tests/fixtures/gamma (any run of `cargo test --test parity` leaves its
folder `gemma-3-tiny` in the target folder).

    python tests/reference/write_enhancement.py GEMMA_FOLDER OUT_FILE [--fixtures tests/fixtures/gamma]

The hidden states of the model that is loaded here are first compared with those of the official code.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import Gemma3TextConfig
from transformers.models.gemma3.modeling_gemma3 import Gemma3ForCausalLM

SYSTEM = (
    "You turn short ideas into long descriptions of one shot.\n"
    "Say what is seen, what moves, and what is heard; write one paragraph."
)
PROMPT = "A red fox runs through deep snow, the camera follows."
TOKENS = 20
RANKS = 5
PREFIX = "language_model."


def chat(system: str, prompt: str) -> str:
    """The text of Gemma's chat template, with its own BOS."""
    return (
        f"<bos><start_of_turn>user\n{system}\n\nuser prompt: {prompt}<end_of_turn>\n<start_of_turn>model\n"
    )


def model_of(folder: Path) -> Gemma3ForCausalLM:
    text = json.loads((folder / "config.json").read_text())["text_config"]
    text.pop("torch_dtype")
    layers, pattern = text["num_hidden_layers"], text.pop("sliding_window_pattern")
    kinds = ["full_attention" if (i + 1) % pattern == 0 else "sliding_attention" for i in range(layers)]
    scaling, theta, local = (text.pop(key) for key in ("rope_scaling", "rope_theta", "rope_local_base_freq"))
    text["rope_parameters"] = {
        "full_attention": {"rope_type": "linear", "factor": scaling["factor"], "rope_theta": float(theta)},
        "sliding_attention": {"rope_type": "default", "rope_theta": float(local)},
    }
    config = Gemma3TextConfig(**text, layer_types=kinds, attn_implementation="eager")
    model = Gemma3ForCausalLM(config)
    weights = {
        name.removeprefix(PREFIX): tensor.float()
        for name, tensor in load_file(folder / "model.safetensors").items()
        if name.startswith(PREFIX)
    }
    left = model.load_state_dict(weights, strict=False)
    assert left.missing_keys == ["lm_head.weight"] and not left.unexpected_keys, left
    model.tie_weights()
    return model.float().eval()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--fixtures", type=Path, default=Path("tests/fixtures/gamma"))
    a = arguments.parse_args()
    model = model_of(a.folder)
    known = {name: load_file(a.fixtures / f"{name}.safetensors") for name in ("tokenizer", "gemma")}
    ids, mask = (known["tokenizer"][f"p0.{name}"].long().reshape(1, -1) for name in ("input_ids", "attention_mask"))
    with torch.no_grad():
        out = model.model(ids, attention_mask=mask, position_ids=torch.arange(ids.shape[1])[None], output_hidden_states=True)
    states = torch.stack([state[0, mask[0] == 1] for state in out.hidden_states])
    official = torch.stack([known["gemma"][f"p0.hidden.{i}"] for i in range(len(states))])
    difference = float((states - official).norm() / official.norm())
    assert difference < 1e-5, f"the model that was loaded is not the official code's: {difference}"
    tokenizer = Tokenizer.from_file(str(a.folder / "tokenizer.json"))
    asked = tokenizer.encode(chat(SYSTEM, PROMPT)).ids
    assert asked[:2] == [2, 2], "the template's BOS and the post-processor's"
    ids, logits = list(asked), []
    for _ in range(TOKENS):
        with torch.no_grad():
            logits.append(model(torch.tensor([ids]), use_cache=False).logits[0, -1].float())
        ids.append(int(logits[-1].argsort(descending=True)[len(logits[1:]) % RANKS]))
    new = ids[len(asked):]
    sorted_logits = torch.stack(logits).sort(descending=True).values[:, : RANKS + 1]
    margin = float((sorted_logits[:, :-1] - sorted_logits[:, 1:]).min())
    assert margin > 3e-4, f"two tokens are as likely as each other: {margin}"
    assert not {1, 106} & set(new), "the answer ends too early"
    print(f"{len(asked)} tokens asked, {new} written, smallest margin {margin:.1e}, official states within {difference:.1e}")
    a.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {
            "chat_ids": torch.tensor(asked),
            "new_ids": torch.tensor(new),
            "logits": torch.stack(logits),
        },
        a.out,
        metadata={"system": SYSTEM, "prompt": PROMPT, "text": tokenizer.decode(new, skip_special_tokens=True)},
    )


if __name__ == "__main__":
    main()
