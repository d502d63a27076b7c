"""Training of text connectors and transformer by flow matching: velocity = noise - clean.

First the video is trained alone. Then the audio is, with the video as it is: sound follows pictures, and nothing
enters the video from the audio. The learning rate is constant up to a last part in which it falls to zero, so training
goes on in any number of sessions, and can end early. All random numbers come from the seed and the step's number.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

import latents
from connector import Text
from examples import LONG_SHARE, SECOND_LEVELS, Examples
from fitting import export
from optimiser import Optimiser
from text import TextEncoder
from transformer import Transformer

CONFIG = {"heads": 2, "layers": 3, "connector_layers": 1}
SEED, SMALL_BATCH, LARGE_BATCH = 1, 64, 16
MATRIX_RATE, RATE, WARM, AVERAGE = 4e-3, 2e-3, 100, 0.995
STEPS, FALL = {"video": 13200, "audio": 2500}, 0.25
"""Steps of each stream, and the share of them in which the rate falls."""
LATE, LARGE_SHARES, SAMPLED_SHARE = 11200, (0.65, 0.8), 0.6
"""From its step `LATE` on the video learns from what the sampler of the second stage meets, too: the shares of large
batches before and after it, and the share of the latter that the model has denoised itself up to a level of this stage.

Their clips are central, because the sampler's first step sees little of where things are. Its guess is their mean, soft
but in the middle, and the later steps learn to make sharp things of it there."""
SAVE_SECONDS = 180


class Model(nn.Module):
    """Text connectors and transformer."""

    def __init__(self, config, encoder):
        super().__init__()
        self.text = Text(config, encoder.width, encoder.states)
        self.transformer = Transformer(config["heads"], config["layers"])
        self.ignore(range(latents.USED, latents.CHANNELS), "")
        self.tables = {}

    @torch.no_grad()
    def ignore(self, channels, prefix):
        """Velocities start at zero. Noise in `channels` that have no latents is neither read nor changed."""
        part = self.transformer.get_submodule
        part(f"{prefix}patchify_proj").weight[:, list(channels)] = 0
        for tensor in part(f"{prefix}proj_out").parameters():
            tensor.zero_()

    def tables_of(self, size):
        """Rotary tables of latents of `size` (frames, rows, columns)."""
        if size not in self.tables:
            self.tables[size] = self.transformer.tables(size, 26)
        return self.tables[size]

    def forward(self, features, batch):
        """Velocities (video, audio or None) of a `Batch`."""
        with_audio = batch.clean[1] is not None
        video, audio, bias = self.text(features, batch.counts, batch.places, with_audio)
        streams = batch.noisy(0), batch.noisy(1) if with_audio else None
        tables = self.tables_of(batch.size)
        return self.transformer(streams, batch.timesteps, batch.sigma, batch.first, tables, (video, audio), bias)

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


def _of_audio(name):
    return any(mark in name for mark in ("audio", "a2v", "v2a", "av_ca"))


def _is_matrix(name, p):
    inside = "transformer_blocks." in name or "1d_blocks." in name
    return inside and p.ndim == 2 and "table" not in name and "gate_logits" not in name


def loss_of(model, features, batch, audio_used=None):
    """Mean square errors of the velocities (video, audio or None), without what is given or has no latents."""
    video, audio = model(features, batch)
    wanted = batch.noise[0] - batch.clean[0]
    free = (~batch.first | (batch.timesteps[:, 1:, None] > 0)).float()
    error = (video.float() - wanted)[..., : latents.USED].square().mean(-1, keepdim=True)
    of_video = (error * free).sum() / free.sum()
    if audio is None:
        return of_video, None
    return of_video, (audio.float() - batch.noise[1] + batch.clean[1])[..., audio_used].square().mean()


@torch.no_grad()
def sample(model, features, batch, levels):
    """Takes the large clips of a `Batch` along the first of these noise levels as the sampler does, up to the last."""
    batch.begin(levels[0])
    for level in levels[1:]:
        batch.step(model(features, batch)[0].float(), level)


class Training:
    """One of `ranks` processes that train together, each on its own part of a step.

    `stream` is what is trained, "video" or "audio"; `audio` are the latents, for the latter.
    """

    def __init__(self, path, dataset, encoder, stream="video", audio=None, config=CONFIG, rank=0, ranks=1):
        self.path, self.stream, self.rank, self.ranks = Path(path), stream, rank, ranks
        self.encoder = TextEncoder(encoder)
        self.examples = Examples(dataset, self.encoder, audio if stream == "audio" else None)
        torch.manual_seed(SEED)
        self.model, self.config = Model(config, self.encoder), config
        for block in self.model.transformer.transformer_blocks:
            block.listens = False
        if stream == "audio":
            self.model.ignore((~self.examples.audio_used).nonzero().flatten().tolist(), "audio_")
        trained = {n: p for n, p in self.model.named_parameters() if _of_audio(n) == (stream == "audio")}
        for name, p in self.model.named_parameters():
            p.requires_grad_(name in trained)
        self.optimiser = Optimiser(trained, _is_matrix)
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.done = {"video": (0, 0.0), "audio": (0, 0.0)}
        if self.path.exists():
            self._resume()
        self.step, self.seconds = self.done[stream]

    def _resume(self):
        saved = torch.load(self.path, weights_only=True)
        if saved["config"] != self.config:
            raise ValueError(f"{self.path}: trained with {saved['config']}, not {self.config}")
        self.done = saved["done"]
        if not self.done[self.stream][0]:
            # What is new keeps what it was made with.
            saved["model"], saved["average"] = (
                {n: t for n, t in saved[kind].items() if _of_audio(n) != (self.stream == "audio")}
                for kind in ("model", "average")
            )
        self.model.load_state_dict(saved["model"], strict=False)
        self.average |= saved["average"]
        self.optimiser.state = saved["optimiser"]

    def save(self):
        """Writes the state beside the old one, then puts it in its place."""
        self.done[self.stream] = self.step, self.seconds
        state = {
            "config": self.config, "done": self.done, "model": self.model.state_dict(), "average": self.average,
            "optimiser": self.optimiser.state,
        }
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.path)

    def losses(self):
        """Gradients of one batch; returns whether it was of the larger size, and its loss."""
        seed = SEED, int(self.stream == "audio"), self.step
        kind = np.random.default_rng(seed)
        late = self.stream == "video" and self.step >= LATE
        large, long = kind.random() < LARGE_SHARES[late], kind.random() < LONG_SHARE
        sampled = late and large and kind.random() < SAMPLED_SHARE
        count = LARGE_BATCH if large else SMALL_BATCH
        batch = self.examples.batch((*seed, self.rank), large, long, count, central=sampled)
        with torch.autocast("cpu", torch.bfloat16):
            features = self.encoder.features(batch.ids)
            if sampled:
                sample(self.model, features, batch, SECOND_LEVELS[: kind.integers(2, len(SECOND_LEVELS) + 1)])
            video, audio = loss_of(self.model, features, batch, self.examples.audio_used)
        loss = video if audio is None else audio
        loss.backward()
        return large, loss.item()

    def _exchange(self):
        """Gradients become the mean of all processes'."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        if self.ranks > 1:
            flat = torch.cat([g.flatten() for g in gradients])
            dist.all_reduce(flat)
            flat /= self.ranks
            parts = flat.split([g.numel() for g in gradients])
            torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients)])
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)

    def update(self, factor):
        """One step of the optimiser with `factor` of the full rates."""
        self._exchange()
        self.optimiser.step(MATRIX_RATE * factor, RATE * factor)
        self.model.zero_grad(set_to_none=True)
        self.step += 1
        keep = min(AVERAGE, self.step / (self.step + 20))
        names = list(self.optimiser.named)
        with torch.no_grad():
            torch._foreach_lerp_([self.average[n] for n in names], list(self.optimiser.named.values()), 1 - keep)

    def _rate(self, left):
        """Share of the full rates, with this share of the time `left` if training shall end with it."""
        steps = STEPS[self.stream]
        fall = (steps - self.step) / (FALL * steps) if left is None else left
        return min(1.0, (self.step + 1) / WARM, fall)

    def run(self, seconds, finish=False):
        """Trains for `seconds`, or up to the last step. With `finish` the rate falls all the time, which is the end."""
        began = saved = time.monotonic()
        before, recent = self.seconds, {True: [], False: []}
        while finish or self.step < STEPS[self.stream]:
            gone = torch.tensor(time.monotonic() - began)
            if self.ranks > 1:
                dist.broadcast(gone, 0)
            gone = gone.item()
            if gone >= seconds:
                break
            large, loss = self.losses()
            self.update(self._rate(1 - gone / seconds if finish else None))
            self.seconds = before + gone
            recent[large].append(loss)
            if self.rank == 0 and self.step % 200 == 0:
                small, large = (f"{np.mean(recent[size]):.4f}" for size in (False, True))
                sizes = f"loss {small} at half size, {large} at full size"
                print(f"{self.stream}: step {self.step}, {sizes}, {self.seconds:.0f} s", flush=True)
                recent = {True: [], False: []}
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


