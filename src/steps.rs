//! The steps of a phase: how many, at which noise levels, and what the host hands in before each.

use zoetrope_model_spec::ltx::schedule;
use zoetrope_runtime::plan::{Item, Launch, Levels, Phase, Port, Repeat, Role, Segment};

use crate::tensors::{Named, Tensor};

/// Noise levels of the steps of a phase, in `steps` steps where that is said and the plan leaves it open; none of a phase
/// without steps.
pub fn sigmas(phase: &Phase, steps: Option<usize>) -> Vec<f32> {
    let levels = match &phase.levels {
        None => return Vec::new(),
        Some(Levels::List(sigmas)) => schedule::Levels::List(sigmas.to_vec()),
        Some(Levels::Shifted { steps, tokens }) => {
            schedule::Levels::Shifted { steps: *steps as usize, tokens: *tokens as usize }
        }
    };
    levels.sigmas(steps)
}

/// What the ports of a phase that change with every step get, by step.
pub fn inputs(phase: &Phase, sigmas: &[f32]) -> Vec<Named> {
    let ports: Vec<&Port> = phase.inputs.iter().filter(|port| port.role.per_step()).collect();
    let value = |port: &Port, levels: &[f32]| match port.role {
        Role::Sigmas => Some(Tensor::real(&[2], levels.to_vec())),
        _ => None,
    };
    let step = |levels: &[f32]| {
        ports.iter().filter_map(|port| Some((port.name.to_string(), value(port, levels)?))).collect()
    };
    sigmas.windows(2).map(step).collect()
}

/// How often a segment runs in one run of its phase; `steps` as in [`sigmas`].
pub fn turns(phase: &Phase, segment: &Segment, steps: Option<usize>) -> u64 {
    if segment.repeat == Repeat::Steps { sigmas(phase, steps).len().saturating_sub(1) as u64 } else { 1 }
}

/// Launches and operations of one run of a phase; `steps` as in [`sigmas`].
pub fn work(phase: &Phase, steps: Option<usize>) -> (u64, u64) {
    let (mut launches, mut flops) = (0, 0);
    for segment in phase.segments.iter() {
        let times = turns(phase, segment, steps);
        for item in segment.items.iter() {
            let (count, body) = match item {
                Item::Launch(l) => (1, std::slice::from_ref(l)),
                Item::Loop(l) => (u64::from(l.count), l.body.as_ref()),
            };
            launches += times * count * body.len() as u64;
            flops += times * count * body.iter().map(Launch::flops).sum::<u64>();
        }
    }
    (launches, flops)
}
