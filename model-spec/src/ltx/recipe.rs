//! What a recipe is: a pipeline as a value. `recipes.rs` has them all.

use std::fmt;

use super::config::{Enlarges, Transformer};
use super::guidance::Guidance;
use super::pass_input::PerStream;
use super::recipes::RECIPES;
use super::schedule::{Levels, Schedule};
use super::sizes::{Size, TIME};
use super::solver::Solver;
use crate::lang::AdapterSlot;

/// How a clip is made: denoised in one stage or in several, one after the other; or, without a stage, of a given one.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    pub name: String,
    pub stages: Vec<Stage>,
    /// What enlarges the video behind the last stage, if anything does; where there is no stage, that of a given clip.
    pub enlarges: Option<Enlarges>,
    /// The stage whose audio is the clip's, from 0.
    pub audio_of: usize,
}

/// One denoising loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    pub roles: PerStream<StreamRole>,
    pub start: Start,
    /// Further passes of every step; `None` for the conditional one alone.
    pub guidance: Option<Guidance>,
    pub solver: Solver,
    pub levels: StageLevels,
    pub items: Vec<Item>,
    /// Room for adapters (LoRA) that other stages do not have.
    pub adapter: Option<Adapter>,
}

/// What a stage does with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRole {
    /// It denoises it.
    Denoised,
    /// The stream is given, without noise, and stays what it is: the other one hears it.
    Frozen,
    /// The same with what the stage before has left.
    Kept,
    /// There is no such stream.
    Absent,
}

impl StreamRole {
    /// Whether there is such a stream, and it stays what it is.
    pub fn is_held(self) -> bool {
        matches!(self, StreamRole::Frozen | StreamRole::Kept)
    }
}

/// Room for adapters of a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adapter {
    /// What the strengths of those in it are multiplied by.
    pub strength: f32,
    /// The rank that there is room for, of all in it together.
    pub rank: usize,
    /// Whether they are merged into weights that the stage then does not share with others, as the official code does.
    pub merged: bool,
}

/// What both streams of a stage begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Noise,
    /// The latents of the stage before, the video's enlarged by this, mixed with noise of the first level.
    Previous(Option<Enlarges>),
}

/// The noise levels of a stage of any size.
#[derive(Clone, Debug, PartialEq)]
pub enum StageLevels {
    List(Vec<f32>),
    /// The LTX-2 schedule, for so many tokens or for those of the stage.
    Shifted {
        steps: usize,
        tokens: Option<usize>,
    },
}

/// What a stage is told of the clip beside the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// The tokens of the first frame are those of an image, as far as its strength says.
    FirstFrame,
    /// So many images, each for a frame that a request says, stand behind the clip's tokens as tokens of their own. Those
    /// that a request does not bring are hidden.
    Keyframes(usize),
    /// The tokens of a video that shows how the clip is to go stand behind the clip's (docs/model/pipelines.md 8), behind
    /// those of keyframes.
    Reference(Reference),
    /// A longer clip is made in windows, each of the clip's size. The first frame of a window is an image of a frame of the one
    /// before, and the latents of so many frames less one are the last ones of it; likewise the audio of that time. The first
    /// window has no such (docs/model/pipelines.md 15).
    Carried(usize),
    /// The tokens of a sound, as long as the clip's and before its beginning, stand behind those of the clip: whose voice it
    /// is (docs/model/pipelines.md 12).
    ReferenceSound(SoundOf),
    /// Only tokens in a span of time are denoised, which a request says in seconds; all others stay what they are given as
    /// (docs/model/pipelines.md 10).
    Region,
}

/// Where a reference sound is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoundOf {
    /// It is given.
    Request,
    /// The stage before has made it.
    StageBefore,
}

/// A reference video, as the metadata of its adapter say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// How many times smaller than the stage it is.
    pub downscale: usize,
    /// Of how many frames of the clip it has one; it has the first one, too.
    pub temporal_scale: usize,
    pub attention: Attention,
}

