//! The phases of a run, and how they follow each other (docs/model/pipelines.md 6).
//!
//! A phase's ports have the names and shapes of docs/phases.md. Inside, channels come last and there is no batch.

use super::config::{ModelConfig, TEXT_TOKENS};
use super::denoise::StepNoise;
use super::recipe::{Stage, Start};
use super::sizes::Size;
use super::{audio_vae, connector, text_encoder, upscaler, video_vae, vocoder};
use crate::lang::{Builder, Dtype, Graph, Op, Role, ShapeError, Value};
use crate::program::{Phase, Program};
use crate::target::Target;

/// The phases that can be compiled alone, in the order of a run.
pub const PHASES: [&str; 12] = [
    "text-encode",
    "connect",
    "video-encode",
    "conditioning",
    "velocity",
    "guide",
    "step",
    "denoise",
    "upscale",
    "video-decode",
    "audio-decode",
    "vocode",
];

/// What the transformer hears of a prompt.
const CONTEXTS: [&str; 2] = ["v.context", "a.context"];

/// A prompt of a run.
struct Prompt {
    number: usize,
    /// The end of the names of its phases.
    phase: &'static str,
    /// The end of the names of its slots.
    slot: &'static str,
}

/// What a clip shall be, and what it shall not be.
const PROMPTS: [Prompt; 2] =
    [Prompt { number: 0, phase: "", slot: "" }, Prompt { number: 1, phase: "-negative", slot: NEGATIVE }];

/// The end of the names of ports and slots of the negative prompt.
pub(super) const NEGATIVE: &str = ".negative";

impl Prompt {
    fn phase(&self, name: &str) -> String {
        format!("{name}{}", self.phase)
    }

    fn slot(&self, name: &str) -> String {
        format!("{name}{}", self.slot)
    }

    /// Its ids, and which of them are tokens.
    fn ports(&self, b: &Builder) -> [Value; 2] {
        let ids = b.port("input_ids", Role::Tokens { prompt: self.number }, Dtype::I32, &[TEXT_TOKENS]);
        [ids, self.mask(b)]
    }

    fn mask(&self, b: &Builder) -> Value {
        b.port("attention_mask", Role::TokenMask { prompt: self.number }, Dtype::I32, &[TEXT_TOKENS])
    }
}

pub(super) type Recorded = Result<Graph, ShapeError>;

