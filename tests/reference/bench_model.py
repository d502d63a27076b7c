"""The model that `bench_cpu.py` runs on both sides: its files, and diffusers' modules with their weights.

The transformer and the video decoder are LTX-2.3's with fewer and narrower layers. The weights are random, drawn
so that activations keep a scale of about one and no part of the network is idle. They are written in the official
single-file format and diffusers' modules are filled from that file, so both sides read the same bytes.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKLLTX2Video, LTX2VideoTransformer3DModel
from safetensors.torch import load_file, save_file

HEADS, VIDEO_HEAD, AUDIO_HEAD, LAYERS = 16, 64, 32, 8
LATENT_CHANNELS = 128
DECODER_CHANNELS = 32
# Written in encoder order and applied in reverse (docs/model/video-vae.md 2).
DECODER_BLOCKS = [
    ["res_x", {"num_layers": 4}],
    ["compress_space", {"multiplier": 2}],
    ["res_x", {"num_layers": 6}],
    ["compress_time", {"multiplier": 2}],
    ["res_x", {"num_layers": 4}],
    ["compress_all", {"multiplier": 1}],
    ["res_x", {"num_layers": 2}],
    ["compress_all", {"multiplier": 2}],
    ["res_x", {"num_layers": 2}],
]
FIXTURES = Path(__file__).parent.parent / "fixtures" / "gamma"

# Parts of a diffusers name: parts of the official name (docs/model/checkpoint.md 1.6).
TRANSFORMER_NAMES = {
    "proj_in": "patchify_proj",
    "audio_proj_in": "audio_patchify_proj",
    "time_embed": "adaln_single",
    "audio_time_embed": "audio_adaln_single",
    "prompt_adaln": "prompt_adaln_single",
    "audio_prompt_adaln": "audio_prompt_adaln_single",
    "av_cross_attn_video_scale_shift": "av_ca_video_scale_shift_adaln_single",
    "av_cross_attn_video_a2v_gate": "av_ca_a2v_gate_adaln_single",
    "av_cross_attn_audio_scale_shift": "av_ca_audio_scale_shift_adaln_single",
    "av_cross_attn_audio_v2a_gate": "av_ca_v2a_gate_adaln_single",
    "video_a2v_cross_attn_scale_shift_table": "scale_shift_table_a2v_ca_video",
    "audio_a2v_cross_attn_scale_shift_table": "scale_shift_table_a2v_ca_audio",
    "norm_q": "q_norm",
    "norm_k": "k_norm",
}
STATISTICS_NAMES = {"latents_mean": "mean-of-means", "latents_std": "std-of-means"}


@dataclass(frozen=True)
class Files:
    checkpoint: Path
    text_encoder: Path
    upscaler: Path


def transformer() -> LTX2VideoTransformer3DModel:
    """Without weights: they are assigned from a file."""
    with torch.device("meta"):
        return LTX2VideoTransformer3DModel(
            in_channels=LATENT_CHANNELS,
            out_channels=LATENT_CHANNELS,
            num_attention_heads=HEADS,
            attention_head_dim=VIDEO_HEAD,
            cross_attention_dim=HEADS * VIDEO_HEAD,
            audio_num_attention_heads=HEADS,
            audio_attention_head_dim=AUDIO_HEAD,
            audio_cross_attention_dim=HEADS * AUDIO_HEAD,
            num_layers=LAYERS,
            gated_attn=True,
            audio_gated_attn=True,
            cross_attn_mod=True,
            audio_cross_attn_mod=True,
            use_prompt_embeddings=False,
            rope_type="split",
        )


def video_vae() -> AutoencoderKLLTX2Video:
    """Without weights. Its encoder is as small as it can be and is never run."""
    base = DECODER_CHANNELS
    with torch.device("meta"):
        return AutoencoderKLLTX2Video(
            latent_channels=LATENT_CHANNELS,
            block_out_channels=(16, 32, 64, 128),
            layers_per_block=(1, 1, 1, 1, 1),
            decoder_block_out_channels=(2 * base, 4 * base, 4 * base, 8 * base),
            decoder_layers_per_block=(4, 6, 4, 2, 2),
            decoder_spatio_temporal_scaling=(True,) * 4,
            decoder_inject_noise=(False,) * 5,
            # Unlike the lists beside it, diffusers reads this one in the order of application.
            upsample_type=("spatiotemporal", "spatiotemporal", "temporal", "spatial"),
            upsample_factor=(2, 2, 1, 2),
            upsample_residual=(False,) * 4,
            decoder_causal=False,
            decoder_spatial_padding_mode="zeros",
        )


def official_transformer_name(name: str) -> str:
    parts = (TRANSFORMER_NAMES.get(part, part) for part in name.split("."))
    return "model.diffusion_model." + ".".join(parts)


def official_vae_name(name: str) -> str:
    if name in STATISTICS_NAMES:
        return f"vae.per_channel_statistics.{STATISTICS_NAMES[name]}"
    name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up_blocks.{2 * int(m[1]) + 1}", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda m: f"up_blocks.{2 * int(m[1]) + 2}.res_blocks", name)
    return "vae." + name.replace("mid_block.resnets", "up_blocks.0.res_blocks")


def tensors(module: torch.nn.Module, official_name) -> dict[str, str]:
    """diffusers' name of every tensor that a run reads: the official name."""
    return {name: official_name(name) for name in module.state_dict() if not name.startswith("encoder.")}