def train(work, encoder, stream, minutes, finish=False, ranks=2):
    """Trains a stream, "video" or "audio", as far as it is not, for `minutes` at most, and exports the transformer.

    With `finish` the rate falls to zero in these minutes. Several processes of one thread each are faster than several
    threads, most of all where other programs want the processor, too. `work` holds the data sets of the video and the
    latents of its sound; `encoder` is the folder of the text encoder.
    """
    path = work / "transformer.pt"
    settings = {"path": path, "dataset": work / "train", "encoder": encoder, "stream": stream}
    if stream == "audio":
        settings["audio"] = np.load(work / "train/audio.npy")
    with tempfile.TemporaryDirectory() as folder:
        arguments = ranks, str(Path(folder) / "store"), settings, 60 * minutes, finish
        torch.multiprocessing.spawn(_process, arguments, nprocs=ranks)
    model, _ = trained(path, TextEncoder(encoder))
    export(model.official(), work / "export/transformer.safetensors")


def trained(path, encoder):
    """The model of a file of `Training.save`, with averaged weights, and the number of steps of each stream."""
    saved = torch.load(path, weights_only=True)
    model = Model(saved["config"], encoder)
    model.load_state_dict(saved["model"])
    model.load_state_dict(saved["average"], strict=False)
    return model.eval(), {stream: steps for stream, (steps, _) in saved["done"].items()}
