//! The phases of a run, and how they follow each other (docs/model/pipelines.md 6).
//!
//! A phase's ports have the names and shapes of docs/phases.md. Inside, channels come last and there is no batch.

use super::attention::bias_of;
use super::config::{ModelConfig, TEXT_TOKENS};
use super::denoise::Start;
use super::sizes::Size;
use super::transformer::{PerStream, Positions, Stream, velocity};
use super::{audio_vae, connector, text_encoder, upscaler, video_vae, vocoder};
use crate::lang::{Builder, Dtype, Graph, Op, ShapeError, Value};
use crate::program::{Phase, Program};
use crate::target::{Pipeline, Target};

/// The phases that can be compiled alone, in the order of a run.
pub const PHASES: [&str; 9] = [
    "text-encode",
    "connect",
    "video-encode",
    "velocity",
    "denoise",
    "upscale",
    "video-decode",
    "audio-decode",
    "vocode",
];

/// The end of names of phases that have to do with the negative prompt.
pub const NEGATIVE_PHASE: &str = "-negative";
/// The end of names of ports and slots that have to do with it.
pub const NEGATIVE: &str = ".negative";

/// The port of `denoise` that holds a picture of the last step, where the target has previews.
pub const PREVIEW: &str = "v.preview";

pub(super) type Recorded = Result<Graph, ShapeError>;

/// What a run leaves of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// Real numbers in 0..1, [frames, height, width, 3]: to be compared.
    Rgb,
    /// What encoders take: 8-bit 4:2:0, [frames, 3·height/2, width].
    Yuv420,
}

/// Records phases of one target.
pub struct Recorder<'a> {
    pub target: &'a Target,
    pub model: &'a ModelConfig,
    /// Inner values that become outputs.
    pub taps: &'a [String],
    /// Latent frames that are decoded or encoded together; `None` for all of them.
    pub chunk: Option<usize>,
}

