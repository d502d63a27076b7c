//! A small model of the same structure at sizes unlike the published ones: other depths, other strides, few powers
//! of two, widths that differ where the published ones coincide.

use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::config::{
    AudioVae, Connector, DecoderBlock, EncoderBlock, Enlarges, Gemma, Generator, Heads, ModelConfig,
    Upscaler, VideoEncoder, VideoVae, Vision, Vocoder,
};

pub fn odd() -> ModelConfig {
    let (video, audio) = (Heads { heads: 3, head_dim: 10 }, Heads { heads: 3, head_dim: 6 });
    let connector = |heads| Connector { heads, layers: 2, registers: 5, ..ltx_2_3_22b().video_connector };
    ModelConfig {
        name: "odd".to_string(),
        video_connector: connector(video),
        audio_connector: connector(audio),
        gemma: gemma(),
        video_vae: video_vae(),
        audio_vae: audio_vae(),
        vocoder: vocoder(),
        upscaler: Upscaler {
            enlarges: Enlarges::SpaceX2,
            channels: 7,
            mid_channels: 96,
            blocks_per_stage: 3,
        },
        ..ltx_2_3_22b()
    }
}

/// Four layers of which the third is global; q narrower than the hidden state, a window below the tokens.
fn gemma() -> Gemma {
    Gemma {
        hidden: 101,
        layers: 4,
        heads: Heads { heads: 6, head_dim: 14 },
        kv_heads: 3,
        intermediate: 37,
        vocab: 211,
        query_pre_attn_scalar: 5.0,
        sliding_window: 3,
        sliding_window_pattern: 3,
        vision: Ok(Vision {
            image_side: 84,
            patch: 7,
            layers: 3,
            heads: Heads { heads: 3, head_dim: 5 },
            intermediate: 11,
            norm_eps: 1e-5,
            tokens_side: 3,
        }),
        ..ltx_2_3_22b().gemma
    }
}

fn video_vae() -> VideoVae {
    let res = |layers| DecoderBlock::Res { layers };
    let up = |time, space, multiplier| DecoderBlock::Up { time, space, multiplier };
    let blocks = vec![res(1), up(2, 2, 3), res(3), up(2, 1, 1), up(1, 2, 2)];
    let res = |layers| EncoderBlock::Res { layers };
    let down = |time, space, multiplier| EncoderBlock::Down { time, space, multiplier };
    let encoder = vec![res(1), down(1, 2, 2), down(2, 1, 1), res(3), down(2, 2, 4)];
    let encoder = VideoEncoder { base_channels: 6, blocks: encoder };
    VideoVae { latent_channels: 7, out_channels: 3, patch: 3, base_channels: 5, blocks, encoder }
}

fn audio_vae() -> AudioVae {
    AudioVae {
        z_channels: 3,
        latent_bins: 5,
        channels: 7,
        multipliers: vec![1, 1, 3],
        res_blocks: 1,
        out_channels: 2,
        mel_bins: 20,
    }
}

fn vocoder() -> Vocoder {
    let generator = |initial_channels, rates: &[usize], kernels: &[usize], clamp| Generator {
        initial_channels,
        upsample_rates: rates.to_vec(),
        upsample_kernels: kernels.to_vec(),
        resblock_kernels: vec![3, 5],
        resblock_dilations: vec![vec![1, 3], vec![1, 2, 7]],
        clamp,
    };
    Vocoder {
        base: generator(12, &[3, 2], &[7, 4], true),
        bwe: generator(20, &[2, 3], &[4, 5], false),
        mel_bins: 20,
        input_rate: 16_000,
        output_rate: 32_000,
        hop: 3,
        n_fft: 10,
    }
}
