//! What a target file says of its recipe: which one, and what is otherwise in its stages.

use serde::Deserialize;

use crate::ltx::guidance::Guidance;
use crate::ltx::recipe::{Adapter, Attention, Item, Recipe, Reference, Stage, StageLevels, StreamRole};
use crate::ltx::recipes::RECIPES;
use crate::ltx::solver::Solver;

/// A stage of the recipe, in order. What is not said is as in the recipe.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StageField {
    video: Option<String>,
    audio: Option<String>,
    region: Option<bool>,
    references: Option<Vec<ReferenceField>>,
    solver: Option<String>,
    eta: Option<f64>,
    steps: Option<usize>,
    sigmas: Option<Vec<f32>>,
    guidance: Option<GuidanceField>,
    adapter: Option<AdapterField>,
}

/// A reference video of a stage.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReferenceField {
    #[serde(default = "one")]
    downscale: usize,
    #[serde(default = "one")]
    temporal_scale: usize,
    #[serde(default)]
    attention: bool,
    #[serde(default)]
    mask: bool,
}

fn one() -> usize {
    1
}

impl ReferenceField {
    fn reference(&self) -> Reference {
        let Self { downscale, temporal_scale, attention, mask } = *self;
        let attention = match (attention, mask) {
            (_, true) => Attention::Masked,
            (true, false) => Attention::Uniform,
            (false, false) => Attention::Full,
        };
        Reference { downscale, temporal_scale, attention }
    }
}

/// Room for adapters of a stage; what is not said is as in the recipe.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdapterField {
    strength: Option<f32>,
    rank: Option<usize>,
    merged: Option<bool>,
}

/// What is not said is as LTX-2.3 is guided (docs/model/sampling.md 7.3).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GuidanceField {
    #[serde(default = "yes")]
    uncond: bool,
    stg_blocks: Option<Vec<usize>>,
    #[serde(default = "yes")]
    modality: bool,
}

fn yes() -> bool {
    true
}

/// Solvers by the names that files give them, as the official pipelines use them.
const SOLVERS: [(&str, Solver); 4] = [
    ("euler", Solver::Euler),
    ("euler-ancestral", Solver::Ancestral { eta: 1.0, s_noise: 1.0 }),
    ("gradient-estimation", Solver::GradientEstimation { gamma: 2.0 }),
    ("res_2s", Solver::RES_2S),
];

/// What a stage does with a stream, by the names that files give it.
const ROLES: [(&str, StreamRole); 4] = [
    ("denoised", StreamRole::Denoised),
    ("frozen", StreamRole::Frozen),
    ("kept", StreamRole::Kept),
    ("absent", StreamRole::Absent),
];

/// How many times smaller or slower than the clip a reference may be.
const SCALES: std::ops::RangeInclusive<usize> = 1..=16;
/// The largest rank of adapters.
const MAX_RANK: usize = 4096;
/// The most steps of a stage.
const MAX_STEPS: usize = 1000;

/// The recipe of this name, with what the file says of its first guided stage, and of its stages in order.
pub(super) fn recipe(
    name: &str,
    guidance: Option<GuidanceField>,
    stages: Vec<StageField>,
    problems: &mut Vec<String>,
) -> Recipe {
    let mut recipe = Recipe::named(name).unwrap_or_else(|| {
        problems
            .push(format!("pipeline is {name:?}; wanted one of {}", quoted(RECIPES.map(|(name, ..)| name))));
        RECIPES[0].2()
    });
    if let Some(said) = guidance {
        match recipe.stages.iter_mut().find_map(|stage| stage.guidance.as_mut()) {
            Some(guidance) => said.apply(guidance),
            None => problems.push(format!("guidance is for guided pipelines; {} is not guided", recipe.name)),
        }
    }
    let (have, most) = (stages.len(), recipe.stages.len());
    if have > most {
        problems.push(format!("there are {have} stage tables; {} has {most}", recipe.name));
    }
    for (number, (said, stage)) in (1..).zip(stages.into_iter().zip(&mut recipe.stages)) {
        said.apply(stage, &format!("stage {number}"), problems);
    }
    recipe
}

pub(super) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