impl Recorder<'_> {
    pub(super) fn builder(&self, name: &str) -> Builder {
        Builder::new(name, self.target.dtype).with_taps(self.taps)
    }

    /// One phase by its name in [`PHASES`]; sizes are those of the last stage (`upscale` reads the one before).
    ///
    /// # Errors
    /// Dimensions that do not fit together, with the path where it shows.
    pub fn phase(&self, name: &str) -> Option<Result<Phase, ShapeError>> {
        let size = self.target.size;
        let graph = match name {
            "text-encode" => self.text_encode(name),
            "connect" => self.connect(name),
            "video-encode" => self.video_encode(name, size),
            "velocity" => self.velocity(size),
            "denoise" => self.denoise(name, size, self.target.text_tokens, Start::Mixed),
            "upscale" => self.upscale(size.half()),
            "video-decode" => self.video_decode(size),
            "audio-decode" => self.audio_decode(size),
            "vocode" => self.vocode(size),
            _ => return None,
        };
        let chunk = self.chunk.filter(|_| ["video-encode", "video-decode"].contains(&name));
        Some(graph.map(|graph| Phase::alone(graph).chunked(chunk)))
    }

    /// The whole run: prompt to frames and audio.
    ///
    /// # Errors
    /// As [`Recorder::phase`].
    pub fn run(&self, picture: Picture) -> Result<Program, ShapeError> {
        let full = self.target.size;
        let negative = self.target.guidance.as_ref().is_some_and(|guidance| guidance.uncond);
        // Ends of names: of phases and of slots.
        let prompts = [("", ""), (NEGATIVE_PHASE, NEGATIVE)];
        let prompts = &prompts[..1 + usize::from(negative)];
        let mut phases = Vec::new();
        for (phase, slot) in prompts {
            let text_encode = self.text_encode(&format!("text-encode{phase}"))?;
            phases.push(Phase::alone(text_encode).leaves("hidden", &format!("hidden{slot}")));
        }
        for (phase, slot) in prompts {
            let connect = Phase::alone(self.connect(&format!("connect{phase}"))?);
            let connect = connect.takes("hidden", &format!("hidden{slot}"));
            let leaves = |connect: Phase, name: &str| connect.leaves(name, &format!("{name}{slot}"));
            phases.push(leaves(leaves(connect, "v.context"), "a.context"));
        }
        let stage = |n: usize, size: Size, start: Start| -> Result<[Phase; 2], ShapeError> {
            let slot = |what: &str| format!("stage{n}.{what}");
            let noise = Phase::alone(self.noise(&format!("noise-{n}"), size, 2 * (n - 1))?)
                .leaves("v.noise", &slot("v.noise"))
                .leaves("a.noise", &slot("a.noise"));
            let mut denoise =
                Phase::alone(self.denoise(&format!("denoise-{n}"), size, TEXT_TOKENS, start)?)
                    .takes("v.noise", &slot("v.noise"))
                    .takes("a.noise", &slot("a.noise"));
            for (_, slot) in prompts {
                for name in ["v.context", "a.context"].map(|name| format!("{name}{slot}")) {
                    denoise = denoise.takes(&name, &name);
                }
            }
            let denoise = denoise.leaves("v.latent", &slot("v.latent")).leaves("a.latent", &slot("a.latent"));
            Ok([noise, denoise])
        };
        let last = match self.target.pipeline {
            Pipeline::DistilledSingleStage | Pipeline::OneStage => {
                phases.extend(stage(1, full, Start::Noise)?);
                1
            }
            Pipeline::Distilled => {
                phases.extend(stage(1, full.half(), Start::Noise)?);
                let upscale = Phase::alone(self.upscale(full.half())?);
                phases.push(
                    upscale.takes("v.latent", "stage1.v.latent").leaves("v.latent", "upscaled.v.latent"),
                );
                let [noise, denoise] = stage(2, full, Start::Mixed)?;
                let denoise =
                    denoise.takes("v.initial", "upscaled.v.latent").takes("a.initial", "stage1.a.latent");
                phases.extend([noise, denoise]);
                2
            }
        };
        phases.extend([
            Phase::alone(self.frames(full, picture)?)
                .takes("v.latent", &format!("stage{last}.v.latent"))
                .chunked(self.chunk),
            Phase::alone(self.audio_decode(full)?)
                .takes("a.latent", &format!("stage{last}.a.latent"))
                .leaves("mel", "mel"),
            Phase::alone(self.vocode(full)?).takes("mel", "mel"),
        ]);
        Ok(Program { phases })
    }

    fn text_encode(&self, name: &str) -> Recorded {
        let b = self.builder(name);
        let ids = b.input("input_ids", Dtype::I32, &[TEXT_TOKENS]);
        let mask = b.input("attention_mask", Dtype::I32, &[TEXT_TOKENS]);
        b.output("hidden", text_encoder::text_encoder(&b, &self.model.gemma, ids, mask));
        b.finish()
    }

    fn connect(&self, name: &str) -> Recorded {
        let b = self.builder(name);
        let gemma = &self.model.gemma;
        let hidden = b.input("hidden", b.dtype(), &[gemma.layers + 1, TEXT_TOKENS, gemma.hidden]);
        let mask = b.input("attention_mask", Dtype::I32, &[TEXT_TOKENS]);
        let (video, audio) = (&self.model.video_connector, &self.model.audio_connector);
        let features = connector::features(&b, video, audio, hidden, mask);
        let (v, a) = connector::connect(&b, video, audio, features, mask);
        for (name, context) in [("v.context", v), ("a.context", a)] {
            b.output(name, b.reshape(context, &[1, TEXT_TOKENS, b.width(context)]));
        }
        b.finish()
    }

    fn velocity(&self, size: Size) -> Recorded {
        let b = self.builder("velocity");
        let t = &self.model.transformer;
        let stream = |name: &str, tokens: usize, channels: usize, width: usize| {
            let port = |what: &str| format!("{name}.{what}");
            let classes = self.target.timestep_classes.min(tokens);
            let latent = b.input(&port("latent"), b.dtype(), &[1, tokens, channels]);
            let context = b.input(&port("context"), b.dtype(), &[1, self.target.text_tokens, width]);
            let stream = Stream {
                latent: b.reshape(latent, &[tokens, channels]),
                timesteps: b.input(&port("timesteps"), Dtype::F32, &[classes]),
                class: b.input(&port("class"), Dtype::I32, &[tokens]),
                sigma: b.input(&port("sigma"), Dtype::F32, &[1]),
                bias: None,
            };
            (stream, b.reshape(context, &[self.target.text_tokens, width]))
        };
        let (mut video, context_v) = stream("v", size.video_tokens(), t.video_channels, t.video.width());
        let (audio, context_a) = stream("a", size.audio_tokens(), t.audio_channels, t.audio.width());
        if self.target.attention_mask {
            let tokens = size.video_tokens();
            let weights = b.input("v.attention_mask", b.dtype(), &[1, tokens, tokens]);
            video.bias = Some(bias_of(&b, b.reshape(weights, &[tokens, tokens])));
        }
        let context = PerStream { video: context_v, audio: context_a };
        let made = velocity(&b, t, &Positions::of(&size, t), video, audio, context);
        b.output("v.velocity", b.reshape(made.video, &[1, size.video_tokens(), t.video_channels]));
        b.output("a.velocity", b.reshape(made.audio, &[1, size.audio_tokens(), t.audio_channels]));
        b.finish()
    }

    /// Noise of both streams for one stage: random streams `first` (video) and `first + 1` (audio) of the seed.
    fn noise(&self, name: &str, size: Size, first: usize) -> Recorded {
        let b = self.builder(name);
        let t = &self.model.transformer;
        let seed = b.input("seed", Dtype::I32, &[2]);
        let streams = [
            ("v.noise", size.video_tokens(), t.video_channels),
            ("a.noise", size.audio_tokens(), t.audio_channels),
        ];
        for (i, (port, tokens, channels)) in streams.into_iter().enumerate() {
            let normal = b.op(Op::Normal { stream: first + i, shape: vec![1, tokens, channels] }, &[seed]);
            b.output(port, b.round(normal));
        }
        b.finish()
    }

    /// `size` is that of the stage whose latents come in.
    fn upscale(&self, size: Size) -> Recorded {
        let b = self.builder("upscale");
        let [frames, rows, cols] = size.latent();
        let channels = self.model.upscaler.channels;
        let z = b.input("v.latent", b.dtype(), &[1, channels, frames, rows, cols]);
        let up = upscaler::upscale(&b, &self.model.upscaler, channels_last(&b, z));
        let up = b.permute(up, &[3, 0, 1, 2]);
        b.output("v.latent", b.reshape(up, &[1, channels, frames, 2 * rows, 2 * cols]));
        b.finish()
    }

    fn video_decoded(&self, b: &Builder, size: Size) -> Value {
        let [frames, rows, cols] = size.latent();
        let z =
            b.input("v.latent", b.dtype(), &[1, self.model.video_vae.latent_channels, frames, rows, cols]);
        video_vae::decode(b, &self.model.video_vae, channels_last(b, z))
    }

    fn video_decode(&self, size: Size) -> Recorded {
        let b = self.builder("video-decode");
        let video = b.permute(self.video_decoded(&b, size), &[3, 0, 1, 2]);
        b.output("video", b.reshape(video, &[1, 3, size.frames, size.height, size.width]));
        b.finish()
    }

    /// As `video-decode`, with the picture as a run leaves it (docs/model/pipelines.md 2.6).
    fn frames(&self, size: Size, left: Picture) -> Recorded {
        let b = self.builder("video-decode");
        let rgb = picture(&b, self.video_decoded(&b, size));
        let video = match left {
            Picture::Rgb => rgb,
            Picture::Yuv420 => {
                let planes = b.op(Op::Yuv420 {}, &[rgb]);
                b.cast(b.clamp(planes, 0.0, 255.0), Dtype::U8)
            }
        };
        b.output("video", video);
        b.finish()
    }

    fn audio_decode(&self, size: Size) -> Recorded {
        let b = self.builder("audio-decode");
        let vae = &self.model.audio_vae;
        let z = b.input("a.latent", b.dtype(), &[1, vae.z_channels, size.audio_tokens(), vae.latent_bins]);
        let mel = audio_vae::decode(&b, vae, audio_tokens(&b, z));
        let shape = b.shape(mel);
        let mel = b.permute(mel, &[2, 0, 1]);
        b.output("mel", b.reshape(mel, &[1, vae.out_channels, shape[0], shape[1]]));
        b.finish()
    }

    fn vocode(&self, size: Size) -> Recorded {
        let b = self.builder("vocode");
        let bins = self.model.vocoder.mel_bins;
        let frames = 4 * size.audio_tokens() - 3;
        let mel = b.input("mel", b.dtype(), &[1, 2, frames, bins]);
        let mel = b.permute(b.reshape(mel, &[2, frames, bins]), &[1, 2, 0]);
        let wave = vocoder::vocode(&b, &self.model.vocoder, b.cast(mel, Dtype::F32));
        b.output("waveform", b.permute(wave, &[1, 0]));
        b.finish()
    }
}

/// What a decoder makes, as RGB in 0..1.
pub(super) fn picture(b: &Builder, decoded: Value) -> Value {
    b.clamp(b.affine(decoded, 0.5, 0.5), 0.0, 1.0)
}

/// [1, c, f, h, w] → [f, h, w, c].
fn channels_last(b: &Builder, z: Value) -> Value {
    let shape = b.shape(z);
    b.permute(b.reshape(z, &shape[1..]), &[1, 2, 3, 0])
}

/// [1, c, f, h, w] → [f·h·w, c].
pub(super) fn video_tokens(b: &Builder, z: Value) -> Value {
    let shape = b.shape(z);
    b.reshape(channels_last(b, z), &[shape[2..].iter().product(), shape[1]])
}

/// [1, c, t, f] → [t, c·f].
pub(super) fn audio_tokens(b: &Builder, z: Value) -> Value {
    let shape = b.shape(z);
    let tokens = b.permute(b.reshape(z, &shape[1..]), &[1, 0, 2]);
    b.reshape(tokens, &[shape[2], shape[1] * shape[3]])
}
