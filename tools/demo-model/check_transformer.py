"""Holds text encoder, connectors and transformer against Zoetrope's own phases, in f32 with random weights."""

import argparse
import json
import subprocess
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from connector import PLACES, all_places, bias_of
from flow import CONFIG, Model
from text import TextEncoder

PROMPT = "a red ball rolls from left to right on a wooden table"
FRAMES, HEIGHT, WIDTH = 25, 192, 256


def set_sizes(config, sizes):
    """`sizes` ("heads", "layers", "connector_layers") in the config of a checkpoint, a dictionary."""
    heads = sizes["heads"]
    config["transformer"] |= {
        "num_attention_heads": heads, "audio_num_attention_heads": heads, "num_layers": sizes["layers"],
        "cross_attention_dim": heads * 128, "audio_cross_attention_dim": heads * 64,
        "caption_channels": heads * 128, "connector_num_attention_heads": heads,
        "audio_connector_num_attention_heads": heads, "connector_num_layers": sizes["connector_layers"],
    }
    return config


class Zoetrope:
    """Phases of `zoetropec eval` for a model in the folder `work`."""

    def __init__(self, program, standin, work, model, sizes):
        self.program, self.work = program, work
        stock = standin / "ltx-2.3-demo.safetensors"
        with safe_open(stock, "pt") as file:
            metadata = file.metadata()
        metadata["config"] = json.dumps(set_sizes(json.loads(metadata["config"]), sizes))
        tensors = {name: t.detach().clone().contiguous() for name, t in model.official().items()}
        own = work / "check.safetensors"
        save_file(load_file(stock) | tensors, own, metadata=metadata)
        (work / "check.toml").write_text(
            f'width = {WIDTH}\nheight = {HEIGHT}\nframes = {FRAMES}\nfps = 24\npipeline = "distilled"\n'
            f'dtype = "f32"\ntimestep_classes = 2\nmodel = {{ checkpoint = "{own}", '
            f'text_encoder = "{standin / "gemma-3-demo"}", '
            f'spatial_upscaler = "{standin / "ltx-2.3-demo-spatial-upscaler-x2.safetensors"}" }}\n'
        )

    def phase(self, name, inputs=None, options=()):
        """Outputs of a phase for a dictionary of tensors."""
        given, made = self.work / f"{name}.in.safetensors", self.work / f"{name}.out.safetensors"
        command = [self.program, "eval", self.work / "check.toml", name, "--outputs", made, *options]
        if inputs is not None:
            save_file({key: t.clone().contiguous() for key, t in inputs.items()}, given)
            command += ["--inputs", given]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return load_file(made)


def compare(what, own, theirs):
    """Prints the largest difference, and refuses one above 1e-3 of the values' size."""
    difference, size = (own - theirs).abs().max().item(), theirs.abs().max().item()
    print(f"{what}: largest difference {difference:.1e} of {size:.2f}")
    if difference > 1e-3 * size:
        raise SystemExit(f"{what}: differs")


@torch.no_grad()
def check(program, standin, work, sizes=CONFIG):
    """Runs all comparisons."""
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(5)
    encoder = TextEncoder(standin / "gemma-3-demo")
    model = Model(sizes, encoder)
    for p in model.parameters():
        # Also what training begins with at zero.
        p.add_(torch.randn_like(p) * 0.1)
    zoetrope = Zoetrope(program, standin, work, model, sizes)

    tokens = zoetrope.phase("tokenize", options=("--prompt", PROMPT))
    ids, counts = encoder.tokens([PROMPT])
    count = int(counts[0])
    compare("tokenize", ids[0].float(), tokens["input_ids"][-count:].float())
    hidden = zoetrope.phase("text-encode", tokens)["hidden"]
    compare("text-encode", encoder.hidden(ids)[:, 0], hidden[:, -count:])

    theirs = zoetrope.phase("connect", {"hidden": hidden, "attention_mask": tokens["attention_mask"]})
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
        theirs = zoetrope.phase("velocity", inputs)
        tables = model.tables_of(size)
        bias = bias_of(counts, count, PLACES - count)
        own = model.transformer(latents, timesteps, sigma, first, tables, (video, audio), bias)
        case = "velocity, first frame held" if held else "velocity"
        compare(f"{case}, video", own[0], theirs["v.velocity"].view_as(own[0]))
        compare(f"{case}, audio", own[1], theirs["a.velocity"].view_as(own[1]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoetropec", required=True, help="the program zoetropec")
    parser.add_argument("--standin", type=Path, required=True, help="what `zoetrope demo-model` wrote")
    parser.add_argument("--work", type=Path, required=True, help="a folder for files in between")
    options = parser.parse_args()
    check(options.zoetropec, options.standin, options.work)
