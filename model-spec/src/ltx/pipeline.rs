//! The phases of a run, and how they follow each other (docs/model/pipelines.md 6).
//!
//! A phase's ports have the names and shapes of docs/phases.md. Inside, channels come last and there is no batch.

use super::config::TEXT_TOKENS;
use super::decode::Pixels;
use super::denoise::StepNoise;
use super::layout::channels_last;
use super::prompt::{CONTEXTS, PROMPTS};
use super::recipe::{Stage, Start};
use super::recorder::{Recorded, Recorder};
use super::sizes::Size;
use super::upscaler;
use crate::lang::{Dtype, Op, Role, ShapeError};
use crate::program::{Phase, Program};

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

impl Recorder<'_> {
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
}
