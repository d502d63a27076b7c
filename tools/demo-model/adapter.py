"""An adapter (LoRA) for the demo model: everything in black and white."""

import json
from multiprocessing import Pool

import numpy as np
import torch
from torch import nn

import latents
import world
from examples import Examples
from fitting import export, fit
from flow import loss_of, trained
from text import TextEncoder

RANK, CLIPS, STEPS, RATE = 8, 1500, 1500, 2e-3
SMALL_BATCH, LARGE_BATCH = 32, 8
_GREY = np.array([0.2126, 0.7152, 0.0722], np.float32)


def _grey(clip):
    """A clip without its colours (BT.709's luma)."""
    return np.repeat(np.rint(clip @ _GREY).astype(np.uint8)[..., None], 3, axis=-1)


def _pair(basis, spec, scene):
    """Latents of a grey clip, of the larger and the smaller size."""
    encode = lambda size: basis.encode(_grey(world.draw(spec, size, scene)))[..., : latents.USED].astype(np.float16)
    return encode(world.LARGE), encode(world.SMALL)


def dataset(work, workers):
    """The first clips of the training set in grey, in the folder `grey`."""
    folder, basis = work / "grey", latents.Basis.load(work / "basis.npz")
    folder.mkdir(exist_ok=True)
    _, _, specs, scenes = latents.read_dataset(work / "train")
    with Pool(workers) as pool:
        pairs = pool.starmap(_pair, [(basis, *clip) for clip in zip(specs[:CLIPS], scenes)])
    for name, arrays in zip(("large", "small"), zip(*pairs)):
        np.save(folder / f"{name}.npy", np.stack(arrays))
    listed = json.loads((work / "train/clips.json").read_text())
    (folder / "clips.json").write_text(json.dumps(listed[:CLIPS]))


def _is_changed(name):
    """Linear layers of self-attention and feed-forward of the video in the blocks."""
    return name.startswith("transformer_blocks.") and (".attn1." in name or ".ff." in name) and name.endswith(".weight")


class Adapter(nn.Module):
    """Matrices A [rank, in] and B [out, rank] for the layers of a `flow.Model` that it changes; B starts at zero."""

    def __init__(self, model):
        super().__init__()
        layers = {n: p for n, p in model.transformer.named_parameters() if _is_changed(n) and p.ndim == 2}
        self.names = list(layers)
        rank = lambda p: min(RANK, *p.shape)
        draw = lambda p: nn.Parameter(torch.randn(rank(p), p.shape[1]) / p.shape[1] ** 0.5)
        self.down = nn.ParameterList(draw(p) for p in layers.values())
        self.up = nn.ParameterList(nn.Parameter(torch.zeros(len(p), rank(p))) for p in layers.values())

    def weights(self, model):
        """The changed weights by their names in the model."""
        old = dict(model.transformer.named_parameters())
        pairs = zip(self.names, self.down, self.up)
        return {f"transformer.{name}": old[name] + up @ down for name, down, up in pairs}

    def official(self):
        """Tensors under the names of a LoRA file, bf16."""
        named = {}
        for name, down, up in zip(self.names, self.down, self.up):
            module = "diffusion_model." + name.removesuffix("weight")
            named |= {f"{module}lora_A.weight": down.bfloat16(), f"{module}lora_B.weight": up.bfloat16()}
        return named


def train(work, encoder, workers=2):
    """The part `adapter`, and its export. Wants a trained transformer."""
    if not (work / "grey/clips.json").exists():
        dataset(work, workers)
    encoder = TextEncoder(encoder)
    model, _ = trained(work / "transformer.pt", encoder)
    model.requires_grad_(False)
    examples = Examples(work / "grey", encoder)

    def loss(module, step):
        large = step % 3 == 2
        batch = examples.batch((11, step), large, step % 10 == 0, LARGE_BATCH if large else SMALL_BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            features = encoder.features(batch.ids)
            changed = lambda *given: torch.func.functional_call(model, module.weights(model), given)
            return loss_of(changed, features, batch)[0]

    torch.manual_seed(0)
    adapter = fit(Adapter(model), work / "adapter.pt", STEPS, loss, RATE)
    export(adapter.official(), work / "export/adapter.safetensors")
