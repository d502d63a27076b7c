//! `zoetropec budgets`: what presets become on cards of common sizes, and by what their weights stay in.

use std::path::Path;

use rayon::prelude::*;
use zoetrope_compiler::Error;
use zoetrope_compiler::frontend::{Budgets, CompileError, RESERVE_BYTES};
use zoetrope_model_spec::lang::Kept;
use zoetrope_model_spec::target::{Model, PRESETS, Target};
use zoetrope_runtime::plan::{Fetch, Plan, Repeat, bytes_text};

use crate::failure::Failure;
use crate::report::cards::SIZES;
use crate::report::{Report, seconds_text};

/// One row for every preset of the published model and every budget that changes its plan.
///
/// # Errors
/// A preset that cannot be compiled for another reason than its budget.
pub fn table() -> Result<String, Failure> {
    let mut out = String::from(
        "| preset | memory | peak | streamed | moved per step | decoded together | least time of a clip |\n\
         |---|---|---|---|---|---|---|\n",
    );
    // None waits for another.
    let large: Vec<_> = PRESETS.iter().filter(|(_, preset)| preset.model != Model::Demo).collect();
    let rows: Vec<_> = large.par_iter().map(|(name, _)| rows(name)).collect();
    for rows in rows {
        out += &rows?;
    }
    Ok(out)
}

fn rows(preset: &str) -> Result<String, Failure> {
    let budgets = budgets(preset, None)?;
    let whole = budgets.plan(None)?;
    let holds = |gib: &u64| whole.peak_bytes + RESERVE_BYTES <= gib << 30;
    let (large, small): (Vec<u64>, Vec<u64>) = SIZES.iter().rev().partition(|gib| holds(gib));
    let large: Vec<_> = large.iter().map(|gib| format!("{gib} GiB")).collect();
    let mut out = row(&format!("`{preset}`"), &format!("no budget, {}", large.join(", ")), &whole);
    for gib in small {
        let memory = format!("{gib} GiB");
        match budgets.plan(Some(gib << 30)) {
            Ok(plan) => out += &row("", &memory, &plan),
            Err(CompileError::Compiler(Error::Budget { phase, smallest_gib, .. })) => {
                out += &format!("| | {memory} | refused: {phase} wants {smallest_gib} GiB | | | | |\n");
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(out)
}

/// Presets whose plans are shown with every encoding: of each size and pipeline class the one that most is known of.
const COMPARED: [&str; 3] = ["res-768x512", "res-1080p", "res-1080p-dev"];

/// Memory of the cards that they are shown on, in GiB.
const SMALL: [u64; 3] = [24, 16, 12];

/// A row for every preset of some and everything that its weights can stay in: the memory that it takes, and what it moves
/// on small cards.
///
/// # Errors
/// As [`table`].
pub fn comparison() -> Result<String, Failure> {
    let mut out = String::from("| preset | weights | peak | whole on |");
    SMALL.iter().for_each(|gib| out += &format!(" moved per step on {gib} GiB |"));
    out += "\n|---|---|---|---|---|---|---|\n";
    let stored = [None].into_iter().chain(Kept::ALL.map(Some));
    let rows: Vec<(&str, Option<Kept>)> =
        COMPARED.iter().flat_map(|preset| stored.clone().map(move |kept| (*preset, kept))).collect();
    let rows: Vec<_> = rows.par_iter().map(|(preset, kept)| compared(preset, *kept)).collect();
    for row in rows {
        out += &row?;
    }
    Ok(out)
}

fn compared(preset: &str, kept: Option<Kept>) -> Result<String, Failure> {
    let budgets = budgets(preset, kept)?;
    let whole = budgets.plan(None)?;
    let holds = |gib: &&u64| whole.peak_bytes + RESERVE_BYTES <= *gib << 30;
    let smallest = SIZES.iter().find(holds).map_or("-".to_string(), |gib| format!("{gib} GiB"));
    let name = kept.map_or("bf16", Kept::name);
    let name_of = if kept.is_none() { format!("`{preset}`") } else { String::new() };
    let mut out = format!("| {name_of} | {name} | {} | {smallest} |", bytes_text(whole.peak_bytes));
    for gib in SMALL {
        let cell = match budgets.plan(Some(gib << 30)) {
            Ok(plan) => match Figures::of(&plan).moved {
                moved if moved.is_empty() => "nothing".to_string(),
                moved => moved.join(", "),
            },
            Err(CompileError::Compiler(Error::Budget { smallest_gib, .. })) => {
                format!("refused: {smallest_gib} GiB wanted")
            }
            Err(other) => return Err(other.into()),
        };
        out += &format!(" {cell} |");
    }
    Ok((out + "\n").replace("|  |", "| |"))
}

fn budgets(preset: &str, weights: Option<Kept>) -> Result<Budgets, CompileError> {
    let target = Target::preset(preset).map(|target| Target { weights, ..target });
    Budgets::of(&target.expect("a preset has a target"), Path::new(""))
}

/// What a plan streams.
struct Figures {
    /// Of every phase that streams, how many iterations.
    streamed: Vec<String>,
    /// Of every one of them that has steps, the bytes of a step.
    moved: Vec<String>,
}

impl Figures {
    fn of(plan: &Plan) -> Figures {
        let (mut streamed, mut moved) = (Vec::new(), Vec::new());
        for phase in plan.phases.iter() {
            let Some((l, _)) = phase.fetches().next() else { continue };
            streamed.push(format!("{} {} of {}", phase.name, l.streamed().len(), l.count));
            if phase.segments.iter().any(|s| s.repeat == Repeat::Steps) {
                // What is fetched when the phase begins is fetched again at the end of every step, for the next.
                let step = phase.fetches().filter(|(_, f)| f.after != Fetch::AT_ONCE);
                moved.push(bytes_text(step.map(|(_, f)| f.bytes).sum()));
            }
        }
        Figures { streamed, moved }
    }
}

fn row(name: &str, memory: &str, plan: &Plan) -> String {
    let Figures { streamed, moved } = Figures::of(plan);
    let or_dash = |list: Vec<String>| if list.is_empty() { "-".to_string() } else { list.join(", ") };
    let chunk = plan.facts.decode_chunk.map_or("all".to_string(), |frames| frames.to_string());
    let (peak, streamed, moved) = (bytes_text(plan.peak_bytes), or_dash(streamed), or_dash(moved));
    let times = times(plan);
    format!("| {name} | {memory} | {peak} | {streamed} | {moved} | {chunk} | {times} |\n")
        .replace("|  |", "| |")
}

/// The floor of a run on those cards that have the least memory that is enough.
fn times(plan: &Plan) -> String {
    let report = Report::of(plan);
    let least = report.cards.iter().filter(|c| c.fits).map(|c| c.memory_bytes).min();
    let cards = report.cards.iter().filter(|c| Some(c.memory_bytes) == least);
    cards.map(|c| format!("{} {}", c.name, seconds_text(c.seconds))).collect::<Vec<_>>().join(", ")
}
