"""The loop that trains a part by regression: seeded, with an average of the weights, resumed where it stopped."""

import copy
import os
import time

import torch
from safetensors.torch import save_file

SAVE_SECONDS = 60
WARM_UP, FALL = 100, 0.5
MOMENTUM, KEPT = 0.95, 0.998


def rate(step, steps):
    """Share of the full learning rate: a warm-up, then level, then a linear fall over the last half."""
    return min(1, (step + 1) / WARM_UP, (steps - step) / (steps * FALL))


def _orthogonal(matrix):
    """Newton-Schulz iteration: `matrix` [rows, columns] with all singular values near 1."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.mT if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Orthogonal updates of convolutions. A step is `lr` times what a weight's singular values are at first (root mean
    square, at least 0.3): the same share of every layer, whatever the sizes of what it sees."""

    def __init__(self, weights, lr):
        super().__init__(weights, {"lr": lr})
        for weight in self.param_groups[0]["params"]:
            matrix = weight.detach().flatten(1)
            size = matrix.norm() / min(matrix.shape) ** 0.5
            self.state[weight] = {"mean": torch.zeros_like(weight), "size": size.clamp(min=0.3)}

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                mean, size = self.state[weight]["mean"], self.state[weight]["size"]
                mean.lerp_(weight.grad, 1 - MOMENTUM)
                ahead = weight.grad.lerp(mean, MOMENTUM).flatten(1)
                weight -= group["lr"] * size * _orthogonal(ahead).view_as(weight)


def adam(module, learning_rate):
    """Adam for all weights: what `fit` takes unless told otherwise."""
    return [torch.optim.AdamW(module.parameters(), learning_rate, betas=(0.9, 0.98), weight_decay=1e-4)]


def muon(module, learning_rate):
    """Orthogonal updates for convolutions, Adam at a thirtieth of the rate for the rest."""
    weights = [p for p in module.parameters() if p.ndim > 1]
    rest = [p for p in module.parameters() if p.ndim == 1]
    return [Muon(weights, learning_rate), torch.optim.Adam(rest, learning_rate / 30, betas=(0.9, 0.98))]


def fit(module, path, steps, loss, learning_rate, report=100, optimizers=adam):
    """Trains `module` on `loss(module, step)` and returns its averaged copy.

    `loss` draws its batch from the number of the step alone. Every minute all state goes to `path`; a later call goes
    on from there. The time that training took in total is printed.
    """
    average = copy.deepcopy(module).requires_grad_(False)
    optimizers = optimizers(module, learning_rate)
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    names = ["optimizer", "optimizer2"][: len(optimizers)]
    parts = {"module": module, "average": average} | dict(zip(names, optimizers))
    start, spent = 0, 0.0
    if path.exists():
        state = torch.load(path)
        start, spent = state["step"], state["seconds"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    began = saved = time.time()
    total = 0.0
    for step in range(start, steps):
        module.zero_grad()
        value = loss(module, step)
        value.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        for optimizer, full in zip(optimizers, rates):
            optimizer.param_groups[0]["lr"] = full * rate(step, steps)
            optimizer.step()
        keep = min(KEPT, step / (step + 50))
        with torch.no_grad():
            for old, new in zip(average.parameters(), module.parameters()):
                old.lerp_(new, 1 - keep)
        total += value.item()
        if (step + 1) % report == 0:
            print(f"{path.stem}: step {step + 1} of {steps}, loss {total / report:.6f}, "
                  f"{spent + time.time() - began:.0f} s", flush=True)
            total = 0.0
        if time.time() - saved > SAVE_SECONDS or step + 1 == steps:
            saved = time.time()
            state = {"step": step + 1, "seconds": spent + saved - began}
            torch.save(state | {name: part.state_dict() for name, part in parts.items()}, path.with_suffix(".new"))
            os.replace(path.with_suffix(".new"), path)
    return average


def load(module, path):
    """`module` with the averaged weights that `fit` left at `path`."""
    module.load_state_dict(torch.load(path)["average"])
    return module.requires_grad_(False)


def export(tensors, path):
    """Writes a part's tensors under their official names.

    Matrices of nothing but zeros look damaged (`zoetrope verify --deep`), so they get one number that changes nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    written = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    for tensor in written.values():
        if tensor.ndim > 1 and not tensor.any():
            tensor.view(-1)[0] = 1e-9
    save_file(written, path)
