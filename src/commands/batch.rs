//! `zoetrope batch`: many clips, one after the other, of model files that are opened once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use zoetrope_runtime::plan::{Plan, bytes_text};

use super::ModelArgs;
use super::adapters::{AdapterArgs, adapted};
use super::device_run::Shown;
use super::lines::{Line, Lines, apart};
use super::order::{Order, Text};
use crate::adapters::{Adapted, Merge};
use crate::device::Device;
use crate::engine::{Engine, Kept};
use crate::failure::{Failure, Kind};
use crate::output::{Inputs, check_room};
use crate::stop::Stop;
use crate::terminal::{self, noted};
use crate::tokenize::Tokenizer;

/// Make many clips in one run: model files are opened once, and weights that clips share are loaded once
#[derive(Args, Debug)]
pub struct Batch {
    /// A text with a line for each clip, what would stand behind zoetrope generate (docs/batch.md); - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// Where to run
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    device: Device,
    /// No progress
    #[arg(short, long)]
    quiet: bool,
}

/// A line of which it is known that its clip can be made.
struct Checked<'l, 'p> {
    line: &'l Line,
    plan: &'p Plan,
    text: Text,
}

/// What came of the lines.
#[derive(Default)]
struct Done {
    made: usize,
    /// Numbers of lines, and why.
    failed: Vec<(usize, Failure)>,
    /// Numbers of lines that were not begun.
    left: Vec<usize>,
}

impl Batch {
    /// Runs the command with these plans.
    ///
    /// # Errors
    /// Everything that can be known of any line is checked before the first one begins. After that, lines that fail; the
    /// others are made.
    pub fn run(self, plans: &[&Plan]) -> Result<(), Failure> {
        let start = Instant::now();
        let named = Lines(&self.file);
        let lines = named.read()?;
        let read = lines.iter().flat_map(|line| line.order.paths());
        let inputs = Inputs::of(self.model.paths().chain([self.file.as_path()]).chain(read));
        let checked = check(&named, &lines, plans, &inputs)?;
        let mut used: Vec<&Plan> = Vec::new();
        for Checked { plan, .. } in &checked {
            if !used.iter().any(|other| std::ptr::eq(*other, *plan)) {
                used.push(plan);
            }
        }
        let chosen = used.iter().map(|plan| Ok((*plan, self.device.choose(plan)?)));
        let chosen = chosen.collect::<Result<Vec<_>, Failure>>()?;
        let files = self.model.open_for(&used)?;
        let tokenizer = files.tokenizer()?;
        let (sets, of_line) = adapter_sets(&checked);
        let numbered = sets.iter().map(|(number, given, plan)| (*number, (given, plan)));
        let adapters = named.each(numbered.clone(), |(given, plan)| given.open(plan, Merge::Exact))?;
        let weights = named.each(
            numbered.zip(&adapters).map(|((number, (_, plan)), of)| (number, (plan, of))),
            |(plan, of)| adapted(of, (&files, &files.of_plan(plan).checkpoint), plan),
        )?;
        named.each(checked.iter().map(|one| (one.line.number, one)), |one| {
            one.text.said(&one.line.order, one.plan, tokenizer)
        })?;

        let kept = Kept::of(&used, used.first().and_then(|plan| zoetrope_generated::suite(plan)));
        let mut engine = Engine::new(chosen).keeping(&kept);
        let stop = Stop::listen();
        let mut done = Done::default();
        for (nth, (one, of)) in checked.iter().zip(of_line).enumerate() {
            let number = one.line.number;
            if stop.check().is_err() {
                done.left.push(number);
                continue;
            }
            let label = format!("{} of {}: ", nth + 1, checked.len());
            let shown = Shown { quiet: self.quiet, label, stop: Some(&stop) };
            match made(one, &inputs, tokenizer, (&mut engine, &weights[of]), &shown) {
                Ok(()) => done.made += 1,
                Err(failure) => {
                    let failure = named.at(number, failure);
                    terminal::line(&format!("error: {failure}"));
                    done.failed.push((number, failure));
                }
            }
        }
        done.summary(&self.file, start.elapsed().as_secs_f64(), engine.brought_bytes())
    }
}

