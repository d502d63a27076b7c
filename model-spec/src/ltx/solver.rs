//! Solvers of the denoising loop, as data: what a plan records once, and numbers for every evaluation of the transformer
//! (docs/model/sampling.md 6).
//!
//! All solvers do the same thing: registers become sums of registers, x0 and noise. Which ones these are is the plan's,
//! the coefficients come with a run. They are worked out in f64 and rounded once, with what would cancel already
//! cancelled, so that registers of f32 are as good as the reference's of f64.

use std::fmt;

use libm::{expm1, log, sqrt};

/// How x0 and the latents make the next latents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Solver {
    /// Deterministic Euler (6.1).
    Euler,
    /// Euler with fresh noise in every step (6.3).
    Ancestral {
        /// How much of a step is made of noise: 0 is Euler.
        eta: f64,
        /// What the noise is multiplied by.
        s_noise: f64,
    },
    /// Euler by a velocity that is extrapolated from the one before (6.2).
    GradientEstimation {
        /// How far: 1 is Euler.
        gamma: f64,
    },
    /// Two evaluations a step, with fresh noise after both (6.4).
    Res2s {
        /// How much of a step is made of noise.
        eta: f64,
    },
    /// Fresh noise in what is predicted at the next level, which stands in the place of x0: how both halves of a step of
    /// [`Solver::Res2s`] end (6.4, inject).
    Injection {
        /// How much of a step is made of noise.
        eta: f64,
    },
}

/// What the next value of a register is made of. All are [tokens, channels].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// What the transformer is evaluated on; the latents when the last evaluation is done.
    State,
    /// What the transformer has just said of it, held to what is given.
    X0,
    /// The latents that a step of two evaluations began with.
    Anchor,
    /// What the evaluation before leaves: its velocity or its x0.
    Former,
    /// Standard normal numbers.
    Noise,
    /// The new state, which is made first.
    Next,
}

/// How a register is made anew behind an evaluation: a sum of operands, each times a coefficient, in order. One operand
/// alone has no coefficient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// [`Operand::State`], [`Operand::Anchor`] or [`Operand::Former`].
    pub register: Operand,
    pub terms: &'static [Operand],
}

impl Update {
    /// Coefficients of the sum.
    pub fn coefficients(&self) -> usize {
        if self.terms.len() == 1 { 0 } else { self.terms.len() }
    }
}

/// Which of a run's random numbers an evaluation draws: standard normal ones for all tokens, of mean 0 and deviation 1
/// where [`Solver::standardizes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// Of whole steps: the number of the step.
    Step(usize),
    /// Of first halves of steps: the number of the step.
    Substep(usize),
}

/// One evaluation of the transformer and what follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The noise level of the state.
    pub sigma: f32,
    /// For the sums of [`Solver::updates`], one after the other.
    pub coefficients: Vec<f32>,
    /// None where the noise counts nothing.
    pub noise: Option<Draw>,
    /// Whether the new state is held to what is given, as x0 was. Where it is not, all masks of the new state are 1: a
    /// partial mask would count twice.
    pub holds: bool,
}

/// The last level that res_2s evaluates at, in place of none (6.4).
const RES_2S_LAST: f64 = 0.0011;

/// The anchor is the state that the evaluation was of.
const KEPT: [f64; 3] = [1.0, 0.0, 0.0];

use Operand::{Anchor, Former, Next, Noise, State, X0};

impl Solver {
    /// As the official pipelines use it (6.4).
    pub const RES_2S: Solver = Solver::Res2s { eta: 0.5 };

