"""From text features to the contexts of both streams (docs/model/text.md 3 and 4)."""

import math

import torch
from torch import nn

import rope
from attention import Attention, FeedForward, rms

PLACES, REGISTERS = 1024, 128


class _Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attn1 = Attention(width, width, width, heads)
        self.ff = FeedForward(width)

    def forward(self, x, table, bias):
        h = rms(x)
        x = x + self.attn1(h, h, table, table, bias)
        return x + self.ff(rms(x))


class Connector(nn.Module):
    """Blocks of self-attention over the prompt's tokens and the registers behind them."""

    def __init__(self, width, heads, layers):
        super().__init__()
        self.learnable_registers = nn.Parameter(torch.randn(REGISTERS, width))
        self.transformer_1d_blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        cos, sin = rope.places(PLACES, width, heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, features, counts, places, bias):
        """Context [batch, rows, width] of `features` [batch, longest, width].

        Rows are the places 0 to longest - 1, then `places` [batch, r] of registers that stand for all of them.
        `bias` [batch, 1, 1, rows] says how many places a row stands for (`bias_of`).
        """
        registers = self.learnable_registers[places % REGISTERS]
        x = torch.cat([features.float(), registers], 1)
        longest = features.shape[1]
        pick = lambda table: torch.cat(
            [table[:, :longest].expand(len(x), -1, -1, -1), table[:, places].transpose(0, 1)], 2
        )
        table = pick(self.cos), pick(self.sin)
        for block in self.transformer_1d_blocks:
            x = block(x, table, bias)
        return rms(x)


def sampled_places(counts, rows, generator):
    """Places [batch, rows] of registers: one at random from each of `rows` equal parts of what the prompt leaves."""
    free = (PLACES - counts).unsqueeze(1)
    part = (torch.arange(rows) + torch.rand(len(counts), rows, generator=generator)) / rows
    return counts.unsqueeze(1) + (part * free).long()


def all_places(count):
    """Every place of a register behind a prompt of `count` tokens, [1, 1024 - count]."""
    return torch.arange(count, PLACES).unsqueeze(0)


def bias_of(counts, longest, rows):
    """Bias [batch, 1, 1, longest + rows] of scores: hides padding, and weighs registers by the places they stand for."""
    real = torch.arange(longest) < counts.unsqueeze(1)
    tokens = torch.zeros(real.shape).masked_fill(~real, -1e9)
    registers = torch.log((PLACES - counts).float() / rows).unsqueeze(1).expand(-1, rows)
    return torch.cat([tokens, registers], 1)[:, None, None]


class _Aggregation(nn.Module):
    """A linear that takes features scaled for its width."""

    def __init__(self, inputs, text_width, width):
        super().__init__()
        self.scale = math.sqrt(width / text_width)
        self.linear = nn.Linear(inputs, width)

    def forward(self, x):
        return self.linear(x * self.scale)


class Text(nn.Module):
    """Aggregation and connector of both streams, or of the video alone."""

    def __init__(self, config, text_width, states):
        super().__init__()
        c = config
        stream = lambda width, heads: nn.ModuleDict({
            "aggregation": _Aggregation(text_width * states, text_width, width),
            "connector": Connector(width, heads, c["connector_layers"]),
        })
        self.video = stream(c["heads"] * 128, c["heads"])
        self.audio = stream(c["heads"] * 64, c["heads"])

    def forward(self, features, counts, places, with_audio):
        """Contexts (video, audio or None), [batch, longest + rows, width], and the bias of their rows."""
        bias = bias_of(counts, features.shape[1], places.shape[1])
        context = lambda s: s["connector"](s["aggregation"](features), counts, places, bias)
        return context(self.video), context(self.audio) if with_audio else None, bias

    def official(self):
        """Tensors under their names in a checkpoint."""
        named = {}
        for stream, parts in (("video", self.video), ("audio", self.audio)):
            for name, tensor in parts["aggregation"].linear.state_dict().items():
                named[f"text_embedding_projection.{stream}_aggregate_embed.{name}"] = tensor
            for name, tensor in parts["connector"].state_dict().items():
                named[f"model.diffusion_model.{stream}_embeddings_connector.{name}"] = tensor
        return named