/// How strongly the tokens of a clip and of a reference attend to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// As all others do.
    Full,
    /// As a request says.
    Uniform,
    /// As a request says of each place in the reference (docs/model/pipelines.md 2.5).
    Masked,
}

impl Reference {
    /// Its latent frames, rows and columns in a stage of a size.
    pub fn latent(self, size: Size) -> [usize; 3] {
        let [_, rows, cols] = size.latent();
        let frames = 1 + (size.frames - 1).div_ceil(self.temporal_scale);
        [(frames - 1) / TIME + 1, rows.div_ceil(self.downscale), cols.div_ceil(self.downscale)]
    }
}

impl Item {
    /// The reference video, if it is one.
    pub fn reference(self) -> Option<Reference> {
        if let Item::Reference(reference) = self { Some(reference) } else { None }
    }

    /// The images that it takes: their numbers in a request, and how the ports of the denoising loop begin that they
    /// come in at. Number 0 is that of the first frame.
    pub fn images(self) -> Vec<(usize, String)> {
        match self {
            Item::FirstFrame => vec![(0, "v.image".to_string())],
            Item::Keyframes(count) => (1..=count).map(|i| (i, format!("v.keyframe{i}"))).collect(),
            Item::Reference(_) | Item::ReferenceSound(_) | Item::Carried(_) | Item::Region => Vec::new(),
        }
    }
}

impl Recipe {
    /// The recipe of this name.
    pub fn named(name: &str) -> Option<Recipe> {
        RECIPES.iter().find(|(known, ..)| *known == name).map(|(.., recipe)| recipe())
    }

    /// Gives all stages that can be held to images room for so many keyframes.
    pub fn with_keyframes(&mut self, count: usize) {
        for stage in self.stages.iter_mut().filter(|stage| stage.takes_images()) {
            stage.items.retain(|item| !matches!(item, Item::Keyframes(_)));
            stage.items.extend((count > 0).then_some(Item::Keyframes(count)));
        }
    }

    /// How many keyframes a stage has room for.
    pub fn keyframes(&self) -> usize {
        let of = |item: &Item| if let Item::Keyframes(count) = item { *count } else { 0 };
        self.stages.iter().flat_map(|stage| &stage.items).map(of).max().unwrap_or(0)
    }

    /// Makes longer clips in windows, each of which begins with so many frames of the one before; of none where that is 0.
    pub fn with_carried(&mut self, frames: usize) {
        for stage in &mut self.stages {
            stage.items.retain(|item| !matches!(item, Item::Carried(_)));
            stage.items.extend((frames > 0).then_some(Item::Carried(frames)));
        }
    }

    /// Frames of a window that the next one begins with; 0 where there are no windows.
    pub fn carried(&self) -> usize {
        self.stages.iter().filter_map(Stage::carried).max().unwrap_or(0)
    }

    /// What enlarges the video from the beginning of stage `number` on, from 1, to the finished clip, in order; for 0, that of
    /// a given clip.
    pub fn enlargements(&self, number: usize) -> impl DoubleEndedIterator<Item = Enlarges> {
        let later = self.stages.get(number..).unwrap_or_default().iter();
        later.filter_map(|stage| stage.start.enlarges()).chain(self.enlarges)
    }

    /// What enlarges the video on its way, if anything does: a run reads one upscaler.
    pub fn upscaler(&self) -> Option<Enlarges> {
        self.enlargements(0).next()
    }

    /// Has the video enlarged by another upscaler. False where nothing enlarges it.
    pub fn with_upscaler(&mut self, by: Enlarges) -> bool {
        let starts = self.stages.iter_mut().filter_map(|stage| match &mut stage.start {
            Start::Previous(Some(enlarges)) => Some(enlarges),
            Start::Previous(None) | Start::Noise => None,
        });
        starts.chain(&mut self.enlarges).map(|enlarges| *enlarges = by).count() > 0
    }

    /// The size of stage `number`, from 1, of a clip; for 0, that of a given one. `None` where an upscaler makes no such clip.
    pub fn stage_size(&self, number: usize, clip: Size) -> Option<Size> {
        self.enlargements(number).rev().try_fold(clip, |size, by| by.before(size))
    }

