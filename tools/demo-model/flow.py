"""Training of text connectors and transformer by flow matching: velocity = noise - clean.

The learning rate is constant until a last part in which it falls to zero (`finish`), so training can go on in any
number of sessions. All random numbers come from the seed and the number of the step.
"""

import os
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

import latents
from connector import Text
from examples import Examples
from optimiser import Optimiser
from text import TextEncoder
from transformer import Transformer

CONFIG = {"heads": 1, "layers": 10, "connector_layers": 1}
SEED, SMALL_BATCH, LARGE_BATCH, LARGE_SHARE = 1, 64, 16, 0.3
MATRIX_RATE, RATE, WARM, AVERAGE = 4e-3, 2e-3, 200, 0.9995
SAVE_SECONDS = 180


class Model(nn.Module):
    """Text connectors and transformer."""

    def __init__(self, config, encoder):
        super().__init__()
        self.text = Text(config, encoder.width, encoder.states)
        self.transformer = Transformer(config["heads"], config["layers"])
        # Noise in channels that have no latents stays outside.
        with torch.no_grad():
            self.transformer.patchify_proj.weight[:, latents.USED :] = 0
        self.tables = {}

    def tables_of(self, size):
        if size not in self.tables:
            self.tables[size] = self.transformer.tables(size, 26)
        return self.tables[size]

    def velocities(self, features, batch):
        """(video, audio or None) of a `Batch`."""
        with_audio = batch.clean[1] is not None
        video, audio, bias = self.text(features, batch.counts, batch.places, with_audio)
        streams = batch.noisy(0), batch.noisy(1) if with_audio else None
        tables = self.tables_of(batch.size)
        return self.transformer(
            streams, batch.timesteps, batch.sigma, batch.first, tables, (video, audio), bias
        )

    def official(self):
        """Tensors under their names in a checkpoint."""
        prefix = "model.diffusion_model."
        named = {prefix + name: t for name, t in self.transformer.state_dict().items()}
        return named | self.text.official()

    def compile(self):
        """Compiles the parts that repeat."""
        parts = list(self.transformer.transformer_blocks)
        for stream in (self.text.video, self.text.audio):
            parts += stream["connector"].transformer_1d_blocks
        for part in parts:
            part.compile(dynamic=False)


def _is_matrix(name, p):
    return p.ndim == 2 and ("transformer_blocks." in name or "1d_blocks." in name) and not (
        "table" in name or "gate_logits" in name
    )


def loss_of(model, features, batch):
    """Mean square errors of the velocities (video, audio or None), without what is given or has no latents."""
    video, audio = model.velocities(features, batch)
    wanted = batch.noise[0] - batch.clean[0]
    free = (~batch.first | (batch.timesteps[:, 1:, None] > 0)).float()
    error = (video.float() - wanted)[..., : latents.USED].square().mean(-1, keepdim=True)
    of_video = (error * free).sum() / free.sum()
    if audio is None:
        return of_video, None
    used = (batch.noise[1] != 0).any(0).any(0)
    return of_video, (audio.float() - batch.noise[1] + batch.clean[1])[..., used].square().mean()


