//! What a self-test prints.

use std::fmt::Write;

use zoetrope_model_spec::lang::Dtype;

use super::{Ceilings, Outcome};
use crate::report::cards::CARDS;

/// The ceilings, a line for every row of the table, the wrong ones marked, and a last line with their number.
pub fn table(card: &str, outcomes: &[Outcome]) -> String {
    let mut out = format!("{card}\n\n");
    let ceilings = Ceilings::of(outcomes);
    ceilings_of(&mut out, card, &ceilings, outcomes);
    let _ = writeln!(
        out,
        "\n{:<38} {:<5} {:>5} {:>9} {:>9} {:>11} {:>9} {:>9} {:>6}",
        "kernel", "", "cases", "error", "allowed", "us", "TFLOP/s", "GB/s", "share"
    );
    let mut rows: Vec<Vec<&Outcome>> = Vec::new();
    let key = |o: &Outcome| (o.case.name.clone(), o.case.dtype);
    for outcome in outcomes {
        match rows.iter_mut().find(|row| key(row[0]) == key(outcome)) {
            Some(row) => row.push(outcome),
            None => rows.push(vec![outcome]),
        }
    }
    for row in &rows {
        let error = row.iter().map(|o| o.error).fold(0.0, f64::max);
        let wrong = row.iter().any(|o| !o.passed());
        let Some(largest) = row.iter().max_by_key(|o| o.case.bytes) else { continue };
        let _ = writeln!(
            out,
            "{:<38} {:<5} {:>5} {error:>9.1e} {:>9.1e} {:>11.1} {:>9.2} {:>9.1} {:>6.2}{}",
            largest.case.name,
            if largest.case.dtype == Dtype::Bf16 { "bf16" } else { "f32" },
            row.len(),
            largest.case.tolerance,
            largest.seconds * 1e6,
            largest.rate(largest.case.flops) / 1e12,
            largest.rate(largest.case.bytes) / 1e9,
            ceilings.share(largest),
            if wrong { "  WRONG" } else { "" },
        );
    }
    let wrong = outcomes.iter().filter(|o| !o.passed()).count();
    let _ = writeln!(out, "{} cases in {} rows, {wrong} wrong", outcomes.len(), rows.len());
    out
}

/// What the ceilings are, beside what the card's vendor promises.
fn ceilings_of(out: &mut String, card: &str, ceilings: &Ceilings, outcomes: &[Outcome]) {
    let known = CARDS.iter().find(|known| card.contains(known.name));
    let [copy, product] = [&outcomes[0].case.name, &outcomes[1].case.name];
    let (bytes, flops) = (ceilings.bytes / 1e9, ceilings.flops / 1e12);
    let beside = |have: f64, all: f64, unit| format!(", {:.2} of the vendor's {all} {unit}", have / all);
    let memory = known.map(|card| beside(bytes, card.memory_gb_per_second, "GB/s")).unwrap_or_default();
    let tensor = known.map(|card| beside(flops, card.bf16_tflops, "TFLOP/s")).unwrap_or_default();
    let _ = writeln!(out, "own copy, {copy}: {bytes:.1} GB/s{memory}");
    let _ = writeln!(out, "own product, {product}: {flops:.1} TFLOP/s{tensor}");
    let _ = writeln!(
        out,
        "share: of the time that a launch takes, what its bytes take at the rate of this copy, or, where it is more and\n\
         matrix instructions do the work, its operations at the rate of this product; times are of the largest case"
    );
}
