//! The 22B model, written down from the documents.

use zoetrope_model_spec::ltx::config::{
    AudioVae, Connector, DecoderBlock, Gemma, Generator, Heads, ModelConfig, Transformer, Upscaler, VideoVae,
    Vocoder,
};

/// The 22B model as the documents describe it.
pub fn documented() -> ModelConfig {
    let connector = |head_dim| Connector {
        heads: Heads { heads: 32, head_dim },
        layers: 8,
        registers: 128,
        max_pos: 4096.0,
        theta: 10000.0,
        norm_eps: 1e-6,
    };
    let generator =
        |initial_channels, upsample_rates: &[usize], upsample_kernels: &[usize], clamp| Generator {
            initial_channels,
            upsample_rates: upsample_rates.to_vec(),
            upsample_kernels: upsample_kernels.to_vec(),
            resblock_kernels: vec![3, 7, 11],
            resblock_dilations: vec![vec![1, 3, 5]; 3],
            clamp,
        };
    let res = |layers| DecoderBlock::Res { layers };
    let up = |time, space, multiplier| DecoderBlock::Up { time, space, multiplier };
    ModelConfig {
        name: "ltx-2.3-22b".to_string(),
        transformer: Transformer {
            video: Heads { heads: 32, head_dim: 128 },
            audio: Heads { heads: 32, head_dim: 64 },
            layers: 48,
            video_channels: 128,
            audio_channels: 128,
            norm_eps: 1e-6,
            theta: 10000.0,
            video_max_pos: [20.0, 2048.0, 2048.0],
            audio_max_pos: 20.0,
            timestep_scale: 1000.0,
            cross_timestep_scale: 1000.0,
        },
        video_connector: connector(128),
        audio_connector: connector(64),
        gemma: Gemma {
            hidden: 3840,
            layers: 48,
            heads: Heads { heads: 16, head_dim: 256 },
            kv_heads: 8,
            intermediate: 15360,
            vocab: 262208,
            norm_eps: 1e-6,
            query_pre_attn_scalar: 256.0,
            sliding_window: 1024,
            sliding_window_pattern: 6,
            rope_theta: 1e6,
            rope_factor: 8.0,
            rope_local_theta: 1e4,
        },
        video_vae: VideoVae {
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
        },
        audio_vae: AudioVae {
            z_channels: 8,
            latent_bins: 16,
            channels: 128,
            multipliers: vec![1, 2, 4],
            res_blocks: 2,
            out_channels: 2,
            mel_bins: 64,
        },
        vocoder: Vocoder {
            base: generator(1536, &[5, 2, 2, 2, 2, 2], &[11, 4, 4, 4, 4, 4], true),
            bwe: generator(512, &[6, 5, 2, 2, 2], &[12, 11, 4, 4, 4], false),
            mel_bins: 64,
            input_rate: 16000,
            output_rate: 48000,
            hop: 80,
            n_fft: 512,
        },
        upscaler: Upscaler { channels: 128, mid_channels: 1024, blocks_per_stage: 4 },
    }
}
