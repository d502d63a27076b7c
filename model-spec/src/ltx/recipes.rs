//! The recipes that can be named (docs/model/pipelines.md 1).

use super::config::Enlarges;
use super::guidance::{Guidance, Scales};
use super::pass_input::PerStream;
use super::recipe::{
    Adapter, Attention, Item, Recipe, Reference, SoundOf, Stage, StageLevels, Start, StreamRole,
};
use super::schedule::{
    DISTILLED_SIGMAS, GUIDED_STEPS, GUIDED_TOKENS, HQ_STEPS, RETAKE_STEPS, STAGE_2_SIGMAS,
};
use super::solver::Solver;

/// The rank of the published distilled adapter (docs/model/checkpoint.md).
const DISTILLED_RANK: usize = 384;

/// Room for an adapter of the kind that follows references, unless a target says how much.
const CONTROL_RANK: usize = 128;

/// The images that a clip is interpolated between, unless a target says how many.
const INTERPOLATED: usize = 2;

/// A recipe's name, a sentence on it, and the recipe.
pub type Row = (&'static str, &'static str, fn() -> Recipe);

/// The recipes that can be named.
pub const RECIPES: [Row; 15] = [
    ("distilled", "the distilled checkpoint at half size, then at full size", distilled),
    ("distilled-single-stage", "the distilled checkpoint at full size at once", distilled_single_stage),
    ("one-stage", "the dev checkpoint, guided, at full size at once", one_stage),
    ("two-stage", "the dev checkpoint, guided at half size, refined at full size", two_stage),
    ("two-stage-hq", "as two-stage, with a solver of two evaluations a step", two_stage_hq),
    ("keyframe-interpolation", "as two-stage, between images that all are keyframes", keyframe_interpolation),
    ("text-to-audio", "the dev checkpoint, guided, audio alone", text_to_audio),
    ("ic-lora", "as distilled, after a reference video, by an adapter of the first stage", ic_lora),
    ("dub", "as distilled, what is said in a given clip said otherwise, by an adapter of both stages", dub),
    ("audio-to-video", "as two-stage, for sound that is given and stays what it is", audio_to_video),
    ("retake", "the distilled checkpoint makes a span of time of a given clip anew, or extends it", retake),
    ("retake-video", "as retake, the video alone", retake_video),
    ("retake-audio", "as retake, the sound alone", retake_audio),
    ("retake-dev", "as retake, the dev checkpoint, guided", retake_dev),
    ("upscale", "a given clip enlarged by a latent upscaler, without denoising", upscale),
];

impl Stage {
    /// Distilled: from noise, one pass a step.
    fn distilled() -> Stage {
        Stage {
            roles: PerStream { video: StreamRole::Denoised, audio: StreamRole::Denoised },
            start: Start::Noise,
            guidance: None,
            solver: Solver::Euler,
            levels: StageLevels::List(DISTILLED_SIGMAS.to_vec()),
            items: vec![Item::FirstFrame],
            adapter: None,
        }
    }

    /// Guided, from noise (docs/model/sampling.md 7.3, standard).
    fn guided() -> Stage {
        Stage {
            guidance: Some(Guidance {
                uncond: true,
                stg_blocks: None,
                modality: true,
                scales: Scales::STANDARD,
            }),
            levels: StageLevels::Shifted { steps: GUIDED_STEPS, tokens: Some(GUIDED_TOKENS) },
            ..Stage::distilled()
        }
    }

    /// What refines a stage of half the size.
    fn refining() -> Stage {
        Stage {
            start: Start::Previous(Some(Enlarges::SpaceX2)),
            levels: StageLevels::List(STAGE_2_SIGMAS.to_vec()),
            ..Stage::distilled()
        }
    }

    /// The same with room for the distilled adapter (docs/model/pipelines.md 4, 5).
    fn with_distilled_adapter(self, strength: f32) -> Stage {
        Stage { adapter: Some(Adapter { strength, rank: DISTILLED_RANK, merged: false }), ..self }
    }
}

impl Recipe {
    /// Of stages that end at the clip's size; `audio_of` says whose audio is the clip's, from 0.
    fn staged(name: &str, stages: Vec<Stage>, audio_of: usize) -> Recipe {
        Recipe { name: name.to_string(), stages, enlarges: None, audio_of }
    }
}

fn distilled() -> Recipe {
    Recipe::staged("distilled", vec![Stage::distilled(), Stage::refining()], 1)
}

fn distilled_single_stage() -> Recipe {
    Recipe::staged("distilled-single-stage", vec![Stage::distilled()], 0)
}

