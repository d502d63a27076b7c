#!/usr/bin/env python3
"""Writes tests/fixtures/enhancement/seen.safetensors: what Gemma 3 sees and writes of an image, computed without a cache.

Every token comes from a whole pass over the image and all tokens so far, by Hugging Face's model in float32 on a CPU, which
is told which tokens are the image's. Token t of the answer is the one of rank t mod 5, because a model with random weights
repeats the likeliest. Needs torch, transformers, tokenizers, safetensors, Pillow, and the small model of tests/fixtures/gamma (any
run of `cargo test --test parity` leaves its folder `gemma-3-tiny` in the target folder).

    python tests/reference/write_sight.py GEMMA_FOLDER OUT_FILE
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import Gemma3Config, Gemma3ForConditionalGeneration

from write_enhancement import RANKS, TOKENS

SYSTEM = (
    "You turn a picture and a short idea into a long description of one shot.\n"
    "Say what is seen, what moves, and what is heard; write one paragraph."
)
PROMPT = "The fox in it begins to run"
SEED = 5
SIDE = 48


def renamed(name: str) -> str:
    """A published name as this version of the library has it."""
    for old, new in (
        ("language_model.model.", "model.language_model."),
        ("vision_tower.vision_model.", "model.vision_tower."),
        ("multi_modal_projector.", "model.multi_modal_projector."),
    ):
        if name.startswith(old):
            return new + name.removeprefix(old)
    raise ValueError(name)


def model_of(folder: Path) -> Gemma3ForConditionalGeneration:
    config = Gemma3Config.from_pretrained(folder, attn_implementation="eager")
    model = Gemma3ForConditionalGeneration(config)
    weights = {renamed(name): tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    left = model.load_state_dict(weights, strict=False)
    assert left.missing_keys == ["lm_head.weight"] and not left.unexpected_keys, left
    model.tie_weights()
    return model.float().eval()


def shown_to(side: int, picture: Path) -> torch.Tensor:
    """A picture as the text encoder is shown it: first its long side becomes `side`, then it is stretched to a square. The
    library's image processor resizes 8-bit tensors with antialiasing, by the same function of torch."""
    rgb = torch.from_numpy(np.array(Image.open(picture).convert("RGB")))
    height, width = rgb.shape[:2]
    scale = side / float(max(height, width))
    goal = int(height * scale), int(width * scale)
    cover = max(goal[0] / height, goal[1] / width)
    scaled = math.ceil(height * cover), math.ceil(width * cover)
    x = torch.nn.functional.interpolate(rgb.permute(2, 0, 1)[None], size=scaled, mode="bilinear", align_corners=False)
    top, left = (scaled[0] - goal[0]) // 2, (scaled[1] - goal[1]) // 2
    x = x[..., top : top + goal[0], left : left + goal[1]].contiguous()
    assert x.dtype == torch.uint8 and x.shape[-2] != x.shape[-1]
    x = torch.nn.functional.interpolate(x, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return (x[0].float() / 255 - 0.5) / 0.5


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--picture", type=Path, default=Path("tests/fixtures/gamma/image.png"))
    a = arguments.parse_args()
    torch.set_num_threads(1)
    model = model_of(a.folder)
    config, tokenizer = model.config, Tokenizer.from_file(str(a.folder / "tokenizer.json"))
    kinds, window = config.text_config.layer_types, config.text_config.sliding_window
    side, soft = config.vision_config.image_size, config.mm_tokens_per_image
    torch.manual_seed(SEED)
    pixels = torch.randint(0, 256, (1, 3, side, side)).float() / 127.5 - 1
    shown = "<start_of_image>" + "<image_soft_token>" * soft + "<end_of_image>"
    chat = (
        f"<bos><start_of_turn>user\n{SYSTEM}\n\n\n\n{shown}\n\nUser Raw Input Prompt: {PROMPT}.<end_of_turn>\n"
        "<start_of_turn>model\n"
    )
    asked = tokenizer.encode(chat).ids
    assert asked[:2] == [2, 2], "the template's BOS and the post-processor's"
    assert asked.count(config.image_token_id) == soft
    with torch.no_grad():
        features = model.get_image_features(pixels)
    features = getattr(features, "pooler_output", features)
    features = features[0] if isinstance(features, (list, tuple)) else features

    def of(ids: list[int], told: bool = True) -> torch.Tensor:
        ids = torch.tensor([ids])
        types = (ids == config.image_token_id).long()
        with torch.no_grad():
            out = model(ids, pixel_values=pixels, token_type_ids=types if told else None, use_cache=False)
        return out.logits[0, -1].float()

    ids, logits = list(asked), []
    for _ in range(TOKENS):
        logits.append(of(ids))
        ids.append(int(logits[-1].argsort(descending=True)[len(logits[1:]) % RANKS]))
    new = ids[len(asked):]
    sorted_logits = torch.stack(logits).sort(descending=True).values[:, : RANKS + 1]
    margin = float((sorted_logits[:, :-1] - sorted_logits[:, 1:]).min())
    assert margin > 3e-4, f"two tokens are as likely as each other: {margin}"
    assert not {1, 106} & set(new), "the answer ends too early"
    forward = float((of(asked, told=False) - logits[0]).norm() / logits[0].norm())
    print(f"{len(asked)} tokens asked, the image from {asked.index(config.image_token_id)} on, {new} written, smallest margin {margin:.1e}")
    print(f"layers {kinds}, window {window}; causal among the image's tokens the first logits are {forward:.1e} away")
    assert forward > 1e-4, "the golden values do not tell one mask from the other"
    a.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {
            "shown": shown_to(SIDE, a.picture).contiguous(),
            "pixels": pixels.contiguous(),
            "image": features.reshape(-1, features.shape[-1]).float().contiguous(),
            "chat_ids": torch.tensor(asked),
            "new_ids": torch.tensor(new),
            "logits": torch.stack(logits),
        },
        a.out,
        metadata={"system": SYSTEM, "prompt": PROMPT},
    )


if __name__ == "__main__":
    main()