def fill(module: torch.nn.Module, official_name, checkpoint: Path) -> torch.nn.Module:
    """Gives the module the checkpoint's weights, in float32."""
    stored = load_file(checkpoint)
    state = {name: stored[official].float() for name, official in tensors(module, official_name).items()}
    left = module.load_state_dict(state, strict=False, assign=True)
    if left.unexpected_keys or any(not key.startswith("encoder.") for key in left.missing_keys):
        raise RuntimeError(f"diffusers' module and the checkpoint differ: {left}")
    return module.eval()


def value(name: str, shape: torch.Size, rng: torch.Generator) -> torch.Tensor:
    """Uniform around 0, or around 1 for what multiplies."""
    centre, spread = 0.0, 1.3 / math.sqrt(max(math.prod(shape[1:]), 1))
    if "scale_shift_table" in name:
        spread = 0.3
    elif name.endswith(".bias"):
        spread = 0.08
    elif name.endswith("norm.weight") or name.endswith("std-of-means"):
        centre, spread = 1.0, 0.25
    elif name.endswith("mean-of-means"):
        spread = 0.3
    tensor = centre + spread * (2.0 * torch.rand(shape, generator=rng) - 1.0)
    # The published files keep these tables in F32 and everything else in BF16.
    return tensor if "scale_shift_table" in name else tensor.bfloat16()


def config() -> dict:
    """The checkpoint's `config`: the small reference model's with this model's dimensions."""
    recipe = json.loads((FIXTURES / "weights.json").read_text())
    config = json.loads(recipe["files"]["ltx-2.3-tiny.safetensors"]["metadata"]["config"])
    config["transformer"] |= {
        "num_attention_heads": HEADS,
        "attention_head_dim": VIDEO_HEAD,
        "cross_attention_dim": HEADS * VIDEO_HEAD,
        "audio_num_attention_heads": HEADS,
        "audio_attention_head_dim": AUDIO_HEAD,
        "audio_cross_attention_dim": HEADS * AUDIO_HEAD,
        "num_layers": LAYERS,
        "connector_num_attention_heads": HEADS,
        "connector_attention_head_dim": VIDEO_HEAD,
        "audio_connector_num_attention_heads": HEADS,
        "audio_connector_attention_head_dim": AUDIO_HEAD,
    }
    config["vae"] |= {"decoder_base_channels": DECODER_CHANNELS, "decoder_blocks": DECODER_BLOCKS}
    return config


def write_files(folder: Path) -> Files:
    """A checkpoint with the two parts that are run; text encoder and upscaler have only what describes them."""
    files = Files(folder / "bench.safetensors", folder / "gemma", folder / "upscaler.safetensors")
    rng = torch.Generator().manual_seed(20260301)
    parts = [(transformer(), official_transformer_name), (video_vae(), official_vae_name)]
    state = {}
    for module, official_name in parts:
        shapes = module.state_dict()
        for name, official in tensors(module, official_name).items():
            state[official] = value(official, shapes[name].shape, rng)
    metadata = {"config": json.dumps(config()), "model_version": "2.3.0"}
    save_file(state, files.checkpoint, metadata)

    recipe = json.loads((FIXTURES / "weights.json").read_text())
    upscaler = recipe["files"]["ltx-2.3-tiny-spatial-upscaler-x2.safetensors"]["metadata"]
    mid_channels = json.loads(upscaler["config"])["mid_channels"]
    save_file({"initial_norm.bias": torch.zeros(mid_channels)}, files.upscaler, upscaler)
    files.text_encoder.mkdir(exist_ok=True)
    (files.text_encoder / "config.json").write_text(recipe["texts"]["gemma-3-tiny/config.json"])
    norm = {"language_model.model.norm.weight": torch.zeros(64)}
    save_file(norm, files.text_encoder / "model.safetensors", {"format": "pt"})
    return files
