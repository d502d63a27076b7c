//! The steps of a phase: how many, at which noise levels, and what the host hands in before each.

use zoetrope_model_spec::ltx::schedule;
use zoetrope_model_spec::ltx::solver::{self, Draw, Evaluation};
use zoetrope_runtime::plan::{Item, Launch, Levels, Phase, Port, Repeat, Role, Segment, Solver};

use crate::enhance::MOST_TOKENS;
use crate::tensors::{Named, Tensor};

/// What a request says of denoising steps whose number a plan leaves open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// How many; `None` for as many as the model is meant to have.
    pub count: Option<usize>,
    /// Behind each that evaluates the transformer, so many take its prediction once more.
    pub skip: usize,
}

/// Noise levels of the steps of a phase; none of a phase without steps. A step that takes the prediction of the one before
/// goes on in its direction, so both are one.
pub fn sigmas(phase: &Phase, steps: Steps) -> Vec<f32> {
    let levels = match phase.schedule.as_ref().map(|schedule| &schedule.levels) {
        None => return Vec::new(),
        Some(Levels::List(sigmas)) => schedule::Levels::List(sigmas.to_vec()),
        Some(Levels::Shifted { steps, tokens }) => {
            schedule::Levels::Shifted { steps: *steps as usize, tokens: *tokens as usize }
        }
    };
    match levels {
        schedule::Levels::List(sigmas) => sigmas,
        open => schedule::skipping(&open.sigmas(steps.count), steps.skip),
    }
}

/// The evaluations of the transformer that a phase makes of its steps through `sigmas`.
fn evaluations(phase: &Phase, sigmas: &[f32]) -> Vec<Evaluation> {
    let solver = match phase.schedule.as_ref().map(|schedule| schedule.solver) {
        None => return Vec::new(),
        Some(Solver::Euler) => solver::Solver::Euler,
        Some(Solver::Ancestral { eta, s_noise }) => solver::Solver::Ancestral { eta, s_noise },
        Some(Solver::GradientEstimation { gamma }) => solver::Solver::GradientEstimation { gamma },
        Some(Solver::Res2s { eta }) => solver::Solver::Res2s { eta },
        Some(Solver::Injection { eta }) => solver::Solver::Injection { eta },
    };
    solver.evaluations(sigmas)
}

/// How often the steps of a phase through `sigmas` evaluate the transformer.
pub fn count(phase: &Phase, sigmas: &[f32]) -> usize {
    evaluations(phase, sigmas).len()
}

/// What the ports of a phase that change with every step get, by evaluation. `given` are what they are made of, by their
/// names: the seed of the request for a [`Role::StepSeed`], all rows for a [`Role::StepTensor`], all tokens and their places.
pub fn inputs(phase: &Phase, sigmas: &[f32], given: &Named) -> Vec<Named> {
    let ports: Vec<&Port> = phase.inputs.iter().filter(|port| port.role.per_step()).collect();
    let made = |number: usize, evaluation: &Evaluation| {
        let value = |port: &&Port| {
            let given = given.get(&*port.name);
            let value = match port.role {
                Role::Sigma => Some(Tensor::real(&[1], vec![evaluation.sigma])),
                Role::Coefficients => {
                    let coefficients = evaluation.coefficients.clone();
                    Some(Tensor::real(&[coefficients.len()], coefficients))
                }
                Role::Holds => Some(Tensor::real(&[1], vec![f32::from(u8::from(evaluation.holds))])),
                Role::StepSeed => Some(drawn(given?, evaluation.noise)),
                Role::StepTensor => Some(row(given?, number, port)),
                _ => None,
            };
            Some((port.name.to_string(), value?))
        };
        ports.iter().filter_map(value).collect()
    };
    if let Some(port) = ports.iter().find(|port| port.role == Role::Token) {
        let turns = given.get(&*port.name).map_or(0, Tensor::elements);
        return (0..turns).map(|turn| elements(&ports, given, turn)).collect();
    }
    evaluations(phase, sigmas).iter().enumerate().map(|(number, one)| made(number, one)).collect()
}

/// What ports of one number each get before a turn that takes a token: element `turn` of what is given under their names.
fn elements(ports: &[&Port], given: &Named, turn: usize) -> Named {
    let element = |port: &&Port| {
        let element = given.get(&*port.name)?.ints().get(turn).copied()?;
        Some((port.name.to_string(), Tensor::int(&[1], vec![element])))
    };
    ports.iter().filter_map(element).collect()
}

/// The two words of a seed, of which the second one is another for every draw of a run.
fn drawn(seed: &Tensor, draw: Option<Draw>) -> Tensor {
    let draw = match draw {
        None => 0,
        Some(Draw::Step(step)) => 2 * step as u32 + 1,
        Some(Draw::Substep(step)) => 2 * step as u32 + 2,
    };
    // A multiple of the golden ratio's bits, so that seeds that differ in a bit share no draw.
    let mix = |word: i32| word ^ draw.wrapping_mul(0x9E37_79B9) as i32;
    let words = seed.ints();
    Tensor::int(&[2], vec![words.first().copied().unwrap_or(0), mix(words.get(1).copied().unwrap_or(0))])
}

/// Row `number` of a tensor, for a port of that size; zeros behind its last one.
fn row(all: &Tensor, number: usize, port: &Port) -> Tensor {
    let shape: Vec<usize> = port.shape.iter().map(|n| *n as usize).collect();
    let len = shape.iter().product();
    let rows = all.reals();
    let row = rows.chunks_exact(len).nth(number).map_or_else(|| vec![0.0; len], <[f32]>::to_vec);
    Tensor::real(&shape, row)
}

/// How often a segment runs in one run of its phase, at most where that depends on what is written; `steps` as in
/// [`sigmas`].
pub fn turns(phase: &Phase, segment: &Segment, steps: Steps) -> u64 {
    match segment.repeat {
        Repeat::Load | Repeat::Once => 1,
        Repeat::Steps if phase.writes() => MOST_TOKENS as u64,
        Repeat::Steps => count(phase, &sigmas(phase, steps)) as u64,
    }
}

/// Launches and operations of one run of a phase; `steps` as in [`sigmas`].
pub fn work(phase: &Phase, steps: Steps) -> (u64, u64) {
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
