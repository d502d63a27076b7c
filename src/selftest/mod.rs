//! Kernels on a card, timed, and compared with the CPU: the first thing to run where a card is at hand.
//!
//! Either all declared cases, which are small and try every path, or the shapes of the model at full size, which tell how
//! fast kernels are. Both are read against two ceilings that are measured in the same run: our own large copy, and our own
//! large product.

pub mod cases;
mod numbers;
mod plan;
mod sample;
pub mod sizes;
mod table;

pub use plan::plan;
pub use table::table;

use std::borrow::Cow;

use zoetrope_runtime::cuda::{Cuda, Mode};
use zoetrope_runtime::plan::{Phase, Plan, Port};
use zoetrope_runtime::{Error, Executor, Result};

use crate::failure::{Failure, Kind};
use crate::session::{Session, Unwatched};
use crate::tensors::{Named, Tensor};
use cases::{Case, declared};
use numbers::Numbers;
use sample::{Sample, width};

/// The line of `sizes.txt` whose bytes in a second are the ceiling of memory.
pub const COPY: &str = "copy 131072 4096";
/// The line whose operations in a second are the ceiling of products of bf16.
pub const PRODUCT: &str = "linear 8192 8192 8192";

/// The declared cases of all kernels, behind the ceilings.
pub fn small() -> Vec<Case> {
    [COPY, PRODUCT].map(sizes::case).into_iter().chain(declared()).collect()
}

/// The cases of full size, the first two of which are the ceilings.
pub fn full() -> Vec<Case> {
    sizes::lines().map(sizes::case).collect()
}

/// What one case gave.
pub struct Outcome {
    pub case: Case,
    /// The largest distance from the CPU's result over its largest element; NaN counts as infinite.
    pub error: f64,
    /// Of the median turn.
    pub seconds: f64,
}

impl Outcome {
    pub fn passed(&self) -> bool {
        self.error <= self.case.tolerance
    }

    /// So much in a second.
    fn rate(&self, amount: u64) -> f64 {
        amount as f64 / self.seconds.max(1e-9)
    }
}

/// What the card does at most in a second, as far as our own kernels reach.
pub struct Ceilings {
    pub bytes: f64,
    pub flops: f64,
}

impl Ceilings {
    /// Those of a run: the copy and the product that its first two cases are.
    pub fn of(outcomes: &[Outcome]) -> Ceilings {
        let [copy, product] = [&outcomes[0], &outcomes[1]];
        Ceilings { bytes: copy.rate(copy.case.bytes), flops: product.rate(product.case.flops) }
    }

    /// The time that a case takes at least at these rates, over the time that it took.
    pub fn share(&self, outcome: &Outcome) -> f64 {
        let case = &outcome.case;
        let moved = case.bytes as f64 / self.bytes;
        let multiplied = if case.multiplies { case.flops as f64 / self.flops } else { 0.0 };
        moved.max(multiplied) / outcome.seconds.max(1e-9)
    }
}

/// Runs `cases` on a card, by an executor of their plan; times are medians of `turns` turns.
///
/// # Errors
/// What stops a replay.
pub fn run(cases: Vec<Case>, plan: &Plan, mut cuda: Cuda<'_>, turns: usize) -> Result<Vec<Outcome>> {
    cuda.set_mode(Mode::Single);
    let mut card = Session::on(plan, cuda);
    let phases = cases.into_iter().zip(plan.phases.iter());
    phases.map(|(case, phase)| one(case, phase, &mut card, turns)).collect()
}

fn one(case: Case, phase: &Phase, card: &mut Session<'_, Cuda<'_>>, turns: usize) -> Result<Outcome> {
    let mut numbers = Vec::new();
    for (read, port) in case.reads.iter().zip(phase.inputs.iter()) {
        let drawn = Numbers::drawn(&format!("{} {}", case.name, port.name), read);
        let whole = drawn.runs(&[(0, read.shape.iter().product())]);
        card.executor().write(port, whole.bytes())?;
        numbers.push(drawn);
    }
    for _ in 0..turns.max(1) {
        card.run(&phase.name, &Named::new(), &[], &mut Unwatched)?;
    }
    let mut seconds: Vec<f64> = card.executor().take_seconds()?.into_iter().map(|(_, s)| s).collect();
    seconds.sort_by(f64::total_cmp);
    let sample = Sample::of(&case);
    let want = sample.evaluate(&numbers).map_err(|e| Error::Kernel {
        kernel: case.kernel.to_string(),
        path: case.name.clone(),
        message: e.to_string(),
    })?;
    let mut have = Vec::with_capacity(want.len());
    for (row, _, count) in &sample.rows {
        let port = rows_of(&phase.outputs[0], width(&case.write), *row, *count);
        have.extend(Tensor::from_port(&port, &card.executor().read(&port)?).reals());
    }
    let error = distance(&have, &want);
    Ok(Outcome { case, error, seconds: seconds[seconds.len() / 2] })
}

/// The port of some rows of another.
fn rows_of(port: &Port, width: usize, row: usize, count: usize) -> Port {
    let offset = port.offset + (row * width) as u64 * port.dtype.bytes();
    Port { offset, shape: Cow::Owned(vec![count as u32, width as u32]), ..port.clone() }
}

fn distance(have: &[f32], want: &[f32]) -> f64 {
    let scale = want.iter().fold(1e-30f64, |scale, x| scale.max(f64::from(x.abs())));
    let apart = have.iter().zip(want).map(|(a, b)| f64::from((a - b).abs()));
    // A NaN is no number's maximum: it is made one that is.
    apart.fold(0.0f64, |worst, x| worst.max(if x.is_nan() { f64::INFINITY } else { x })) / scale
}

/// The end of a self-test.
///
/// # Errors
/// A case is wrong.
pub fn verdict(card: &str, outcomes: &[Outcome]) -> std::result::Result<(), Failure> {
    match outcomes.iter().filter(|o| !o.passed()).count() {
        0 => Ok(()),
        wrong => Err(Failure::new(Kind::Failure, format!("{wrong} cases are wrong on {card}"))),
    }
}
