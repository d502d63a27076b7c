//! Progress on the terminal: the window, the phase, step k of n, and the time that is left.
//!
//! The bar counts floating-point operations, which the plan knows, so that a phase takes the room it costs.

use std::collections::{BTreeMap, BTreeSet};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use zoetrope_runtime::Result;
use zoetrope_runtime::plan::{Phase, Plan};

use crate::run::prompt_phases;
use crate::session::Watch;
use crate::steps::{Steps, work};
use crate::terminal;

/// A bar where there is a terminal that can draw one, a line a step where there is none.
pub struct Progress {
    bar: ProgressBar,
    lines: bool,
    said: String,
    /// Operations of phases that not every run has, until they begin.
    optional: BTreeMap<String, u64>,
    /// Those of them that have begun in this window.
    begun: BTreeSet<String>,
    /// Which clip of how many it is, where there are several.
    label: String,
    /// Which window of how many it is, where there are several.
    window: String,
}

/// Operations of one run of a phase, at least one so that every phase moves the bar.
fn cost(phase: &Phase, steps: Steps) -> u64 {
    work(phase, steps).1.max(1)
}

impl Progress {
    /// For one run of `plan`, with so many guided steps if that is said; shows nothing when `quiet`.
    pub fn new(plan: &Plan, steps: Steps, quiet: bool) -> Progress {
        let (optional, always): (Vec<&Phase>, Vec<_>) =
            plan.phases.iter().partition(|phase| phase.is_optional());
        let total = always.into_iter().map(|phase| cost(phase, steps)).sum();
        let optional = optional.into_iter().map(|phase| (phase.name.to_string(), cost(phase, steps)));
        let draws = terminal::draws();
        let target =
            if quiet || !draws { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        // The template is a constant; were it wrong, the default style would show.
        if let Ok(style) = ProgressStyle::with_template("{msg:<28} {wide_bar} {elapsed} elapsed, {eta} left")
        {
            bar.set_style(style);
        }
        Progress {
            bar,
            lines: !quiet && !draws,
            said: String::new(),
            optional: optional.collect(),
            begun: BTreeSet::new(),
            label: String::new(),
            window: String::new(),
        }
    }

    /// The same with words before every line.
    pub fn labelled(self, label: &str) -> Progress {
        Progress { label: label.to_string(), ..self }
    }

    /// The bar is for so many windows, with so many prompts that differ.
    pub fn repeat(&self, plan: &Plan, steps: Steps, windows: usize, prompts: usize) {
        let of_prompts: BTreeSet<&str> = prompt_phases(plan).into_iter().map(|phase| &*phase.name).collect();
        let always = plan.phases.iter().filter(|phase| phase.image.is_none());
        let more = always.map(|phase| {
            let times = if of_prompts.contains(&*phase.name) { prompts } else { windows };
            cost(phase, steps) * (times.max(1) as u64 - 1)
        });
        self.bar.inc_length(more.sum());
    }

    /// Takes the bar away.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }

    /// Says something beside the bar.
    pub fn aside(&self, say: impl FnOnce()) {
        self.bar.suspend(say);
    }

    fn say(&mut self, text: String) {
        if self.lines && text != self.said {
            terminal::line(&text);
        }
        self.bar.set_message(text.clone());
        self.said = text;
    }
}

impl Watch for Progress {
    fn boundary(&mut self, phase: &str, segment: &str, turn: u32, turns: u32) -> Result<()> {
        if let Some(cost) = self.optional.get(phase)
            && self.begun.insert(phase.to_string())
        {
            self.bar.inc_length(*cost);
        }
        if segment == "finish" {
            return Ok(());
        }
        let step = if turns > 1 { format!(" {segment} {} of {turns}", turn + 1) } else { String::new() };
        let left = self.bar.eta().as_secs();
        let eta = if self.lines && left > 0 { format!(", about {left} s left") } else { String::new() };
        self.say(format!("{}{}{phase}{step}{eta}", self.label, self.window));
        Ok(())
    }

    fn window(&mut self, number: usize, of: usize) {
        self.window = format!("window {} of {of}: ", number + 1);
        self.begun.clear();
    }

    fn launched(&mut self, flops: u64) {
        self.bar.inc(flops);
    }
}