    /// Whether a clip may have so many latent rows or columns.
    pub fn makes_cells(&self, cells: usize) -> bool {
        self.enlargements(0).rev().try_fold(cells, |cells, by| by.cells_before(cells)).is_some_and(|n| n > 0)
    }

    /// Whether a clip may have so many latent frames.
    pub fn makes_frames(&self, frames: usize) -> bool {
        self.enlargements(0).rev().try_fold(frames, |n, by| by.frames_before(n)).is_some_and(|n| n > 0)
    }

    /// Which streams there are in any stage, or come of a given clip.
    pub fn streams(&self) -> PerStream<bool> {
        let there = |role: fn(&Stage) -> StreamRole| {
            self.stages.iter().any(|stage| role(stage) != StreamRole::Absent)
        };
        PerStream {
            video: there(|stage| stage.roles.video) || self.stages.is_empty(),
            audio: there(|stage| stage.roles.audio),
        }
    }

    /// Whether a negative prompt is heard in any stage.
    pub fn has_negative_prompt(&self) -> bool {
        self.stages.iter().any(|stage| stage.guidance.as_ref().is_some_and(|guidance| guidance.uncond))
    }
}

impl Start {
    /// What enlarges the video of the stage before.
    pub fn enlarges(self) -> Option<Enlarges> {
        if let Start::Previous(enlarges) = self { enlarges } else { None }
    }

    /// Whether it begins from the stage before.
    pub fn is_previous(self) -> bool {
        matches!(self, Start::Previous(_))
    }
}

impl Adapter {
    /// Its slot, by the number of the stage from 1.
    pub fn slot(self, stage: usize) -> AdapterSlot {
        AdapterSlot { number: stage as u8, rank: (!self.merged).then_some(self.rank) }
    }
}

impl Stage {
    /// Which streams a request gives it: those that stay what they are, and those of which a part is made anew.
    pub fn is_given(&self) -> PerStream<bool> {
        let region = self.items.contains(&Item::Region);
        self.roles.map(|role| role == StreamRole::Frozen || (region && role == StreamRole::Denoised))
    }

    /// Whether images can hold tokens of it: it makes video, of which nothing else is held.
    pub fn takes_images(&self) -> bool {
        self.roles.video == StreamRole::Denoised && !self.items.contains(&Item::Region)
    }

    /// Tokens of each stream behind those of the clip in a stage of this size.
    pub fn appended_tokens(&self, size: Size) -> PerStream<usize> {
        let [_, rows, cols] = size.latent();
        let appended = |item: &Item| match item {
            Item::Keyframes(count) => count * rows * cols,
            Item::Reference(reference) => reference.latent(size).iter().product(),
            Item::FirstFrame | Item::ReferenceSound(_) | Item::Carried(_) | Item::Region => 0,
        };
        PerStream {
            video: self.items.iter().map(appended).sum(),
            audio: self.reference_sound().map_or(0, |_| size.audio_tokens()),
        }
    }

    /// Where the reference sound is from, if it has one.
    pub fn reference_sound(&self) -> Option<SoundOf> {
        self.items.iter().find_map(|item| match item {
            Item::ReferenceSound(of) => Some(*of),
            _ => None,
        })
    }

    /// Whether a request gives it a sound.
    pub fn hears_request(&self) -> bool {
        self.is_given().audio || self.reference_sound() == Some(SoundOf::Request)
    }

    /// Whether its reference sound is what its audio begins from.
    pub fn begins_from_reference_sound(&self) -> bool {
        match self.reference_sound() {
            Some(SoundOf::Request) => self.is_given().audio,
            Some(SoundOf::StageBefore) => self.begins_from_before().audio,
            None => false,
        }
    }

    /// Which streams begin from what the stage before has left.
    pub fn begins_from_before(&self) -> PerStream<bool> {
        let given = self.is_given();
        self.roles.zip(given).map(|(role, given)| {
            !given && (role == StreamRole::Kept || (role == StreamRole::Denoised && self.start.is_previous()))
        })
    }

