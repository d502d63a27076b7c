"""The attention and feed-forward modules that transformer and connectors share (docs/model/transformer.md 7)."""

import torch
from torch import nn
from torch.nn import functional as F

import rope

EPS = 1e-6


def rms(x):
    """`x` divided by the root of the mean of its squares over the last axis, in f32."""
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)


class Norm(nn.Module):
    """RMS norm over the last axis with a weight."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return rms(x) * self.weight


class Attention(nn.Module):
    """Gated attention of `heads` heads, `inner` wide together, from tokens of `width` to a context of `context`.

    The output projection starts at zero, so that a new block changes nothing.
    """

    def __init__(self, width, context, inner, heads):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, inner)
        self.to_k = nn.Linear(context, inner)
        self.to_v = nn.Linear(context, inner)
        self.q_norm, self.k_norm = Norm(inner), Norm(inner)
        self.to_gate_logits = nn.Linear(width, heads)
        self.to_out = nn.ModuleList([nn.Linear(inner, width)])
        for linear in (self.to_gate_logits, self.to_out[0]):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x, context, q_table=None, k_table=None, bias=None):
        """`x` [batch, tokens, width], `context` [batch, keys, context]; `bias` is added to all scores."""
        split = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q, k = split(self.q_norm(self.to_q(x))), split(self.k_norm(self.to_k(context)))
        v = split(self.to_v(context))
        if q_table is not None:
            q, k = rope.rotate(q, q_table), rope.rotate(k, k_table)
        # Plain products: for a few hundred tokens they are faster than a fused kernel, above all backwards.
        scores = (q.to(v.dtype) @ k.to(v.dtype).transpose(-1, -2)).float() * q.shape[-1] ** -0.5
        weights = torch.softmax(scores if bias is None else scores + bias, -1)
        attended = weights.to(v.dtype) @ v
        gates = 2 * torch.sigmoid(self.to_gate_logits(x)).transpose(1, 2).unsqueeze(-1)
        return self.to_out[0]((attended * gates).transpose(1, 2).flatten(2))


class _Projection(nn.Module):
    def __init__(self, width, out):
        super().__init__()
        self.proj = nn.Linear(width, out)


class FeedForward(nn.Module):
    """Linear to four times the width, GELU (tanh), linear back; the second one starts at zero."""

    def __init__(self, width):
        super().__init__()
        self.net = nn.ModuleList([_Projection(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])
        nn.init.zeros_(self.net[2].weight)
        nn.init.zeros_(self.net[2].bias)

    def forward(self, x):
        return self.net[2](F.gelu(self.net[0].proj(x), approximate="tanh"))
