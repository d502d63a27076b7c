//! The phases of a run, and how they follow each other (docs/model/pipelines.md 6).
//!
//! A phase's ports have the names and shapes of docs/phases.md. Inside, channels come last and there is no batch.

use super::config::{Enlarges, TEXT_TOKENS};
use super::decode::Pixels;
use super::denoise::StepNoise;
use super::layout::channels_last;
use super::pass_input::PerStream;
use super::prompt::{CONTEXTS, PROMPTS};
use super::recipe::{Item, SoundOf, Stage, Start, StreamRole};
use super::recorder::{Recorded, Recorder};
use super::sizes::Size;
use super::track::STREAMS;
use super::{enhance, upscaler};
use crate::lang::{Dtype, Op, Role, ShapeError};
use crate::program::{Phase, Program};

/// The phases that can be compiled alone, in the order of a run.
pub const PHASES: [&str; 16] = [
    enhance::SEE,
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

/// The slot of the latents of the request's sound, which are the same in every stage.
const SOUND: &str = "given.a.latent";

/// The slot of the latents of the request's video in the size of stage `number`, from 1; for 0, of one that is enlarged.
fn footage(number: usize) -> String {
    format!("given{number}.v.latent")
}

/// The slot of the latents of a stream that stage `number` leaves, from 1.
fn made(number: usize, stream: &str) -> String {
    format!("stage{number}.{stream}.latent")
}

/// The name of a phase that enlarges the video, by how many there are before it, and the slot of what it leaves.
fn upscaled(nth: usize) -> [String; 2] {
    match nth {
        0 => ["upscale", "upscaled.v.latent"].map(str::to_string),
        nth => [format!("upscale-{}", nth + 1), format!("upscaled{}.v.latent", nth + 1)],
    }
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
            enhance::SEE => self.enhance_see(),
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
                    Some(before) => self.upscale(name, before),
                    None => return Some(Err(no_size_before(enlarges, size))),
                }
            }
            "video-decode" => self.video_decode(size),
            "audio-decode" => self.audio_decode(size),
            "vocode" => self.vocode(size),
            _ => return self.denoise_alone(name),
        };
        let chunk = match name {
            "video-encode" => self.chunk,
            "video-decode" => self.decoded_together(),
            _ => None,
        };
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
            stage.start = Start::Previous(None);
        }
        Some(self.denoise_of(name, number, &stage))
    }

    fn denoise_of(&self, name: &str, number: usize, stage: &Stage) -> Result<Phase, ShapeError> {
        let graph = self.denoise(name, number, stage, self.target.text_tokens, StepNoise::Given)?;
        let phase = Phase::alone(graph).stepped(stage.schedule(self.stage_size(number)?));
        Ok(match stage.adapter {
            Some(adapter) => phase.with_adapter(adapter.slot(number).number, adapter),
            None => phase,
        })
    }

    /// The whole run: prompt, or a given clip, to frames and audio.
    ///
    /// # Errors
    /// As [`Recorder::phase`].
    pub fn run(&self, pixels: Pixels) -> Result<Program, ShapeError> {
        let (clip, recipe) = (self.target.size, &self.target.recipe);
        // Without a stage there is nobody to hear one.
        let heard = if recipe.stages.is_empty() { 0 } else { 1 + usize::from(recipe.has_negative_prompt()) };
        let prompts = &PROMPTS[..heard];
        let there = recipe.streams();
        let mut phases = Vec::new();
        phases.extend(self.enhance()?);
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
        if recipe.stages.iter().any(Stage::hears_request) {
            let encode = Phase::alone(self.audio_encode(Role::Spectrogram, clip)?);
            phases.push(encode.leaves("a.latent", SOUND));
        }
        // Where the video is, as it has been made so far.
        let mut video = footage(0);
        let mut enlarged = 0;
        let mut enlarge = |phases: &mut Vec<Phase>, number: usize, by: Enlarges, video: &str| {
            let [name, slot] = upscaled(enlarged);
            enlarged += 1;
            phases.push(
                self.enlarged(&name, self.stage_size(number)?, by)?
                    .takes("v.latent", video)
                    .leaves("v.latent", &slot),
            );
            Ok(slot)
        };
        if recipe.stages.is_empty() {
            let encode = Phase::alone(self.footage_encode("video-encode", self.stage_size(0)?)?);
            phases.push(encode.leaves("v.latent", &video).chunked(self.chunk));
        }
        for (number, stage) in (1..).zip(&recipe.stages) {
            if let Some(by) = stage.start.enlarges() {
                video = enlarge(&mut phases, number - 1, by, &video)?;
            }
            phases.extend(self.stage(number, stage, &video)?);
            video =
                if stage.roles.video == StreamRole::Denoised { made(number, "v") } else { footage(number) };
        }
        if let Some(by) = recipe.enlarges {
            video = enlarge(&mut phases, recipe.stages.len(), by, &video)?;
        }
        if there.video {
            let decode = Phase::alone(self.frames(clip, pixels)?);
            phases.push(decode.takes("v.latent", &video).chunked(self.decoded_together()));
        }
        // Sound that is only heard is nothing to be made: the clip has it as it is given.
        let role = recipe.stages.get(recipe.audio_of).map(|stage| stage.roles.audio);
        if role == Some(StreamRole::Denoised) {
            let decode = Phase::alone(self.audio_decode(clip)?);
            phases.push(decode.takes("a.latent", &made(recipe.audio_of + 1, "a")).leaves("mel", "mel"));
            phases.push(Phase::alone(self.vocode(clip)?).takes("mel", "mel"));
        }
        Ok(Program { phases })
    }

    /// What denoises in stage `number`, from 1: the latents of images, noise, and its loop. `before` is the slot of the video
    /// that a stage begins with which begins from the one before.
    fn stage(&self, number: usize, stage: &Stage, before: &str) -> Result<Vec<Phase>, ShapeError> {
        let size = self.stage_size(number)?;
        let slot = |what: &str| format!("stage{number}.{what}");
        let mut phases = Vec::new();
        let noise = self.noise(&format!("noise-{number}"), stage, size, 2 * (number - 1))?;
        let mut noise = Phase::alone(noise);
        let drawn = StepNoise::Drawn { first: 2 * (self.target.recipe.stages.len() + number - 1) };
        let denoise = self.denoise(&format!("denoise-{number}"), number, stage, TEXT_TOKENS, drawn)?;
        let mut denoise = Phase::alone(denoise).stepped(stage.schedule(size));
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
        let before = PerStream { video: before.to_string(), audio: made(number.saturating_sub(1), "a") };
        if let Some(of) = stage.reference_sound().filter(|_| !stage.begins_from_reference_sound()) {
            let slot = match of {
                SoundOf::Request => SOUND,
                SoundOf::StageBefore => &before.audio,
            };
            denoise = denoise.takes(&format!("{}.reference", STREAMS.audio), slot);
        }
        let before = before.zip(stage.begins_from_before()).map(|(slot, begins)| begins.then_some(slot));
        let streams = STREAMS.zip(CONTEXTS).zip(before.zip(latents)).zip(stage.roles);
        for (((name, context), (before, latent)), role) in streams.both() {
            if role == StreamRole::Absent {
                continue;
            }
            for prompt in prompts {
                // What is frozen is not guided away from anything (docs/model/pipelines.md 9).
                let heard = if role.is_held() { &PROMPTS[0] } else { prompt };
                denoise = denoise.takes(&prompt.slot(context), &heard.slot(context));
            }
            if role == StreamRole::Denoised {
                let [drawn, latent] = ["noise", "latent"].map(|what| format!("{name}.{what}"));
                noise = noise.leaves(&drawn, &slot(&drawn));
                denoise = denoise.takes(&drawn, &slot(&drawn)).leaves(&latent, &slot(&latent));
            }
            if let Some(slot) = latent.or(before) {
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

    /// What enlarges a video of this size by an upscaler.
    fn enlarged(&self, name: &str, size: Size, by: Enlarges) -> Result<Phase, ShapeError> {
        let have = self.model.upscaler.enlarges;
        if have != by {
            let (want, have) = (by.name(), have.name());
            return Err(ShapeError(format!(
                "the target wants the {want} upscaler, and the file is the {have} one: set upscaler = \"{have}\", or name \
                 the other file"
            )));
        }
        Ok(Phase::alone(self.upscale(name, size)?))
    }

    /// Noise of the streams that a stage denoises: random streams `first` (video) and `first + 1` (audio) of the seed.
    fn noise(&self, name: &str, stage: &Stage, size: Size, first: usize) -> Recorded {
        let b = self.builder(name);
        let t = &self.model.transformer;
        let seed = b.port("seed", Role::Seed, Dtype::I32, &[2]);
        let appended = stage.appended_tokens(size);
        let extents = PerStream {
            video: [size.video_tokens() + appended.video, t.video_channels],
            audio: [size.audio_tokens() + appended.audio, t.audio_channels],
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

    /// `size` is that of the latents that come in.
    fn upscale(&self, name: &str, size: Size) -> Recorded {
        let b = self.builder(name);
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
