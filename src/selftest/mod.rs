//! Every kernel case on a card against the CPU executor, timed: the first thing to run where a card is at hand.

pub mod cases;

use std::collections::BTreeMap;
use std::fmt::Write;

use zoetrope_kernels::catalog;
use zoetrope_model_spec::lang::Dtype;
use zoetrope_runtime::Result;
use zoetrope_runtime::cuda::{Cuda, Mode};

use crate::model_files::ModelFiles;
use crate::session::{Session, Unwatched};
use cases::{Case, Cases, PHASE, output};

/// What one case gave.
pub struct Outcome {
    pub case: Case,
    /// The largest distance from the CPU's result over its largest element; NaN counts as infinite.
    pub error: f64,
    pub seconds: f64,
}

impl Outcome {
    pub fn passed(&self) -> bool {
        self.error <= self.case.tolerance
    }
}

/// The cases of all declared kernels.
pub fn declared() -> Cases {
    cases::cases(&catalog())
}

/// Runs all cases on both executors; times are medians of `turns` turns.
///
/// # Errors
/// What stops a replay.
pub fn run(cases: Cases, files: &ModelFiles, mut cuda: Cuda<'_>, turns: usize) -> Result<Vec<Outcome>> {
    let Cases { plan, cases, inputs } = cases;
    cuda.set_mode(Mode::Single);
    // The executor borrows the plan that it was made with, which is the same.
    let mut card = Session::on(&plan, cuda);
    let mut seconds: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for _ in 0..turns.max(1) {
        card.run(PHASE, &inputs, &[], &mut Unwatched)?;
        for (number, time) in card.executor().take_seconds()? {
            seconds.entry(number).or_default().push(time);
        }
    }
    let mut cpu = Session::new(&plan, files)?;
    cpu.run(PHASE, &inputs, &[], &mut Unwatched)?;
    let mut outcomes = Vec::with_capacity(cases.len());
    for (number, case) in cases.into_iter().enumerate() {
        let have = card.output(PHASE, &output(number))?.reals();
        let want = cpu.output(PHASE, &output(number))?.reals();
        let mut times = seconds.remove(&(number as u32)).unwrap_or_default();
        times.sort_by(f64::total_cmp);
        let seconds = times.get(times.len() / 2).copied().unwrap_or(0.0);
        outcomes.push(Outcome { case, error: distance(&have, &want), seconds });
    }
    Ok(outcomes)
}

fn distance(have: &[f32], want: &[f32]) -> f64 {
    let scale = want.iter().fold(1e-30f64, |scale, x| scale.max(f64::from(x.abs())));
    let apart = have.iter().zip(want).map(|(a, b)| f64::from((a - b).abs()));
    // A NaN is no number's maximum: it is made one that is.
    apart.fold(0.0f64, |worst, x| worst.max(if x.is_nan() { f64::INFINITY } else { x })) / scale
}

/// A line for every kernel and storage, the wrong ones marked, and a last line with their number.
pub fn table(card: &str, outcomes: &[Outcome]) -> String {
    let mut out = format!(
        "{card}\n{:<34} {:<5} {:>5} {:>10} {:>10} {:>9} {:>9} {:>8}\n",
        "kernel", "", "cases", "error", "allowed", "us", "GFLOP/s", "GB/s"
    );
    let mut groups: BTreeMap<(&str, bool), Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        groups.entry((outcome.case.kernel, outcome.case.dtype == Dtype::Bf16)).or_default().push(outcome);
    }
    for ((kernel, half), all) in &groups {
        let error = all.iter().map(|o| o.error).fold(0.0, f64::max);
        let passed = all.iter().all(|o| o.passed());
        let Some(largest) = all.iter().max_by_key(|o| o.case.bytes) else { continue };
        let rate = |amount: u64| amount as f64 / largest.seconds.max(1e-9) / 1e9;
        let _ = writeln!(
            out,
            "{kernel:<34} {:<5} {:>5} {error:>10.1e} {:>10.1e} {:>9.1} {:>9.1} {:>8.1}{}",
            if *half { "bf16" } else { "f32" },
            all.len(),
            largest.case.tolerance,
            largest.seconds * 1e6,
            rate(largest.case.flops),
            rate(largest.case.bytes),
            if passed { "" } else { "  WRONG" },
        );
    }
    let wrong = outcomes.iter().filter(|o| !o.passed()).count();
    let _ = writeln!(out, "{} cases of {} kernels, {wrong} wrong", outcomes.len(), groups.len());
    out
}
