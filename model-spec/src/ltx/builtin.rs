//! The published model, for files that come without their own configuration (docs/model/checkpoint.md 1.4).

use super::config::{
    AudioVae, Connector, DecoderBlock, EncoderBlock, Enlarges, Gemma, Generator, Heads, ModelConfig,
    Transformer, Upscaler, VideoEncoder, VideoVae, Vision, Vocoder,
};

/// LTX-2.3 with 22 billion parameters, Gemma 3 12B and the spatial ×2 upscaler.
pub fn ltx_2_3_22b() -> ModelConfig {
    let video = Heads { heads: 32, head_dim: 128 };
    let audio = Heads { heads: 32, head_dim: 64 };
    ModelConfig {
        name: "ltx-2.3-22b".to_string(),
        transformer: transformer(video, audio),
        video_connector: connector(video),
        audio_connector: connector(audio),
        gemma: gemma_3_12b(),
        video_vae: video_vae(),
        audio_vae: audio_vae(),
        vocoder: vocoder(),
        upscaler: upscaler(Enlarges::SpaceX2),
    }
}

/// The published upscalers (docs/model/upsampler.md 1).
pub fn upscaler(enlarges: Enlarges) -> Upscaler {
    let mid_channels = if enlarges == Enlarges::TimeX2 { 512 } else { 1024 };
    Upscaler { enlarges, channels: 128, mid_channels, blocks_per_stage: 4 }
}

fn transformer(video: Heads, audio: Heads) -> Transformer {
    Transformer {
        video,
        audio,
        layers: 48,
        video_channels: 128,
        audio_channels: 128,
        norm_eps: 1e-6,
        theta: 10_000.0,
        video_max_pos: [20.0, 2048.0, 2048.0],
        audio_max_pos: 20.0,
        timestep_scale: 1000.0,
        cross_timestep_scale: 1000.0,
    }
}

fn connector(heads: Heads) -> Connector {
    Connector { heads, layers: 8, registers: 128, max_pos: 4096.0, theta: 10_000.0, norm_eps: 1e-6 }
}

fn gemma_3_12b() -> Gemma {
    Gemma {
        hidden: 3840,
        layers: 48,
        heads: Heads { heads: 16, head_dim: 256 },
        kv_heads: 8,
        intermediate: 15_360,
        vocab: 262_208,
        norm_eps: 1e-6,
        query_pre_attn_scalar: 256.0,
        sliding_window: 1024,
        sliding_window_pattern: 6,
        rope_theta: 1_000_000.0,
        rope_factor: 8.0,
        rope_local_theta: 10_000.0,
        vision: Ok(Vision {
            image_side: 896,
            patch: 14,
            layers: 27,
            heads: Heads { heads: 16, head_dim: 72 },
            intermediate: 4304,
            norm_eps: 1e-6,
            tokens_side: 16,
        }),
    }
}

fn video_vae() -> VideoVae {
    let res = |layers| DecoderBlock::Res { layers };
    let up = |time, space, multiplier| DecoderBlock::Up { time, space, multiplier };
    VideoVae {
        latent_channels: 128,
        out_channels: 3,
        patch: 4,
        base_channels: 128,
        blocks: vec![
            res(2),
            up(2, 2, 2),
            res(2),
            up(2, 2, 1),
            res(4),
            up(2, 1, 2),
            res(6),
            up(1, 2, 2),
            res(4),
        ],
        encoder: video_encoder(),
    }
}

fn video_encoder() -> VideoEncoder {
    let res = |layers| EncoderBlock::Res { layers };
    let down = |time, space, multiplier| EncoderBlock::Down { time, space, multiplier };
    VideoEncoder {
        base_channels: 128,
        blocks: vec![
            res(4),
            down(1, 2, 2),
            res(6),
            down(2, 1, 2),
            res(4),
            down(2, 2, 2),
            res(2),
            down(2, 2, 1),
            res(2),
        ],
    }
}

fn audio_vae() -> AudioVae {
    AudioVae {
        z_channels: 8,
        latent_bins: 16,
        channels: 128,
        multipliers: vec![1, 2, 4],
        res_blocks: 2,
        out_channels: 2,
        mel_bins: 64,
    }
}

fn vocoder() -> Vocoder {
    let generator = |initial_channels, rates: &[usize], kernels: &[usize], clamp| Generator {
        initial_channels,
        upsample_rates: rates.to_vec(),
        upsample_kernels: kernels.to_vec(),
        resblock_kernels: vec![3, 7, 11],
        resblock_dilations: vec![vec![1, 3, 5]; 3],
        clamp,
    };
    Vocoder {
        base: generator(1536, &[5, 2, 2, 2, 2, 2], &[11, 4, 4, 4, 4, 4], true),
        bwe: generator(512, &[6, 5, 2, 2, 2], &[12, 11, 4, 4, 4], false),
        mel_bins: 64,
        input_rate: 16_000,
        output_rate: 48_000,
        hop: 80,
        n_fft: 512,
    }
}