    /// What happens behind every evaluation, in order; the state comes first. All but [`Operand::Next`] are what they
    /// were before. A register that has no update is none of the solver's.
    pub fn updates(&self) -> &'static [Update] {
        match self {
            Solver::Euler => &[Update { register: State, terms: &[State, X0] }],
            Solver::Ancestral { .. } | Solver::Injection { .. } => {
                &[Update { register: State, terms: &[State, X0, Noise] }]
            }
            Solver::GradientEstimation { .. } => &[
                Update { register: State, terms: &[State, X0, Former] },
                Update { register: Former, terms: &[State, X0] },
            ],
            Solver::Res2s { .. } => &[
                Update { register: State, terms: &[State, X0, Anchor, Former, Noise] },
                Update { register: Anchor, terms: &[State, Next, X0] },
                Update { register: Former, terms: &[X0] },
            ],
        }
    }

    /// Whether evaluations draw noise. Then the new state is held to what is given ([`Evaluation::holds`]).
    pub fn draws(&self) -> bool {
        !matches!(self, Solver::Euler | Solver::GradientEstimation { .. })
    }

    /// Whether noise is brought to mean 0 and deviation 1 over all elements of a stream.
    pub fn standardizes(&self) -> bool {
        matches!(self, Solver::Res2s { .. } | Solver::Injection { .. })
    }

    /// How many coefficients an evaluation has.
    pub fn coefficients(&self) -> usize {
        self.updates().iter().map(Update::coefficients).sum()
    }

    /// All evaluations of a run through `sigmas`, which fall from step to step; the last one may be 0.
    pub fn evaluations(&self, sigmas: &[f32]) -> Vec<Evaluation> {
        let levels: Vec<f64> = sigmas.iter().map(|sigma| f64::from(*sigma)).collect();
        let steps = levels.windows(2).map(|pair| (pair[0], pair[1]));
        match *self {
            Solver::Euler => steps.map(|(sigma, next)| euler(sigma, next)).collect(),
            Solver::Ancestral { eta, s_noise } => {
                steps.enumerate().map(|(i, (sigma, next))| ancestral(i, sigma, next, eta, s_noise)).collect()
            }
            Solver::GradientEstimation { gamma } => {
                // The first step has no velocity before it.
                let gammas = std::iter::once(1.0).chain(std::iter::repeat(gamma));
                steps.zip(gammas).map(|((sigma, next), gamma)| extrapolated(sigma, next, gamma)).collect()
            }
            Solver::Res2s { eta } => res_2s(levels, eta),
            Solver::Injection { eta } => {
                steps.enumerate().map(|(i, (sigma, next))| injection(i, sigma, next, eta)).collect()
            }
        }
    }
}

impl fmt::Display for Solver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Solver::Euler => f.write_str("euler"),
            Solver::Ancestral { eta, s_noise } => write!(f, "euler-ancestral eta={eta} s_noise={s_noise}"),
            Solver::GradientEstimation { gamma } => write!(f, "gradient-estimation gamma={gamma}"),
            Solver::Res2s { eta } => write!(f, "res_2s eta={eta}"),
            Solver::Injection { eta } => write!(f, "res_2s-injection eta={eta}"),
        }
    }
}

fn evaluation(sigma: f64, coefficients: &[f64], noise: Option<Draw>) -> Evaluation {
    let coefficients = coefficients.iter().map(|c| *c as f32).collect();
    Evaluation { sigma: sigma as f32, coefficients, noise, holds: noise.is_some() }
}

fn euler(sigma: f64, next: f64) -> Evaluation {
    evaluation(sigma, &[next / sigma, 1.0 - next / sigma], None)
}

fn ancestral(step: usize, sigma: f64, next: f64, eta: f64, s_noise: f64) -> Evaluation {
    if next == 0.0 {
        return evaluation(sigma, &[0.0, 1.0, 0.0], None);
    }
    let down = next * (1.0 + (next / sigma - 1.0) * eta);
    let scale = (1.0 - next) / (1.0 - down);
    let noise = sqrt((next * next - down * down * scale * scale).max(0.0)) * s_noise;
    let terms = [scale * down / sigma, scale * (1.0 - down / sigma), noise];
    evaluation(sigma, &terms, (noise != 0.0).then_some(Draw::Step(step)))
}

fn injection(step: usize, sigma: f64, next: f64, eta: f64) -> Evaluation {
    let Injection { anchor, predicted, noise } = Injection::new(sigma, next, eta);
    let drawn = (noise != 0.0).then_some(Draw::Step(step));
    Evaluation { holds: true, ..evaluation(sigma, &[anchor, predicted, noise], drawn) }
}

