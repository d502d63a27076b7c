//! The dimensions of a model: every number that a spec function needs, from whatever source.

/// One attention stream's width: `heads` slices of `head_dim`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    pub heads: usize,
    pub head_dim: usize,
}

impl Heads {
    pub fn width(self) -> usize {
        self.heads * self.head_dim
    }
}

/// The audio-video transformer (docs/model/transformer.md 1).
#[derive(Clone, Debug, PartialEq)]
pub struct Transformer {
    pub video: Heads,
    pub audio: Heads,
    pub layers: usize,
    /// Channels of a patchified token, in and out, of each stream.
    pub video_channels: usize,
    pub audio_channels: usize,
    pub norm_eps: f32,
    pub theta: f64,
    /// Seconds, pixels, pixels.
    pub video_max_pos: [f32; 3],
    /// Seconds.
    pub audio_max_pos: f32,
    pub timestep_scale: f32,
    /// Scale of the timestep that gates the streams' attention to each other.
    pub cross_timestep_scale: f32,
}

/// One connector (docs/model/text.md 4).
#[derive(Clone, Debug, PartialEq)]
pub struct Connector {
    pub heads: Heads,
    pub layers: usize,
    pub registers: usize,
    pub max_pos: f32,
    pub theta: f64,
    pub norm_eps: f32,
}

/// Gemma 3's language model (docs/model/text.md 2).
#[derive(Clone, Debug, PartialEq)]
pub struct Gemma {
    pub hidden: usize,
    pub layers: usize,
    pub heads: Heads,
    pub kv_heads: usize,
    pub intermediate: usize,
    pub vocab: usize,
    pub norm_eps: f32,
    /// Attention logits are multiplied by query_pre_attn_scalar^(-1/2).
    pub query_pre_attn_scalar: f64,
    pub sliding_window: usize,
    /// Layer l is global if (l + 1) mod pattern = 0.
    pub sliding_window_pattern: usize,
    pub rope_theta: f64,
    /// Linear scaling factor of the global layers' frequencies.
    pub rope_factor: f64,
    pub rope_local_theta: f64,
    /// What it sees images with, or why its files describe nothing of that kind.
    pub vision: Result<Vision, String>,
}

/// Gemma 3's vision tower, SigLIP, and its projector (docs/model/text.md 5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vision {
    /// Pixels of an image in a row, and rows.
    pub image_side: usize,
    /// The same of a patch.
    pub patch: usize,
    pub layers: usize,
    pub heads: Heads,
    pub intermediate: usize,
    pub norm_eps: f32,
    /// Tokens of an image in a row, and rows.
    pub tokens_side: usize,
}

impl Vision {
    /// Patches in a row, and rows of them.
    pub fn patches(&self) -> usize {
        self.image_side / self.patch
    }

    /// Tokens that an image becomes.
    pub fn tokens(&self) -> usize {
        self.tokens_side * self.tokens_side
    }
}

/// One block of the video decoder, in the order of application (docs/model/video-vae.md 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecoderBlock {
    Res {
        layers: usize,
    },
    /// conv, depth-to-space by these strides, channels divided by `multiplier`.
    Up {
        time: usize,
        space: usize,
        multiplier: usize,
    },
}

/// One block of the video encoder (docs/model/video-vae.md 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncoderBlock {
    Res {
        layers: usize,
    },
    /// conv and a skip, both folded into depth by these strides; channels multiplied by `multiplier`.
    Down {
        time: usize,
        space: usize,
        multiplier: usize,
    },
}

/// The video VAE's encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoEncoder {
    pub base_channels: usize,
    pub blocks: Vec<EncoderBlock>,
}

/// The video VAE.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoVae {
    pub latent_channels: usize,
    /// Of a pixel.
    pub out_channels: usize,
    pub patch: usize,
    /// Of the decoder.
    pub base_channels: usize,
    /// The decoder's, reversed from the checkpoint's list: first applied first.
    pub blocks: Vec<DecoderBlock>,
    pub encoder: VideoEncoder,
}

/// The audio VAE's decoder (docs/model/audio.md 2, 6).
#[derive(Clone, Debug, PartialEq)]
pub struct AudioVae {
    pub z_channels: usize,
    /// Latent frequency bins: mel bins / 4.
    pub latent_bins: usize,
    pub channels: usize,
    pub multipliers: Vec<usize>,
    pub res_blocks: usize,
    pub out_channels: usize,
    pub mel_bins: usize,
}

/// One generator of the vocoder (docs/model/audio.md 7, 8).
#[derive(Clone, Debug, PartialEq)]
pub struct Generator {
    pub initial_channels: usize,
    pub upsample_rates: Vec<usize>,
    pub upsample_kernels: Vec<usize>,
    pub resblock_kernels: Vec<usize>,
    pub resblock_dilations: Vec<Vec<usize>>,
    /// The last step limits the wave to -1..1.
    pub clamp: bool,
}

/// The vocoder with bandwidth extension.
#[derive(Clone, Debug, PartialEq)]
pub struct Vocoder {
    pub base: Generator,
    pub bwe: Generator,
    pub mel_bins: usize,
    pub input_rate: usize,
    pub output_rate: usize,
    pub hop: usize,
    pub n_fft: usize,
}

/// What a latent upscaler enlarges (docs/model/upsampler.md 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enlarges {
    /// Twice the rows and columns.
    SpaceX2,
    /// One and a half times the rows and columns, rounded up.
    SpaceX1_5,
    /// Twice the frames at twice the rate: of F latent frames, 2F − 1.
    TimeX2,
}

/// A latent upscaler (docs/model/upsampler.md).
#[derive(Clone, Debug, PartialEq)]
pub struct Upscaler {
    pub enlarges: Enlarges,
    pub channels: usize,
    pub mid_channels: usize,
    pub blocks_per_stage: usize,
}

/// The whole system.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// `ltx-2.3-22b`, `demo`, or the checkpoint's file name.
    pub name: String,
    pub transformer: Transformer,
    pub video_connector: Connector,
    pub audio_connector: Connector,
    pub gemma: Gemma,
    pub video_vae: VideoVae,
    pub audio_vae: AudioVae,
    pub vocoder: Vocoder,
    pub upscaler: Upscaler,
}

/// Text tokens of an encoded prompt (docs/model/text.md 1).
pub const TEXT_TOKENS: usize = 1024;
