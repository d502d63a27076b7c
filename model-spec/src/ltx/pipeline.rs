//! The phases of a run, and how they follow each other (docs/model/pipelines.md 6).
//!
//! A phase's ports have the names and shapes of docs/phases.md. Inside, channels come last and there is no batch.

use super::config::{Enlarges, TEXT_TOKENS};
use super::decode::Pixels;
use super::denoise::StepNoise;
use super::layout::channels_last;
use super::pass_input::PerStream;
use super::prompt::{CONTEXTS, PROMPTS};
use super::recipe::{Item, Stage, Start, StreamRole};
use super::recorder::{Recorded, Recorder};
use super::sizes::Size;
use super::track::STREAMS;
use super::{enhance, upscaler};
use crate::lang::{Dtype, Op, Role, ShapeError};
use crate::program::{Phase, Program};

/// The phases that can be compiled alone, in the order of a run.
pub const PHASES: [&str; 15] = [
    enhance::READ,
    enhance::WRITE,
    "text-encode",
    "connect",
    "video-encode",
    "audio-encode",
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

/// The slot of what the upscaler leaves.
const UPSCALED: &str = "upscaled.v.latent";
/// The slot of the latents of the request's sound, which are the same in every stage.
const SOUND: &str = "given.a.latent";

/// The slot of the latents of the request's video in the size of stage `number`, from 1.
fn footage(number: usize) -> String {
    format!("given{number}.v.latent")
}

impl Recorder<'_> {
    /// One phase by its name in [`PHASES`], or `denoise-1`, `denoise-2` and so on: the loop of a stage. The sizes of all
    /// others are those of the last stage (`upscale` reads the one before).
    ///
    /// # Errors
    /// Dimensions that do not fit together, with the path where it shows.
    pub fn phase(&self, name: &str) -> Option<Result<Phase, ShapeError>> {
        let size = self.target.size;
        let graph = match name {
            enhance::READ => self.enhance_read(),
            enhance::WRITE => self.enhance_write(),
            "text-encode" => self.text_encode(&PROMPTS[0]),
            "connect" => self.connect(&PROMPTS[0], PerStream { video: true, audio: true }),
            "video-encode" => self.video_encode(size),
            "audio-encode" => self.audio_encode(Role::Tensor { default: None }, size),
            "velocity" => self.velocity(size),
            "conditioning" => self.conditioning(size),
            "guide" => self.guide(size),
            "step" => return Some(self.step(size)),
            "upscale" => {
                let enlarges = self.model.upscaler.enlarges;
                match enlarges.before(size) {
                    Some(before) => self.upscale(before),
                    None => return Some(Err(no_size_before(enlarges, size))),
                }
            }
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
        let mut stage = stages.get(number.checked_sub(1)?)?.clone();
        // A region is noise all through, whatever the first level.
        if !stage.items.contains(&Item::Region) {
            stage.start = Start::Previous;
        }
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
        let there = recipe.streams();
        let mut phases = Vec::new();
        if self.target.enhance.is_some() {
            phases.extend(self.enhance()?);
        }
        // One prompt after the other, so that no more than one set of hidden states is in memory.
        for prompt in prompts {
            let hidden = prompt.slot("hidden");
            phases.push(Phase::alone(self.text_encode(prompt)?).leaves("hidden", &hidden));
            let mut connect = Phase::alone(self.connect(prompt, there)?).takes("hidden", &hidden);
            for (name, _) in CONTEXTS.zip(there).both().into_iter().filter(|(_, there)| *there) {
                connect = connect.leaves(name, &prompt.slot(name));
            }
            phases.push(connect);
        }
        if recipe.stages.iter().any(|stage| stage.is_given().audio) {
            let encode = Phase::alone(self.audio_encode(Role::Spectrogram, clip)?);
            phases.push(encode.leaves("a.latent", SOUND));
        }
        for (number, stage) in (1..).zip(&recipe.stages) {
            if stage.start == Start::Previous {
                phases.push(self.upscaled(number, stage.scale.size(clip))?);
            }
            phases.extend(self.stage(number, stage)?);
        }
        let (video, audio) = (recipe.stages.len(), recipe.audio_of + 1);
        let made = |number: usize| recipe.stages[number - 1].roles.map(|role| role == StreamRole::Denoised);
        if there.video {
            let latent = if made(video).video { format!("stage{video}.v.latent") } else { footage(video) };
            let decode = Phase::alone(self.frames(clip, pixels)?);
            phases.push(decode.takes("v.latent", &latent).chunked(self.chunk));
        }
        // Sound that is only heard is nothing to be made: the clip has it as it is given.
        if made(audio).audio {
            let decode = Phase::alone(self.audio_decode(clip)?);
            phases.push(decode.takes("a.latent", &format!("stage{audio}.a.latent")).leaves("mel", "mel"));
            phases.push(Phase::alone(self.vocode(clip)?).takes("mel", "mel"));
        }
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
        let given = stage.is_given();
        if given.video {
            let encode = Phase::alone(self.footage_encode(&format!("video-encode-{number}"), size)?);
            phases.push(encode.leaves("v.latent", &footage(number)).chunked(self.chunk));
        }
        for (reference, it) in (1..).zip(stage.references()) {
            let port = format!("v.reference{reference}");
            let name = format!("reference{reference}-encode-{number}");
            let encode = Phase::alone(self.reference_encode(&name, reference, it, size)?);
            phases.push(encode.leaves("v.latent", &slot(&port)).chunked(self.chunk));
            denoise = denoise.takes(&port, &slot(&port));
        }
        let latents = PerStream { video: footage(number), audio: SOUND.to_string() };
        let latents = latents.zip(given).map(|(slot, given)| given.then_some(slot));
        let negative = stage.guidance.as_ref().is_some_and(|guidance| guidance.uncond);
        let prompts = &PROMPTS[..1 + usize::from(negative)];
        let before =
            PerStream { video: UPSCALED.to_string(), audio: format!("stage{}.a.latent", number - 1) };
        let streams = STREAMS.zip(CONTEXTS).zip(before.zip(latents)).zip(stage.roles);
        for (((name, context), (before, latent)), role) in streams.both() {
            if role == StreamRole::Absent {
                continue;
            }
            for prompt in prompts {
                // What is frozen is not guided away from anything (docs/model/pipelines.md 9).
                let heard = if role == StreamRole::Frozen { &PROMPTS[0] } else { prompt };
                denoise = denoise.takes(&prompt.slot(context), &heard.slot(context));
            }
            if role == StreamRole::Denoised {
                let [drawn, latent] = ["noise", "latent"].map(|what| format!("{name}.{what}"));
                noise = noise.leaves(&drawn, &slot(&drawn));
                denoise = denoise.takes(&drawn, &slot(&drawn)).leaves(&latent, &slot(&latent));
            }
            let initial = latent.or((stage.start == Start::Previous).then_some(before));
            if let Some(slot) = initial {
                denoise = denoise.takes(&format!("{name}.initial"), &slot);
            }
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
        phases.extend([noise, denoise]);
        Ok(phases)
    }

    /// The video of the stage before stage `number`, in twice its size.
    fn upscaled(&self, number: usize, size: Size) -> Result<Phase, ShapeError> {
        let enlarges = self.model.upscaler.enlarges;
        if enlarges != Enlarges::SpaceX2 {
            let have = enlarges.name();
            return Err(ShapeError(format!(
                "a stage after the first one wants the spatial x2 upscaler; this file is the one for {have}"
            )));
        }
        let upscale = Phase::alone(self.upscale(size.half())?);
        let before = format!("stage{}.v.latent", number - 1);
        Ok(upscale.takes("v.latent", &before).leaves("v.latent", UPSCALED))
    }

    /// Noise of the streams that a stage denoises: random streams `first` (video) and `first + 1` (audio) of the seed.
    fn noise(&self, name: &str, stage: &Stage, first: usize) -> Recorded {
        let b = self.builder(name);
        let size = stage.scale.size(self.target.size);
        let t = &self.model.transformer;
        let seed = b.port("seed", Role::Seed, Dtype::I32, &[2]);
        let extents = PerStream {
            video: [size.video_tokens() + stage.appended_tokens(size), t.video_channels],
            audio: [size.audio_tokens(), t.audio_channels],
        };
        let streams = STREAMS.zip(extents).zip(stage.roles).both();
        for (i, ((name, [tokens, channels]), role)) in streams.into_iter().enumerate() {
            if role == StreamRole::Denoised {
                let shape = vec![1, tokens, channels];
                let normal = b.op(Op::Normal { stream: first + i, shape }, &[seed]);
                b.output(&format!("{name}.noise"), b.round(normal));
            }
        }
        b.finish()
    }

    /// `size` is that of the stage whose latents come in.
    fn upscale(&self, size: Size) -> Recorded {
        let b = self.builder("upscale");
        let model = &self.model.upscaler;
        let batch = |latent: [usize; 3]| [[1, model.channels].as_slice(), &latent].concat();
        let z = b.input("v.latent", b.dtype(), &batch(size.latent()));
        let up = b.permute(upscaler::upscale(&b, model, channels_last(&b, z)), &[3, 0, 1, 2]);
        b.result("v.latent", Role::Latent, b.reshape(up, &batch(model.enlarges.latent(size.latent()))));
        b.finish()
    }
}

fn no_size_before(enlarges: Enlarges, size: Size) -> ShapeError {
    let Size { width, height, frames, .. } = size;
    ShapeError(format!("{width}x{height} with {frames} frames is no size that {} gives", enlarges.name()))
}
