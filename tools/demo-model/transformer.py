"""The audio-video diffusion transformer of LTX-2.3 (docs/model/transformer.md), trainable, with the checkpoint's names.

Tokens of a stream have at most two timesteps: that of the first latent frame, which image-to-video holds, and that of
all others. So modulation is made for these two.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

import rope
from attention import EPS, Attention, FeedForward, rms

CHANNELS = 128
VIDEO_HEAD, AUDIO_HEAD = 128, 64
_STEPS = ((0, 0, -32), (0, -32, 0), (-1 / 3, 0, 0), (0, 0, 32), (0, 32, 0), (1 / 3, 0, 0))
"""To the neighbours of a video token: seconds, pixels down, pixels to the right."""
_AUDIO_STEPS = ((-0.04,), (0.04,))


class _Embedder(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(256, width), nn.Linear(width, width)

    def forward(self, t):
        frequencies = torch.exp(-math.log(10000.0) * torch.arange(128) / 128)
        angle = 1000 * t.float().unsqueeze(-1) * frequencies
        return self.linear_2(F.silu(self.linear_1(torch.cat([angle.cos(), angle.sin()], -1))))


class AdaLayerNorm(nn.Module):
    """`rows` vectors of modulation from a timestep. They start at zero, so that tables alone modulate."""

    def __init__(self, width, rows):
        super().__init__()
        self.rows = rows
        self.emb = nn.ModuleDict({"timestep_embedder": _Embedder(width)})
        self.linear = nn.Linear(width, rows * width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, t):
        """Of `t` [batch, n]: the vectors [batch, n, rows, width] and the embedded timestep [batch, n, width]."""
        embedded = self.emb["timestep_embedder"](t)
        return self.linear(F.silu(embedded)).unflatten(-1, (self.rows, -1)).float(), embedded.float()


class Rows:
    """Modulation vectors [batch, n, rows, width], by token: with n = 2, index 1 is that of the first frame's."""

    def __init__(self, vectors, first):
        self.vectors, self.first = vectors, first

    def __getitem__(self, row):
        rest = self.vectors[:, :1, row]
        return rest if self.first is None else torch.where(self.first, self.vectors[:, 1:, row], rest)

    def plus(self, table):
        return Rows(self.vectors + table, self.first)


def modulated(x, scale, shift):
    return rms(x) * (1 + scale) + shift


def _table(gates, rows, width):
    """A table of zeros but for its gates."""
    table = torch.zeros(rows, width)
    table[gates] = 1.0
    return nn.Parameter(table)