/// Checks every line for itself, and that no two of them write into one place and all have room.
fn check<'l, 'p>(
    named: &Lines<'_>,
    lines: &'l [Line],
    plans: &[&'p Plan],
    inputs: &Inputs,
) -> Result<Vec<Checked<'l, 'p>>, Failure> {
    let mut written = Vec::new();
    let mut room: BTreeMap<PathBuf, u64> = BTreeMap::new();
    let checked = named.each(lines.iter().map(|line| (line.number, line)), |line| {
        let Order { plan, text, outputs, .. } = line.order.ready(plans, inputs)?;
        written.push((line.number, outputs.paths()));
        outputs.room().iter().for_each(|(folder, bytes)| *room.entry(folder.clone()).or_default() += bytes);
        Ok(Checked { line, plan, text })
    })?;
    apart(named.0, &written)?;
    check_room(&room.iter().map(|(folder, bytes)| (folder.as_path(), *bytes)).collect::<Vec<_>>())?;
    Ok(checked)
}

/// Adapters of plans, each with the first line that gives them.
type Sets<'l, 'p> = Vec<(usize, &'l AdapterArgs, &'p Plan)>;

/// The adapters that lines give, those of a plan that are alike once; and for each line, which of them are its own.
fn adapter_sets<'l, 'p>(checked: &[Checked<'l, 'p>]) -> (Sets<'l, 'p>, Vec<usize>) {
    let mut sets: Sets<'l, 'p> = Vec::new();
    let of_line = checked.iter().map(|Checked { line, plan, .. }| {
        let given = &line.order.adapters;
        let same =
            |(_, other, of): &(usize, &AdapterArgs, &Plan)| *other == given && std::ptr::eq(*of, *plan);
        sets.iter().position(same).unwrap_or_else(|| {
            sets.push((line.number, given, plan));
            sets.len() - 1
        })
    });
    let of_line = of_line.collect();
    (sets, of_line)
}

/// Makes the clip of a line. What a user should know of it was said when it was checked.
fn made<'a>(
    one: &Checked<'_, 'a>,
    inputs: &Inputs,
    tokenizer: &Tokenizer,
    (engine, weights): (&mut Engine<'a>, &'a Adapted<'a>),
    shown: &Shown<'_>,
) -> Result<(), Failure> {
    let ready = || -> Result<_, Failure> {
        let order = one.line.order.ready(&[one.plan], inputs)?;
        let said = order.said(tokenizer)?;
        Ok((order, said))
    };
    let (order, said) = noted(ready).0?;
    order.make(said, tokenizer, (engine, one.plan, weights), shown)
}

impl Done {
    /// Says how many clips were made; what was not made is the failure of the command.
    fn summary(self, file: &Path, seconds: f64, brought_bytes: u64) -> Result<(), Failure> {
        let Done { made, failed, left } = self;
        let all = made + failed.len() + left.len();
        let said = format!(
            "{made} of {all} clips made in {seconds:.1} s, {} of weights brought into memory",
            bytes_text(brought_bytes)
        );
        if made == all {
            terminal::info(&said);
            return Ok(());
        }
        let list = |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let lines = |what: &str, numbers: &[usize]| match numbers {
            [] => String::new(),
            [one] => format!("\n  have  line {one} {what}"),
            several => format!("\n  have  lines {} {what}", list(several)),
        };
        let numbers: Vec<usize> = failed.iter().map(|(number, _)| *number).collect();
        let kind = failed.first().map_or(Kind::Failure, |(_, failure)| failure.kind);
        Err(Failure::new(
            kind,
            format!("{}: {said}{}{}", file.display(), lines("failed", &numbers), lines("not begun", &left)),
        ))
    }
}
