"""The frozen text encoder: tokens of a prompt and the states of a small Gemma 3 (docs/model/text.md 1 to 3).

Padding stands in front in Zoetrope and is masked, and rotary positions are relative. So only the real tokens are
computed here, from position 0 on; what fills a batch stands behind them, where a causal mask hides it.
"""

import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn import functional as F

import rope


class TextEncoder:
    """Gemma 3 of a folder in Hugging Face's format, in f32."""

    def __init__(self, folder):
        folder = Path(folder)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.config = json.loads((folder / "config.json").read_text())["text_config"]
        weights = load_file(folder / "model.safetensors")
        prefix = "language_model.model."
        self.weights = {name.removeprefix(prefix): w.float() for name, w in weights.items()}
        self.states = self.config["num_hidden_layers"] + 1
        self.width = self.config["hidden_size"]

    def tokens(self, prompts, limit=1024):
        """Token ids [prompts, longest], zeros behind, and the number of tokens of each prompt."""
        ids = [self.tokenizer.encode(p.strip()).ids[:limit] for p in prompts]
        counts = torch.tensor([len(i) for i in ids])
        padded = torch.zeros(len(ids), int(counts.max()), dtype=torch.long)
        for row, i in zip(padded, ids):
            row[: len(i)] = torch.tensor(i)
        return padded, counts

    @torch.no_grad()
    def hidden(self, ids):
        """All hidden states [states, prompts, tokens, width] of `ids` [prompts, tokens]."""
        w = self.weights
        x = w["embed_tokens.weight"][ids] * math.sqrt(self.width)
        states = [x]
        layers = self.config["num_hidden_layers"]
        tables = {kind: self._table(kind, ids.shape[1]) for kind in (False, True)}
        for layer in range(layers):
            own = lambda name: w[f"layers.{layer}.{name}.weight"]
            everywhere = (layer + 1) % self.config["sliding_window_pattern"] == 0
            h = self._attention(own, tables[everywhere], self._norm(x, own("input_layernorm")), everywhere)
            x = x + self._norm(h, own("post_attention_layernorm"))
            h = self._norm(x, own("pre_feedforward_layernorm"))
            gate = F.gelu(F.linear(h, own("mlp.gate_proj")), approximate="tanh")
            h = F.linear(gate * F.linear(h, own("mlp.up_proj")), own("mlp.down_proj"))
            x = x + self._norm(h, own("post_feedforward_layernorm"))
            states.append(x)
        states[-1] = self._norm(x, w["norm.weight"])
        return torch.stack(states)

    def features(self, ids):
        """What the aggregations read, [prompts, tokens, width·states]: every state with size 1, states innermost."""
        hidden = self.hidden(ids)
        hidden = hidden * torch.rsqrt(hidden.square().mean(-1, keepdim=True) + 1e-6)
        return hidden.permute(1, 2, 3, 0).flatten(2)

    def _norm(self, x, weight):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.config["rms_norm_eps"]) * (1 + weight)

    def _table(self, everywhere, tokens):
        dim = self.config["head_dim"]
        theta = self.config["rope_theta" if everywhere else "rope_local_base_freq"]
        factor = self.config["rope_scaling"]["factor"] if everywhere else 1.0
        inverse = 1.0 / theta ** (torch.arange(0, dim, 2).float() / dim) / factor
        angle = torch.arange(tokens).float()[:, None] * inverse
        return angle.cos(), angle.sin()

    def _attention(self, own, table, x, everywhere):
        c = self.config
        heads, shared = c["num_attention_heads"], c["num_key_value_heads"]
        split = lambda name, n: F.linear(x, own(f"self_attn.{name}_proj")).unflatten(-1, (n, -1)).transpose(1, 2)
        q = rope.rotate(self._norm(split("q", heads), own("self_attn.q_norm")), table)
        k = rope.rotate(self._norm(split("k", shared), own("self_attn.k_norm")), table)
        repeat = lambda y: y.repeat_interleave(heads // shared, 1)
        place = torch.arange(x.shape[1])
        back = place[:, None] - place
        reach = x.shape[1] if everywhere else c["sliding_window"]
        seen = (back >= 0) & (back < reach)
        scale = c["query_pre_attn_scalar"] ** -0.5
        o = F.scaled_dot_product_attention(q, repeat(k), repeat(split("v", shared)), seen, scale=scale)
        return F.linear(o.transpose(1, 2).flatten(2), own("self_attn.o_proj"))