/// With v = (x − x0)/sigma and what the step before left of it: x + (next − sigma)·(γ·v + (1 − γ)·former).
fn extrapolated(sigma: f64, next: f64, gamma: f64) -> Evaluation {
    let velocity = [1.0 / sigma, -1.0 / sigma];
    if next == 0.0 {
        return evaluation(sigma, &[&[0.0, 1.0, 0.0], &velocity[..]].concat(), None);
    }
    let d_sigma = next - sigma;
    let along = gamma * d_sigma / sigma;
    evaluation(sigma, &[&[1.0 + along, -along, (1.0 - gamma) * d_sigma], &velocity[..]].concat(), None)
}

/// The sum `anchor`·a + `predicted`·p + `noise`·ε that puts noise into what is predicted at level `to` from an anchor at
/// level `from` (6.4, inject).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Injection {
    pub anchor: f64,
    pub predicted: f64,
    pub noise: f64,
}

impl Injection {
    /// `eta` says how much noise.
    pub fn new(from: f64, to: f64, eta: f64) -> Injection {
        let noise = (eta * to).min(0.9999 * to);
        if noise == 0.0 || to == 0.0 {
            return Injection { anchor: 0.0, predicted: 1.0, noise: 0.0 };
        }
        let rest = sqrt(to * to - noise * noise);
        let all = (1.0 - to) + rest;
        let towards = (all * from - rest) / (from - to);
        Injection { anchor: all - towards, predicted: towards, noise }
    }
}

/// Two evaluations for every pair of levels, and one at the end where the last level is 0.
fn res_2s(mut levels: Vec<f64>, eta: f64) -> Vec<Evaluation> {
    let to_none = levels.len() > 1 && levels.last() == Some(&0.0);
    if let Some(last) = levels.last_mut().filter(|_| to_none) {
        *last = RES_2S_LAST;
    }
    let mut out = Vec::new();
    let mut push = |evaluation: Evaluation| out.push(Evaluation { holds: true, ..evaluation });
    for (step, pair) in levels.windows(2).enumerate() {
        let (sigma, next) = (pair[0], pair[1]);
        let h = -log(next / sigma);
        let [phi_1, phi_2] = phis(-h);
        // The first half goes h·a from the state towards x0.
        let first = h * 0.5 * phis(-h / 2.0)[0];
        let middle = sqrt(sigma * next);
        let inject = Injection::new(sigma, middle, eta);
        let draws = |draw: Draw| (inject.noise != 0.0).then_some(draw);
        let towards = inject.predicted * first;
        // anchor·x + predicted·(x + first·(x0 − x)), in which anchor + predicted is made of nothing that cancels.
        let kept = inject.anchor + inject.predicted;
        let state = [kept - towards, towards, 0.0, 0.0, inject.noise];
        // Where steps are short, the anchor is the point that leads to the noisy state.
        let back = [0.0, 1.0 / (1.0 - first), -first / (1.0 - first)];
        let anchor = if h < 0.5 && sigma > 0.03 { back } else { KEPT };
        push(evaluation(sigma, &[&state[..], &anchor].concat(), draws(Draw::Substep(step))));
        let inject = Injection::new(sigma, next, eta);
        let second = h * 2.0 * phi_2;
        let third = h * phi_1 - second;
        let (kept, p) = (inject.anchor + inject.predicted, inject.predicted);
        let state = [0.0, p * second, kept - p * (second + third), p * third, inject.noise];
        push(evaluation(middle, &[&state[..], &KEPT].concat(), draws(Draw::Step(step))));
    }
    if to_none {
        out.push(evaluation(RES_2S_LAST, &[&[0.0, 1.0, 0.0, 0.0, 0.0][..], &KEPT].concat(), None));
    }
    out
}

/// φ1(z) = (e^z − 1)/z and φ2(z) = (e^z − 1 − z)/z².
fn phis(z: f64) -> [f64; 2] {
    if z.abs() < 1e-10 { [1.0, 0.5] } else { [expm1(z) / z, (expm1(z) - z) / (z * z)] }
}