    /// Frames of the window before that a window begins with, where clips are made in windows.
    pub fn carried(&self) -> Option<usize> {
        self.items.iter().find_map(|item| if let Item::Carried(frames) = item { Some(*frames) } else { None })
    }

    /// Its references, in order.
    pub fn references(&self) -> impl Iterator<Item = Reference> {
        self.items.iter().filter_map(|item| item.reference())
    }

    /// Its steps where it has this size.
    pub fn schedule(&self, size: Size) -> Schedule {
        let levels = match &self.levels {
            StageLevels::List(sigmas) => Levels::List(sigmas.clone()),
            StageLevels::Shifted { steps, tokens } => {
                Levels::Shifted { steps: *steps, tokens: tokens.unwrap_or_else(|| size.video_tokens()) }
            }
        };
        Schedule { solver: self.solver, levels }
    }

    /// The blocks that its perturbed pass perturbs, ascending; none without such a pass.
    pub fn stg_blocks(&self, model: &Transformer) -> Vec<usize> {
        self.guidance.as_ref().map_or(Vec::new(), |guidance| guidance.stg_blocks(model))
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stages.get(self.audio_of) {
            Some(_) => writeln!(f, "recipe {}   audio of stage {}", self.name, self.audio_of + 1)?,
            None => writeln!(f, "recipe {}   a given clip", self.name)?,
        }
        for (number, stage) in (1..).zip(&self.stages) {
            let smaller: Vec<_> = self.enlargements(number).map(Enlarges::smaller).collect();
            let size = if smaller.is_empty() { "full size".to_string() } else { smaller.join(" and ") };
            write!(f, "  stage {number}   {size}{stage}")?;
        }
        self.enlarges.map_or(Ok(()), |by| writeln!(f, "  upscaled  {}", by.name()))
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = if self.start.is_previous() { "from the stage before" } else { "from noise" };
        writeln!(f, ", {start}")?;
        for (stream, role) in [("video", self.roles.video), ("audio", self.roles.audio)] {
            match role {
                StreamRole::Denoised => {}
                StreamRole::Frozen => writeln!(f, "    {stream}     frozen")?,
                StreamRole::Kept => writeln!(f, "    {stream}     of the stage before")?,
                StreamRole::Absent => writeln!(f, "    {stream}     absent")?,
            }
        }
        writeln!(f, "    solver    {}", self.solver)?;
        match &self.levels {
            StageLevels::List(sigmas) => writeln!(f, "    levels    {}", Levels::List(sigmas.clone()))?,
            StageLevels::Shifted { steps, tokens } => {
                let tokens = tokens.map_or("the stage's".to_string(), |tokens| tokens.to_string());
                writeln!(f, "    levels    {steps} steps, shifted for {tokens} tokens")?;
            }
        }
        if let Some(guidance) = &self.guidance {
            writeln!(f, "    guidance  {guidance}")?;
        }
        if let Some(Adapter { strength, rank, merged }) = self.adapter {
            let merged = if merged { ", merged" } else { "" };
            writeln!(f, "    adapter   strength {strength}, rank {rank}{merged}")?;
        }
        self.items.iter().try_for_each(|item| match item {
            Item::FirstFrame => writeln!(f, "    item      first frame"),
            Item::Keyframes(count) => writeln!(f, "    items     {count} keyframes"),
            Item::Reference(it) => {
                let attention = match it.attention {
                    Attention::Full => "",
                    Attention::Uniform => ", with an attention strength",
                    Attention::Masked => ", with an attention mask",
                };
                let (space, time) = (it.downscale, it.temporal_scale);
                writeln!(
                    f,
                    "    item      reference, 1/{space} of the size, 1/{time} of the frames{attention}"
                )
            }
            Item::ReferenceSound(SoundOf::Request) => writeln!(f, "    item      reference sound"),
            Item::ReferenceSound(SoundOf::StageBefore) => {
                writeln!(f, "    item      reference sound, of the stage before")
            }
            Item::Carried(frames) => writeln!(f, "    item      {frames} frames of the window before"),
            Item::Region => writeln!(f, "    item      region"),
        })
    }
}
