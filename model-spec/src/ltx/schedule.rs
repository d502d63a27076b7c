//! Noise levels of the denoising steps (docs/model/sampling.md 5).

use std::fmt;

use super::solver::Solver;

/// Sigmas of the distilled model's first stage, and of a run in one stage (docs/model/sampling.md 5.2).
pub const DISTILLED_SIGMAS: [f32; 9] = [1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0];
/// Sigmas of the second stage.
pub const STAGE_2_SIGMAS: [f32; 4] = [0.909375, 0.725, 0.421875, 0.0];

/// Steps of a guided run, unless another number is asked for (docs/model/sampling.md 7.3).
pub const GUIDED_STEPS: usize = 30;
/// Steps of the first of two stages by a solver of two evaluations a step.
pub const HQ_STEPS: usize = 15;
/// Steps of a guided run that makes a part of a clip anew (docs/model/pipelines.md 10).
pub const RETAKE_STEPS: usize = 40;
/// The number of tokens that most guided runs take their schedule for, whatever their size.
pub const GUIDED_TOKENS: usize = 4096;

/// What the last level above zero is.
const TERMINAL: f32 = 0.1;

/// The steps of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub solver: Solver,
    pub levels: Levels,
}

/// The noise levels of a stage: n + 1 for n steps.
#[derive(Clone, Debug, PartialEq)]
pub enum Levels {
    /// These.
    List(Vec<f32>),
    /// Those of the LTX-2 schedule for so many tokens, in so many steps unless a request says how many.
    Shifted { steps: usize, tokens: usize },
}

impl Levels {
    /// The levels, in `steps` steps where that is said and the schedule leaves it open.
    pub fn sigmas(&self, steps: Option<usize>) -> Vec<f32> {
        match self {
            Levels::List(sigmas) => sigmas.clone(),
            Levels::Shifted { steps: usual, tokens } => ltx2(steps.unwrap_or(*usual), *tokens),
        }
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Levels::List(sigmas) => {
                let sigmas: Vec<_> = sigmas.iter().map(f32::to_string).collect();
                f.write_str(&sigmas.join(" "))
            }
            Levels::Shifted { steps, tokens } => write!(f, "{steps} steps, shifted for {tokens} tokens"),
        }
    }
}

/// The LTX-2 schedule: `steps` + 1 levels from 1 down to 0, shifted for so many tokens, the last one above zero
/// stretched to 0.1 (docs/model/sampling.md 5.1). All but e^shift is f32, in the order of the reference.
pub fn ltx2(steps: usize, tokens: usize) -> Vec<f32> {
    if steps == 1 {
        // The stretch has nothing to go by.
        return vec![TERMINAL, 0.0];
    }
    let slope = (2.05 - 0.95) / (4096.0 - 1024.0);
    let shift = libm::exp(tokens as f64 * slope + (0.95 - 1024.0 * slope)) as f32;
    let shifted = |k: usize| {
        let level = 1.0 - k as f32 / steps as f32;
        shift / (shift + (1.0 / level - 1.0))
    };
    let factor = (1.0 - shifted(steps.max(1) - 1)) / (1.0 - TERMINAL);
    (0..steps).map(|k| 1.0 - (1.0 - shifted(k)) / factor).chain([0.0]).collect()
}

/// The levels of a run whose Euler steps make use of one prediction `skip` more times: those at which there are
/// predictions, and the last one. Nothing is lost: while x0 is the same, a step over several levels is those steps.
pub fn skipping(sigmas: &[f32], skip: usize) -> Vec<f32> {
    let steps = sigmas.len().saturating_sub(1);
    (0..steps).step_by(skip + 1).chain((!sigmas.is_empty()).then_some(steps)).map(|i| sigmas[i]).collect()
}