class Training:
    """One of `ranks` processes that train together, each on its own part of a step."""

    def __init__(self, work, dataset, encoder, audio, config, rank=0, ranks=1):
        self.work, self.rank, self.ranks = Path(work), rank, ranks
        self.encoder = TextEncoder(encoder)
        self.examples = Examples(dataset, self.encoder, audio)
        torch.manual_seed(SEED)
        self.model = Model(config, self.encoder)
        self.config = config
        named = dict(self.model.named_parameters())
        self.optimiser = Optimiser(named, _is_matrix)
        self.average = {name: p.detach().clone() for name, p in named.items()}
        self.step, self.seconds = 0, 0.0
        if self.path.exists():
            self._resume()

    @property
    def path(self):
        return self.work / "transformer.pt"

    def _resume(self):
        saved = torch.load(self.path, weights_only=True)
        if saved["config"] != self.config:
            raise ValueError(f"{self.path}: trained with {saved['config']}, not {self.config}")
        self.model.load_state_dict(saved["model"])
        self.optimiser.state, self.average = saved["optimiser"], saved["average"]
        self.step, self.seconds = saved["step"], saved["seconds"]

    def save(self):
        """Writes the state beside the old one, then puts it in its place."""
        state = {
            "config": self.config, "step": self.step, "seconds": self.seconds, "model": self.model.state_dict(),
            "average": self.average, "optimiser": self.optimiser.state,
        }
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.path)

    def _losses(self):
        large = torch.rand(1, generator=torch.Generator().manual_seed(self.step)).item() < LARGE_SHARE
        batch = self.examples.batch((SEED, self.step, self.rank), large, LARGE_BATCH if large else SMALL_BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            features = self.encoder.features(batch.ids)
            video, audio = loss_of(self.model, features, batch)
        (video if audio is None else video + audio).backward()
        return large, video.item(), None if audio is None else audio.item()

    def _exchange(self):
        """Gradients become the mean of all processes'."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        if self.ranks > 1:
            flat = torch.cat([g.flatten() for g in gradients])
            dist.all_reduce(flat)
            torch._foreach_copy_(
                gradients, [f.view_as(g) for f, g in zip(flat.split([g.numel() for g in gradients]), gradients)]
            )
            torch._foreach_div_(gradients, self.ranks)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)

    @torch.no_grad()
    def _average(self):
        keep = min(AVERAGE, self.step / (self.step + 20))
        torch._foreach_lerp_(list(self.average.values()), list(self.model.parameters()), 1 - keep)

    def run(self, seconds, finish=0.0):
        """Trains for `seconds`, in the last `finish` of them with a falling rate."""
        began, saved, sums = time.monotonic(), time.monotonic(), {}
        before = self.seconds
        while True:
            gone = time.monotonic() - began
            stop = torch.tensor([gone, float(gone >= seconds)])
            if self.ranks > 1:
                dist.broadcast(stop, 0)
            gone = stop[0].item()
            if stop[1]:
                break
            fall = min(1.0, (seconds - gone) / finish) if finish else 1.0
            factor = min(1.0, (self.step + 1) / WARM) * fall
            self.model.zero_grad(set_to_none=True)
            large, video, audio = self._losses()
            self._exchange()
            self.optimiser.step(MATRIX_RATE * factor, RATE * factor)
            self.step += 1
            self.seconds = before + gone
            self._average()
            for name, value in (("large" if large else "small", video), ("audio", audio)):
                if value is not None:
                    sums.setdefault(name, []).append(value)
            if self.rank == 0 and self.step % 200 == 0:
                means = " ".join(f"{name} {sum(v) / len(v):.4f}" for name, v in sorted(sums.items()))
                print(f"step {self.step} {means} {self.seconds:.0f} s", flush=True)
                sums = {}
            if self.rank == 0 and time.monotonic() - saved > SAVE_SECONDS:
                self.save()
                saved = time.monotonic()
        if self.rank == 0:
            self.save()


def _process(rank, ranks, store, settings, seconds, finish):
    torch.set_num_threads(1)
    if ranks > 1:
        dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=ranks)
    training = Training(**settings, rank=rank, ranks=ranks)
    training.model.compile()
    training.run(seconds, finish)
    if ranks > 1:
        dist.destroy_process_group()


def train(settings, ranks, seconds, finish=0.0):
    """Trains in `ranks` processes of one thread each; `settings` are the first arguments of `Training`.

    Several processes are faster than several threads, most of all where other programs want the processor, too.
    """
    if ranks == 1:
        _process(0, 1, None, settings, seconds, finish)
        return
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        torch.multiprocessing.spawn(_process, (ranks, store, settings, seconds, finish), nprocs=ranks)