@torch.no_grad()
def _look_at(attention, offsets, ranges):
    """Sets biases of queries and keys so that each head first attends to the token at its offset.

    Positions are relative, and a model that knows them from the beginning learns faster: neighbours continue each
    other, and where there is none, at an edge, a token finds itself.
    """
    heads, inner = attention.heads, attention.to_k.out_features
    phase = 2 * math.pi * torch.rand(heads, 1, inner // heads // 2)
    key = torch.cat([phase.cos(), phase.sin()], -1) * math.sqrt(2)
    query = rope.rotate(key, rope.turns(offsets, ranges, inner, heads))
    attention.to_k.bias.copy_(key.flatten())
    attention.to_q.bias.copy_(query.flatten())


class Block(nn.Module):
    """Block number `index`; its attributes are the checkpoint's names.

    With `listens` false nothing enters the video from the audio, which is what a new block does, but is not computed.
    """

    def __init__(self, heads, index):
        super().__init__()
        self.listens = True
        d, a = heads * VIDEO_HEAD, heads * AUDIO_HEAD
        self.attn1, self.attn2 = Attention(d, d, d, heads), Attention(d, d, d, heads)
        self.audio_attn1, self.audio_attn2 = Attention(a, a, a, heads), Attention(a, a, a, heads)
        self.audio_to_video_attn, self.video_to_audio_attn = Attention(d, a, a, heads), Attention(a, d, a, heads)
        self.ff, self.audio_ff = FeedForward(d), FeedForward(a)
        self.scale_shift_table, self.audio_scale_shift_table = _table([2, 5, 8], 9, d), _table([2, 5, 8], 9, a)
        self.prompt_scale_shift_table, self.audio_prompt_scale_shift_table = _table([], 2, d), _table([], 2, a)
        self.scale_shift_table_a2v_ca_video = _table([4], 5, d)
        self.scale_shift_table_a2v_ca_audio = _table([4], 5, a)
        pick = lambda steps: [steps[(index * heads + head) % len(steps)] for head in range(heads)]
        _look_at(self.attn1, pick(_STEPS), (rope.MAX_SECONDS, rope.MAX_PIXELS, rope.MAX_PIXELS))
        _look_at(self.audio_attn1, pick(_AUDIO_STEPS), (rope.MAX_SECONDS,))

    def forward(self, v, a, made, tables, contexts, bias):
        """Both streams after the block; `a` may be None, then the audio half is left out."""
        m = made["v"].plus(self.scale_shift_table)
        prompt = made["v_prompt"] + self.prompt_scale_shift_table
        v = _attend(v, m, self.attn1, self.attn2, tables["v"], contexts[0], prompt, bias)
        if a is not None:
            m_a = made["a"].plus(self.audio_scale_shift_table)
            prompt = made["a_prompt"] + self.audio_prompt_scale_shift_table
            a = _attend(a, m_a, self.audio_attn1, self.audio_attn2, tables["a"], contexts[1], prompt, bias)
            v, a = self._across(v, a, made, tables)
            a = a + self.audio_ff(modulated(a, m_a[4], m_a[3])) * m_a[5]
        return v + self.ff(modulated(v, m[4], m[3])) * m[5], a

    def _across(self, v, a, made, tables):
        x_v = made["v_cross"].plus(self.scale_shift_table_a2v_ca_video[:4])
        x_a = made["a_cross"].plus(self.scale_shift_table_a2v_ca_audio[:4])
        into_v = made["v_gate"][:, :, 0] + self.scale_shift_table_a2v_ca_video[4]
        into_a = made["a_gate"][:, :, 0] + self.scale_shift_table_a2v_ca_audio[4]
        q, k = modulated(a, x_a[2], x_a[3]), modulated(v, x_v[2], x_v[3])
        new_a = a + self.video_to_audio_attn(q, k, tables["a"], tables["v_time"]) * into_a
        if not self.listens:
            return v, new_a
        q, k = modulated(v, x_v[0], x_v[1]), modulated(a, x_a[0], x_a[1])
        return v + self.audio_to_video_attn(q, k, tables["v_time"], tables["a"]) * into_v, new_a


def _attend(x, m, own, text, table, context, prompt, bias):
    n = modulated(x, m[1], m[0])
    x = x + own(n, n, table, table) * m[2]
    kv = context * (1 + prompt[:, :, 1]) + prompt[:, :, 0]
    return x + text(modulated(x, m[7], m[6]), kv, bias=bias) * m[8]


class Transformer(nn.Module):
    """All blocks, with the modules around them."""

    def __init__(self, heads, layers):
        super().__init__()
        self.heads = heads
        d, a = heads * VIDEO_HEAD, heads * AUDIO_HEAD
        self.patchify_proj, self.audio_patchify_proj = nn.Linear(CHANNELS, d), nn.Linear(CHANNELS, a)
        self.adaln_single, self.audio_adaln_single = AdaLayerNorm(d, 9), AdaLayerNorm(a, 9)
        self.prompt_adaln_single, self.audio_prompt_adaln_single = AdaLayerNorm(d, 2), AdaLayerNorm(a, 2)
        self.av_ca_video_scale_shift_adaln_single = AdaLayerNorm(d, 4)
        self.av_ca_audio_scale_shift_adaln_single = AdaLayerNorm(a, 4)
        self.av_ca_a2v_gate_adaln_single = AdaLayerNorm(d, 1)
        self.av_ca_v2a_gate_adaln_single = AdaLayerNorm(a, 1)
        self.transformer_blocks = nn.ModuleList(Block(heads, i) for i in range(layers))
        self.scale_shift_table, self.audio_scale_shift_table = _table([], 2, d), _table([], 2, a)
        self.proj_out, self.audio_proj_out = nn.Linear(d, CHANNELS), nn.Linear(a, CHANNELS)

    def tables(self, size, audio_tokens, fps=24):
        """Rotary tables for latents of `size` (frames, rows, columns)."""
        d, a, heads = self.heads * VIDEO_HEAD, self.heads * AUDIO_HEAD, self.heads
        return {
            "v": rope.video(size, fps, d, heads),
            "v_time": rope.video_time(size, fps, a, heads),
            "a": rope.audio(audio_tokens, a, heads),
        }

    def forward(self, latents, timesteps, sigma, first, tables, contexts, bias=None):
        """Velocities (video, audio or None).

        `latents` (video [batch, tokens, 128], audio or None), `timesteps` [batch, n] of the video, n = 1 or 2: of the
        tokens, and of those where `first` [tokens, 1] is true; `sigma` [batch, 1]. The audio has `sigma` everywhere.
        """
        video, audio = latents
        made, embedded = {}, {}
        vectors, embedded["v"] = self.adaln_single(timesteps)
        first = first if timesteps.shape[1] == 2 else None
        made["v"] = Rows(vectors, first)
        made["v_prompt"] = self.prompt_adaln_single(sigma)[0]
        v, a = self.patchify_proj(video).float(), None
        if audio is not None:
            vectors, embedded["a"] = self.audio_adaln_single(sigma)
            made["a"] = Rows(vectors, None)
            made["a_prompt"] = self.audio_prompt_adaln_single(sigma)[0]
            made["v_cross"] = Rows(self.av_ca_video_scale_shift_adaln_single(timesteps)[0], first)
            made["a_cross"] = Rows(self.av_ca_audio_scale_shift_adaln_single(sigma)[0], None)
            made["v_gate"] = self.av_ca_a2v_gate_adaln_single(sigma)[0]
            made["a_gate"] = self.av_ca_v2a_gate_adaln_single(sigma)[0]
            a = self.audio_patchify_proj(audio).float()
        for block in self.transformer_blocks:
            v, a = block(v, a, made, tables, contexts, bias)
        head = lambda x, e, table, first: _head(x, Rows(e.unsqueeze(2) + table, first))
        out = self.proj_out(head(v, embedded["v"], self.scale_shift_table, first))
        if a is None:
            return out, None
        return out, self.audio_proj_out(head(a, embedded["a"], self.audio_scale_shift_table, None))


def _head(x, rows):
    return F.layer_norm(x, x.shape[-1:], eps=EPS) * (1 + rows[1]) + rows[0]
