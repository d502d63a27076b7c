//! What a self-test prints.

use std::fmt::Write;

use zoetrope_model_spec::lang::Dtype;

use super::{CEILINGS, Ceilings, Outcome};
use crate::report::cards::Card;

/// The table as it comes: the ceilings first, then the rows of a kernel when all of its cases are done, the wrong ones
/// marked, and a last line with their number.
pub struct Table {
    card: String,
    outcomes: Vec<Outcome>,
    /// How many of them are in rows that were printed.
    printed: usize,
    rows: usize,
}

impl Table {
    pub fn new(card: &str) -> Table {
        Table { card: card.to_string(), outcomes: Vec::new(), printed: 0, rows: 0 }
    }

    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Takes the next outcome; returns what can be printed by now.
    pub fn add(&mut self, outcome: Outcome) -> String {
        let mut out = String::new();
        let open = self.outcomes.get(self.printed);
        if open.is_some_and(|open| self.outcomes.len() > CEILINGS && open.case.name != outcome.case.name) {
            self.print(&mut out);
        }
        self.outcomes.push(outcome);
        if self.outcomes.len() == CEILINGS {
            self.head(&mut out);
            self.print(&mut out);
        }
        out
    }

    /// What is left to print.
    pub fn end(&mut self) -> String {
        let mut out = String::new();
        self.print(&mut out);
        let wrong = self.outcomes.iter().filter(|o| !o.passed()).count();
        let _ = writeln!(out, "{} cases in {} rows, {wrong} wrong", self.outcomes.len(), self.rows);
        out
    }

    /// Rows of the outcomes that are in none.
    fn print(&mut self, out: &mut String) {
        let ceilings = Ceilings::of(&self.outcomes);
        let mut rows: Vec<Vec<&Outcome>> = Vec::new();
        let key = |o: &Outcome| (o.case.name.clone(), o.case.dtype);
        for outcome in &self.outcomes[self.printed..] {
            match rows.iter_mut().find(|row| key(row[0]) == key(outcome)) {
                Some(row) => row.push(outcome),
                None => rows.push(vec![outcome]),
            }
        }
        rows.iter().for_each(|row| line(out, row, ceilings));
        self.rows += rows.len();
        self.printed = self.outcomes.len();
    }

    /// What the ceilings are, beside what the card's vendor promises, and the names of the columns.
    fn head(&self, out: &mut String) {
        let (known, ceilings) = (Card::of(&self.card), Ceilings::of(&self.outcomes));
        let [copy, product] = [0, 1].map(|i| &self.outcomes[i].case.name);
        let (bytes, flops) = (ceilings.bytes / 1e9, ceilings.flops / 1e12);
        let beside = |have: f64, all: f64, unit| format!(", {:.2} of the vendor's {all} {unit}", have / all);
        let memory = known.map(|card| beside(bytes, card.memory_gb_per_second, "GB/s")).unwrap_or_default();
        let tensor = known.map(|card| beside(flops, card.bf16_tflops, "TFLOP/s")).unwrap_or_default();
        let _ = writeln!(out, "{}\n", self.card);
        let _ = writeln!(out, "own copy, {copy}: {bytes:.1} GB/s{memory}");
        let _ = writeln!(out, "own product, {product}: {flops:.1} TFLOP/s{tensor}");
        let _ = writeln!(
            out,
            "share: of the time that a launch takes, what its bytes take at the rate of this copy, or, where it is more\n\
             and matrix instructions do the work, its operations at the rate of this product; times are of the largest\n\
             case, one launch behind the other; what the host needs to launch, some microseconds, is in the smallest"
        );
        let _ = writeln!(
            out,
            "\n{:<38} {:<5} {:>5} {:>9} {:>9} {:>11} {:>9} {:>9} {:>6}",
            "kernel", "", "cases", "error", "allowed", "us", "TFLOP/s", "GB/s", "share"
        );
    }
}

/// A row: what a kernel gave with one storage.
fn line(out: &mut String, row: &[&Outcome], ceilings: Ceilings) {
    let Some(largest) = row.iter().max_by_key(|o| o.case.bytes) else { return };
    let error = row.iter().filter_map(|o| o.measured.as_ref().ok()).map(|m| m.error).fold(0.0, f64::max);
    let seconds = largest.measured.as_ref().map_or(0.0, |m| m.seconds);
    let _ = writeln!(
        out,
        "{:<38} {:<5} {:>5} {error:>9.1e} {:>9.1e} {:>11.1} {:>9.2} {:>9.1} {:>6.2}{}",
        largest.case.name,
        if largest.case.dtype == Dtype::Bf16 { "bf16" } else { "f32" },
        row.len(),
        largest.case.tolerance,
        seconds * 1e6,
        largest.rate(largest.case.flops) / 1e12,
        largest.rate(largest.case.bytes) / 1e9,
        ceilings.share(largest),
        if row.iter().all(|o| o.passed()) { "" } else { "  WRONG" },
    );
    for outcome in row.iter().filter(|o| !o.passed()) {
        let shapes: Vec<_> = outcome.case.reads.iter().map(|read| format!("{:?}", read.shape)).collect();
        let attrs = outcome.case.meaning.attrs_text();
        let with = if attrs.is_empty() { attrs } else { format!(" with {attrs}") };
        let what = match &outcome.measured {
            Ok(measured) => format!("error {:.1e}", measured.error),
            Err(why) => why.replace('\n', " "),
        };
        let _ = writeln!(out, "    of {}{with}: {what}", shapes.join(" "));
    }
}

/// The whole table.
pub fn table(card: &str, outcomes: &[Outcome]) -> String {
    let mut table = Table::new(card);
    let text: String = outcomes.iter().map(|outcome| table.add(outcome.clone())).collect();
    text + &table.end()
}