/// How a run leaves the frames of its clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
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

    /// One phase by its name in [`PHASES`], or `denoise-1`, `denoise-2` and so on: the loop of a stage. The sizes of all
    /// others are those of the last stage (`upscale` reads the one before).
    ///
    /// # Errors
    /// Dimensions that do not fit together, with the path where it shows.
    pub fn phase(&self, name: &str) -> Option<Result<Phase, ShapeError>> {
        let size = self.target.size;
        let graph = match name {
            "text-encode" => self.text_encode(&PROMPTS[0]),
            "connect" => self.connect(&PROMPTS[0]),
            "video-encode" => self.video_encode(size),
            "velocity" => self.velocity(size),
            "conditioning" => self.conditioning(size),
            "guide" => self.guide(size),
            "step" => return Some(self.step(size)),
            "upscale" => self.upscale(size.half()),
            "video-decode" => self.video_decode(size),
            "audio-decode" => self.audio_decode(size),
            "vocode" => self.vocode(size),
            _ => return self.denoise_alone(name),
        };
        let chunk = self.chunk.filter(|_| ["video-encode", "video-decode"].contains(&name));
        Some(graph.map(|graph| Phase::alone(graph).chunked(chunk)))
    }

    /// `denoise`, the loop of the last stage, or `denoise-1` and so on; with latents to begin from, whatever the stage
    /// begins with in a run.
    fn denoise_alone(&self, name: &str) -> Option<Result<Phase, ShapeError>> {
        let stages = &self.target.recipe.stages;
        let number = match name.strip_prefix("denoise")? {
            "" => stages.len(),
            number => number.strip_prefix('-')?.parse().ok()?,
        };
        let stage = Stage { start: Start::Previous, ..stages.get(number.checked_sub(1)?)?.clone() };
        let graph = self.denoise(name, number, &stage, self.target.text_tokens, StepNoise::Given);
        let phase = graph.map(|graph| Phase::alone(graph).stepped(stage.schedule(self.target.size)));
        Some(phase.map(|phase| match stage.adapter {
            Some(adapter) => phase.with_adapter(adapter.slot(number).number, adapter),
            None => phase,
        }))
    }

    /// The whole run: prompt to frames and audio.
    ///
    /// # Errors
    /// As [`Recorder::phase`].
    pub fn run(&self, pixels: Pixels) -> Result<Program, ShapeError> {
        let (clip, recipe) = (self.target.size, &self.target.recipe);
        let prompts = &PROMPTS[..1 + usize::from(recipe.has_negative_prompt())];
        let mut phases = Vec::new();
        // One prompt after the other, so that no more than one set of hidden states is in memory.
        for prompt in prompts {
            let hidden = prompt.slot("hidden");
            phases.push(Phase::alone(self.text_encode(prompt)?).leaves("hidden", &hidden));
            let connect = Phase::alone(self.connect(prompt)?).takes("hidden", &hidden);
            phases.push(
                CONTEXTS.iter().fold(connect, |connect, name| connect.leaves(name, &prompt.slot(name))),
            );
        }
        for (number, stage) in (1..).zip(&recipe.stages) {
            if stage.start == Start::Previous {
                phases.push(self.upscaled(number, stage.scale.size(clip))?);
            }
            phases.extend(self.stage(number, stage)?);
        }
        let (video, audio) = (recipe.stages.len(), recipe.audio_of + 1);
        phases.extend([
            Phase::alone(self.frames(clip, pixels)?)
                .takes("v.latent", &format!("stage{video}.v.latent"))
                .chunked(self.chunk),
            Phase::alone(self.audio_decode(clip)?)
                .takes("a.latent", &format!("stage{audio}.a.latent"))
                .leaves("mel", "mel"),
            Phase::alone(self.vocode(clip)?).takes("mel", "mel"),
        ]);
        Ok(Program { phases })
    }

    /// What denoises in stage `number`, from 1: the latents of images, noise, and its loop.
    fn stage(&self, number: usize, stage: &Stage) -> Result<Vec<Phase>, ShapeError> {
        let size = stage.scale.size(self.target.size);
        let slot = |what: &str| format!("stage{number}.{what}");
        let mut phases = Vec::new();
        let noise = self.noise(&format!("noise-{number}"), stage, 2 * (number - 1))?;
        let mut noise = Phase::alone(noise);
        let drawn = StepNoise::Drawn { first: 2 * (self.target.recipe.stages.len() + number - 1) };
        let denoise = self.denoise(&format!("denoise-{number}"), number, stage, TEXT_TOKENS, drawn)?;
        let mut denoise = Phase::alone(denoise).stepped(stage.schedule(self.target.size));
        for name in ["v.noise", "a.noise"] {
            noise = noise.leaves(name, &slot(name));
            denoise = denoise.takes(name, &slot(name));
        }
        let negative = stage.guidance.as_ref().is_some_and(|guidance| guidance.uncond);
        for prompt in &PROMPTS[..1 + usize::from(negative)] {
            for name in CONTEXTS.map(|name| prompt.slot(name)) {
                denoise = denoise.takes(&name, &name);
            }
        }
        if stage.start == Start::Previous {
            let audio = format!("stage{}.a.latent", number - 1);
            denoise = denoise.takes("v.initial", "upscaled.v.latent").takes("a.initial", &audio);
        }
        if let Some(adapter) = stage.adapter {
            denoise = denoise.with_adapter(adapter.slot(number).number, adapter);
        }
        for (image, port) in stage.items.iter().flat_map(|item| item.images()) {
            let name = format!("image{image}-encode-{number}");
            let encode = Phase::alone(self.image_encode(&name, image, size)?).with_image(image);
            phases.push(encode.leaves("v.latent", &slot(&port)));
            denoise = denoise.takes(&port, &slot(&port));
        }
        for name in ["v.latent", "a.latent"] {
            denoise = denoise.leaves(name, &slot(name));
        }
        phases.extend([noise, denoise]);
        Ok(phases)
    }

    /// The video of the stage before stage `number`, in twice its size.
    fn upscaled(&self, number: usize, size: Size) -> Result<Phase, ShapeError> {
        let upscale = Phase::alone(self.upscale(size.half())?);
        let before = format!("stage{}.v.latent", number - 1);
        Ok(upscale.takes("v.latent", &before).leaves("v.latent", "upscaled.v.latent"))
    }

    fn text_encode(&self, prompt: &Prompt) -> Recorded {
        let b = self.builder(&prompt.phase("text-encode"));
        let [ids, mask] = prompt.ports(&b);
        b.output("hidden", text_encoder::text_encoder(&b, &self.model.gemma, ids, mask));
        b.finish()
    }

    fn connect(&self, prompt: &Prompt) -> Recorded {
        let b = self.builder(&prompt.phase("connect"));
        let gemma = &self.model.gemma;
        let hidden = b.input("hidden", b.dtype(), &[gemma.layers + 1, TEXT_TOKENS, gemma.hidden]);
        let mask = prompt.mask(&b);
        let (video, audio) = (&self.model.video_connector, &self.model.audio_connector);
        let features = connector::features(&b, video, audio, hidden, mask);
        let (v, a) = connector::connect(&b, video, audio, features, mask);
        for (name, context) in CONTEXTS.into_iter().zip([v, a]) {
            b.output(name, b.reshape(context, &[1, TEXT_TOKENS, b.width(context)]));
        }
        b.finish()
    }

    /// Noise of both streams for one stage: random streams `first` (video) and `first + 1` (audio) of the seed.
    fn noise(&self, name: &str, stage: &Stage, first: usize) -> Recorded {
        let b = self.builder(name);
        let size = stage.scale.size(self.target.size);
        let t = &self.model.transformer;
        let seed = b.port("seed", Role::Seed, Dtype::I32, &[2]);
        let streams = [
            ("v.noise", size.video_tokens() + stage.appended_tokens(size), t.video_channels),
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
        b.result("v.latent", Role::Latent, b.reshape(up, &[1, channels, frames, 2 * rows, 2 * cols]));
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

    /// As `video-decode`, with the frames as a run leaves them (docs/model/pipelines.md 2.6).
    fn frames(&self, size: Size, pixels: Pixels) -> Recorded {
        let b = self.builder("video-decode");
        let rgb = rgb(&b, self.video_decoded(&b, size));
        let video = match pixels {
            Pixels::Rgb => rgb,
            Pixels::Yuv420 => {
                let planes = b.op(Op::Yuv420 {}, &[rgb]);
                b.cast(b.clamp(planes, 0.0, 255.0), Dtype::U8)
            }
        };
        b.result("video", Role::Video, video);
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
        b.result("waveform", Role::Waveform, b.permute(wave, &[1, 0]));
        b.finish()
    }
}

/// What a decoder makes, as RGB in 0..1.
pub(super) fn rgb(b: &Builder, decoded: Value) -> Value {
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
