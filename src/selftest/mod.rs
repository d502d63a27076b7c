//! Kernels on a card, timed, and compared with the CPU: the first thing to run where a card is at hand.
//!
//! Either all declared cases, which are small and try every path, or the shapes of the model at full size, which tell how
//! fast kernels are. Both are read against two ceilings that are measured in the same run: our own large copy, and our own
//! large product.

pub mod cases;
pub mod children;
mod numbers;
mod plan;
mod sample;
pub mod sizes;
mod table;

pub use plan::plan;
pub use table::{Table, table};

use std::borrow::Cow;

use zoetrope_runtime::cuda::{Cuda, Mode};
use zoetrope_runtime::plan::{Phase, Port};
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
/// How many cases in front are the ceilings.
pub const CEILINGS: usize = 2;

/// The declared cases of all kernels, behind the ceilings.
pub fn small() -> Vec<Case> {
    [COPY, PRODUCT].map(known).into_iter().chain(declared()).collect()
}

/// The cases of full size, the first two of which are the ceilings.
pub fn full() -> Vec<Case> {
    sizes::lines(sizes::SIZES).map(known).collect()
}

/// The case of one of our own lines.
fn known(line: &str) -> Case {
    sizes::case(line).unwrap_or_else(|why| panic!("{why}"))
}

/// How long a case is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How often it runs and is compared, each time over a result that was no number before.
    pub repeats: usize,
    /// Then it is launched again and again for so many seconds, after as many that are not timed: cards take a while to
    /// their highest clock, and longer to the one that they can keep.
    pub seconds: f64,
}

/// What the card made of a case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The largest distance from the CPU's result over its largest element; NaN counts as infinite.
    pub error: f64,
    /// Of one launch.
    pub seconds: f64,
}

/// What one case gave.
#[derive(Clone)]
pub struct Outcome {
    pub case: Case,
    /// Or why there is nothing.
    pub measured: std::result::Result<Measured, String>,
}

impl Outcome {
    pub fn passed(&self) -> bool {
        self.measured.as_ref().is_ok_and(|m| m.error <= self.case.tolerance)
    }

    /// So much in a second; nothing where the case has no time.
    fn rate(&self, amount: u64) -> f64 {
        self.measured.as_ref().map_or(0.0, |m| amount as f64 / m.seconds.max(1e-9))
    }
}

/// What the card does at most in a second, as far as our own kernels reach.
#[derive(Clone, Copy, Debug)]
pub struct Ceilings {
    pub bytes: f64,
    pub flops: f64,
}

impl Ceilings {
    /// Those of a run: the copy and the product that its first two cases are.
    pub fn of(outcomes: &[Outcome]) -> Ceilings {
        let rate =
            |i: usize, amount: fn(&Case) -> u64| outcomes.get(i).map_or(0.0, |o| o.rate(amount(&o.case)));
        Ceilings { bytes: rate(0, |case| case.bytes), flops: rate(1, |case| case.flops) }
    }

    /// The time that a case takes at least at these rates, over the time that it took.
    pub fn share(&self, outcome: &Outcome) -> f64 {
        let (case, rate) = (&outcome.case, |amount| outcome.rate(amount));
        let moved = rate(case.bytes) / self.bytes;
        let multiplied = if case.multiplies { rate(case.flops) / self.flops } else { 0.0 };
        moved.max(multiplied)
    }
}

/// Runs `cases` on a card, by an executor of their plan, each with the effort that its number has. `begins` and `done`
/// hear of these numbers.
///
/// # Errors
/// What stops a replay; the cases behind it did not run.
pub fn run(
    cases: &[Case],
    mut cuda: Cuda<'_>,
    effort: impl Fn(usize) -> Effort,
    begins: &mut dyn FnMut(usize),
    done: &mut dyn FnMut(usize, Measured),
) -> Result<()> {
    cuda.set_mode(Mode::Single);
    let mut card = Session::on(cuda);
    let phases = card.plan().phases.iter();
    for (number, (case, phase)) in cases.iter().zip(phases).enumerate() {
        begins(number);
        done(number, one(case, phase, &mut card, effort(number))?);
    }
    Ok(())
}

fn one(case: &Case, phase: &Phase, card: &mut Session<Cuda<'_>>, effort: Effort) -> Result<Measured> {
    let mut numbers = Vec::new();
    for (read, port) in case.reads.iter().zip(phase.inputs.iter()) {
        let drawn = Numbers::drawn(&format!("{} {}", case.name, port.name), read);
        let whole = drawn.runs(&[(0, read.shape.iter().product())]);
        card.executor().write(port, whole.bytes())?;
        numbers.push(drawn);
    }
    let sample = Sample::of(case);
    let want = sample.evaluate(&numbers).map_err(|e| Error::Kernel {
        kernel: case.kernel.to_string(),
        path: case.name.clone(),
        message: e.to_string(),
    })?;
    let (result, mut error) = (&phase.outputs[0], 0.0f64);
    for _ in 0..effort.repeats.max(1) {
        card.executor().fill(result, 0xFF)?;
        card.run(&phase.name, &Named::new(), &[], &mut Unwatched)?;
        let mut have = Vec::with_capacity(want.len());
        for (row, _, count) in &sample.rows {
            let port = rows_of(result, width(&case.write), *row, *count);
            have.extend(Tensor::from_port(&port, &card.executor().read(&port)?).reals());
        }
        error = error.max(distance(&have, &want));
    }
    let mut seconds: Vec<f64> = card.executor().take_seconds()?.into_iter().map(|(_, s)| s).collect();
    seconds.sort_by(f64::total_cmp);
    let once = seconds[seconds.len() / 2];
    // Alone, a launch has what the host does for it in its time.
    let times = (effort.seconds / once.max(1e-6)) as u32;
    let seconds = if times > 1 {
        card.executor().seconds_of(phase.first, times)?;
        card.executor().seconds_of(phase.first, times)?
    } else {
        once
    };
    Ok(Measured { error, seconds })
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
