"""Holds text encoder, connectors and transformer against Zoetrope's own phases, in f32 with random weights."""

import torch

from connector import PLACES, all_places, bias_of
from flow import CONFIG, Model
from text import TextEncoder
from zoetropec import HEIGHT, TEXT_ENCODER, WIDTH, Phases, compare, options

PROMPT = "a red ball rolls from left to right on a wooden table"


@torch.no_grad()
def check(given):
    """Runs all comparisons."""
    torch.manual_seed(5)
    encoder = TextEncoder(given.standin / TEXT_ENCODER)
    model = Model(CONFIG, encoder)
    for p in model.parameters():
        # Also what training begins with at zero.
        p.add_(torch.randn_like(p) * 0.1)
    phases = Phases(given, model.official())

    tokens = phases("tokenize", more=("--prompt", PROMPT))
    ids, counts = encoder.tokens([PROMPT])
    count = int(counts[0])
    compare("tokenize", ids[0].float(), tokens["input_ids"][-count:].float())
    hidden = phases("text-encode", tokens)["hidden"]
    compare("text-encode", encoder.hidden(ids)[:, 0], hidden[:, -count:])

    theirs = phases("connect", {"hidden": hidden, "attention_mask": tokens["attention_mask"]})
    places = all_places(count)
    video, audio, _ = model.text(encoder.features(ids), counts, places, True)
    compare("connect, video", video, theirs["v.context"].view_as(video))
    compare("connect, audio", audio, theirs["a.context"].view_as(audio))

    size, audio_tokens = (4, HEIGHT // 32, WIDTH // 32), 26
    rows = size[0] * size[1] * size[2]
    first = (torch.arange(rows) < size[1] * size[2])[:, None]
    latents = torch.randn(1, rows, 128), torch.randn(1, audio_tokens, 128)
    latents[0][..., 64:] = 0
    for held in (False, True):
        sigma = torch.tensor([[0.725]])
        timesteps = torch.tensor([[0.725, 0.0 if held else 0.725]])
        inputs = {
            "v.latent": latents[0], "a.latent": latents[1], "v.context": video, "a.context": audio,
            "v.timesteps": torch.where(first, timesteps[:, 1:], timesteps[:, :1])[None],
            "a.timesteps": sigma.expand(1, audio_tokens, 1), "v.sigma": sigma[0], "a.sigma": sigma[0],
        }
        theirs = phases("velocity", inputs)
        tables = model.tables_of(size)
        bias = bias_of(counts, count, PLACES - count)
        own = model.transformer(latents, timesteps, sigma, first, tables, (video, audio), bias)
        case = "velocity, first frame held" if held else "velocity"
        compare(f"{case}, video", own[0], theirs["v.velocity"].view_as(own[0]))
        compare(f"{case}, audio", own[1], theirs["a.velocity"].view_as(own[1]))


if __name__ == "__main__":
    check(options(__doc__))