fn one_stage() -> Recipe {
    Recipe::staged("one-stage", vec![Stage::guided()], 0)
}

fn two_stage() -> Recipe {
    Recipe::staged("two-stage", vec![Stage::guided(), Stage::refining().with_distilled_adapter(1.0)], 0)
}

/// docs/model/pipelines.md 5.
fn two_stage_hq() -> Recipe {
    let guidance =
        Guidance { uncond: true, stg_blocks: Some(Vec::new()), modality: true, scales: Scales::HQ };
    let first = Stage {
        guidance: Some(guidance),
        solver: Solver::RES_2S,
        levels: StageLevels::Shifted { steps: HQ_STEPS, tokens: None },
        ..Stage::guided()
    };
    let second = Stage { solver: Solver::RES_2S, ..Stage::refining() };
    Recipe::staged(
        "two-stage-hq",
        vec![first.with_distilled_adapter(0.25), second.with_distilled_adapter(0.5)],
        0,
    )
}

/// docs/model/pipelines.md 7: an image of the first frame is a keyframe like the others.
fn keyframe_interpolation() -> Recipe {
    let mut recipe = Recipe { name: "keyframe-interpolation".to_string(), audio_of: 1, ..two_stage() };
    recipe.stages.iter_mut().for_each(|stage| stage.items = vec![Item::Keyframes(INTERPOLATED)]);
    recipe
}

/// docs/model/pipelines.md 8. The published adapters for control videos take references of half the size.
fn ic_lora() -> Recipe {
    let reference = Reference { downscale: 2, temporal_scale: 1, attention: Attention::Full };
    let mut first = Stage {
        adapter: Some(Adapter { strength: 1.0, rank: CONTROL_RANK, merged: false }),
        ..Stage::distilled()
    };
    first.items.push(Item::Reference(reference));
    Recipe::staged("ic-lora", vec![first, Stage::refining()], 1)
}

/// docs/model/pipelines.md 12. The adapter is one that all stages share.
fn dub() -> Recipe {
    let video = Item::Reference(Reference { downscale: 1, temporal_scale: 1, attention: Attention::Full });
    let with = |stage: Stage, of: SoundOf| Stage { items: vec![video, Item::ReferenceSound(of)], ..stage };
    let mut second = with(Stage::refining(), SoundOf::StageBefore);
    second.roles.audio = StreamRole::Kept;
    Recipe::staged("dub", vec![with(Stage::distilled(), SoundOf::Request), second], 0)
}

/// docs/model/pipelines.md 11.
fn text_to_audio() -> Recipe {
    let mut stage = Stage {
        roles: PerStream { video: StreamRole::Absent, audio: StreamRole::Denoised },
        items: Vec::new(),
        ..Stage::guided()
    };
    // There is no video to be isolated from.
    stage.guidance.iter_mut().for_each(|guidance| guidance.modality = false);
    Recipe::staged("text-to-audio", vec![stage], 0)
}

/// docs/model/pipelines.md 9.
fn audio_to_video() -> Recipe {
    let mut recipe = Recipe { name: "audio-to-video".to_string(), ..two_stage() };
    recipe.stages.iter_mut().for_each(|stage| stage.roles.audio = StreamRole::Frozen);
    recipe
}

/// docs/model/pipelines.md 10.
fn retake() -> Recipe {
    let stage = Stage { items: vec![Item::Region], ..Stage::distilled() };
    Recipe::staged("retake", vec![stage], 0)
}

fn retake_video() -> Recipe {
    let mut recipe = Recipe { name: "retake-video".to_string(), ..retake() };
    recipe.stages.iter_mut().for_each(|stage| stage.roles.audio = StreamRole::Frozen);
    recipe
}

fn retake_audio() -> Recipe {
    let mut recipe = Recipe { name: "retake-audio".to_string(), ..retake() };
    recipe.stages.iter_mut().for_each(|stage| stage.roles.video = StreamRole::Frozen);
    recipe
}

fn retake_dev() -> Recipe {
    let levels = StageLevels::Shifted { steps: RETAKE_STEPS, tokens: Some(GUIDED_TOKENS) };
    let stage = Stage { items: vec![Item::Region], levels, ..Stage::guided() };
    Recipe::staged("retake-dev", vec![stage], 0)
}

/// docs/model/upsampler.md 6: what lies between two stages, between an encoder and a decoder.
fn upscale() -> Recipe {
    Recipe { enlarges: Some(Enlarges::SpaceX2), ..Recipe::staged("upscale", Vec::new(), 0) }
}
