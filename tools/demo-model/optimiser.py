"""The transformer's optimiser: orthogonal updates (Muon) for the matrices of the blocks, Adam for the rest."""

import torch
import torch.distributed as dist

_MOMENTUM, _BETAS, _EPS = 0.95, (0.9, 0.99), 1e-10
_STEPS, _COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)


def _orthogonal(stack):
    """Newton-Schulz iteration: `stack` [n, rows, columns] with all singular values near 1."""
    a, b, c = _COEFFICIENTS
    tall = stack.shape[1] > stack.shape[2]
    x = (stack.mT if tall else stack).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).float()


def _shared(stack):
    """`_orthogonal`, of which each of several processes that have the same `stack` computes its part."""
    if not dist.is_initialized():
        return _orthogonal(stack)
    ranks, rank = dist.get_world_size(), dist.get_rank()
    part = -(-len(stack) // ranks)
    own = torch.zeros(part, *stack.shape[1:])
    mine = stack[rank * part : (rank + 1) * part]
    if len(mine):
        own[: len(mine)] = _orthogonal(mine)
    every = [torch.empty_like(own) for _ in range(ranks)]
    dist.all_gather(every, own)
    return torch.cat(every)[: len(stack)]


class Optimiser:
    """Updates the named parameters that have a gradient, those of `is_matrix(name, parameter)` orthogonally."""

    def __init__(self, named, is_matrix):
        self.named = dict(named)
        self.matrices = {}
        for name, p in self.named.items():
            if is_matrix(name, p):
                self.matrices.setdefault(p.shape, []).append(name)
        chosen = {name for names in self.matrices.values() for name in names}
        self.others = [name for name in self.named if name not in chosen]
        self.state = {}

    def _of(self, name, *keys):
        p = self.named[name]
        return self.state.setdefault(name, {key: torch.zeros_like(p) for key in keys} | {"step": 0})

    @torch.no_grad()
    def step(self, matrix_rate, rate, decay=0.01):
        """One step. Both rates are in units of Adam's: an update's elements have a root mean square of 0.2 times it."""
        for shape, names in self.matrices.items():
            names = [name for name in names if self.named[name].grad is not None]
            if not names:
                continue
            ahead = []
            for name in names:
                gradient, state = self.named[name].grad, self._of(name, "mean")
                state["mean"].lerp_(gradient, 1 - _MOMENTUM)
                ahead.append(gradient.lerp(state["mean"], _MOMENTUM))
            scale = 0.2 * max(shape) ** 0.5
            for name, update in zip(names, _shared(torch.stack(ahead))):
                p = self.named[name]
                p.mul_(1 - matrix_rate * decay).add_(update, alpha=-matrix_rate * scale)
        self._adam([name for name in self.others if self.named[name].grad is not None], rate)

    def _adam(self, names, rate):
        if not names:
            return
        states = [self._of(name, "mean", "square") for name in names]
        gradients = [self.named[name].grad for name in names]
        means, squares = [s["mean"] for s in states], [s["square"] for s in states]
        torch._foreach_lerp_(means, gradients, 1 - _BETAS[0])
        torch._foreach_lerp_(squares, torch._foreach_mul(gradients, gradients), 1 - _BETAS[1])
        for name, state, mean, square in zip(names, states, means, squares):
            state["step"] += 1
            n = state["step"]
            root = (square / (1 - _BETAS[1] ** n)).sqrt_().add_(_EPS)
            self.named[name].addcdiv_(mean, root, value=-rate / (1 - _BETAS[0] ** n))