impl StageField {
    fn apply(self, stage: &mut Stage, of: &str, problems: &mut Vec<String>) {
        let roles =
            [("video", self.video, &mut stage.roles.video), ("audio", self.audio, &mut stage.roles.audio)];
        for (stream, said, role) in roles {
            let Some(name) = said else { continue };
            match ROLES.iter().find(|(known, _)| *known == name) {
                Some((_, said)) => *role = *said,
                None => {
                    let known = quoted(ROLES.map(|(name, _)| name));
                    problems.push(format!("{of}'s {stream} is {name:?}; wanted one of {known}"));
                }
            }
        }
        if stage.roles.both().iter().all(|role| *role != StreamRole::Denoised) {
            problems.push(format!("{of} denoises nothing; wanted its video, its audio or both"));
        }
        if self.region == Some(true) {
            // What is outside is given, so nothing else is held to anything.
            stage.items = vec![Item::Region];
        }
        if self.references.is_some() {
            stage.items.retain(|item| !matches!(item, Item::Reference(_)));
        }
        for said in self.references.into_iter().flatten() {
            let Reference { downscale, temporal_scale, .. } = said.reference();
            if !stage.takes_images() {
                problems.push(format!("{of} has a reference, and nothing of its video that it could be for"));
            }
            if !SCALES.contains(&downscale) || !SCALES.contains(&temporal_scale) {
                problems.push(format!(
                    "{of}'s reference has downscale {downscale} and temporal_scale {temporal_scale}; wanted {} to {}",
                    SCALES.start(),
                    SCALES.end()
                ));
            } else {
                stage.items.push(Item::Reference(said.reference()));
            }
        }
        if let Some(name) = self.solver {
            match SOLVERS.iter().find(|(known, _)| *known == name) {
                Some((_, solver)) => stage.solver = *solver,
                None => {
                    let known = quoted(SOLVERS.map(|(name, _)| name));
                    problems.push(format!("{of}'s solver is {name:?}; wanted one of {known}"));
                }
            }
        }
        if let Some(said) = self.eta {
            match &mut stage.solver {
                _ if !(0.0..=1.0).contains(&said) => {
                    problems.push(format!("{of}'s eta is {said}; wanted 0 to 1"))
                }
                Solver::Ancestral { eta, .. } | Solver::Res2s { eta } => *eta = said,
                solver => {
                    problems.push(format!("{of}'s solver is {solver}, which draws no noise and has no eta"))
                }
            }
        }
        if let Some(sigmas) = self.sigmas {
            let falls = sigmas.windows(2).all(|pair| pair[0] > pair[1]);
            let inside = sigmas.iter().all(|sigma| (0.0..=1.0).contains(sigma));
            if !(2..=MAX_STEPS + 1).contains(&sigmas.len()) || !falls || !inside {
                problems.push(format!(
                    "{of}'s sigmas are {} numbers; wanted 2 to {}, each below the one before, all from 0 to 1",
                    sigmas.len(),
                    MAX_STEPS + 1
                ));
            }
            stage.levels = StageLevels::List(sigmas);
        }
        if let Some(steps) = self.steps {
            match &mut stage.levels {
                _ if !(1..=MAX_STEPS).contains(&steps) => {
                    problems.push(format!("{of}'s steps are {steps}; wanted 1 to {MAX_STEPS}"));
                }
                StageLevels::Shifted { steps: usual, .. } => *usual = steps,
                StageLevels::List(_) => {
                    problems.push(format!("{of} has a list of sigmas, which says the steps"))
                }
            }
        }
        if let Some(said) = self.adapter {
            let usual = stage.adapter.unwrap_or(Adapter { strength: 1.0, rank: 0, merged: false });
            let adapter = Adapter {
                strength: said.strength.unwrap_or(usual.strength),
                rank: said.rank.unwrap_or(usual.rank),
                merged: said.merged.unwrap_or(usual.merged),
            };
            if !adapter.strength.is_finite() || !(adapter.merged || (1..=MAX_RANK).contains(&adapter.rank)) {
                let Adapter { strength, rank, .. } = adapter;
                problems.push(format!(
                    "{of}'s adapter has strength {strength} and rank {rank}; wanted a number and 1 to {MAX_RANK}"
                ));
            }
            stage.adapter = Some(adapter);
        }
        match (self.guidance, &mut stage.guidance) {
            (Some(said), Some(guidance)) => said.apply(guidance),
            (Some(_), None) => problems.push(format!("{of} is not guided, so it takes no guidance")),
            (None, _) => {}
        }
    }
}

impl GuidanceField {
    fn apply(self, guidance: &mut Guidance) {
        (guidance.uncond, guidance.modality) = (self.uncond, self.modality);
        // An omission leaves the recipe's.
        if let Some(mut blocks) = self.stg_blocks {
            blocks.sort_unstable();
            blocks.dedup();
            guidance.stg_blocks = Some(blocks);
        }
    }
}
