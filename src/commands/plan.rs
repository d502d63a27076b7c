//! `zoetrope plan`: what this binary will do, before any weight is loaded.

use clap::Args;
use zoetrope_runtime::plan::{Detail, Plan, bytes_text, flops_text};

use super::{PlanArgs, say};
use crate::failure::Failure;
use crate::run::work;

/// Show what a plan will do and how much memory it takes
#[derive(Args, Debug)]
pub struct ShowPlan {
    #[command(flatten)]
    plan: PlanArgs,
    /// Every launch
    #[arg(long)]
    launches: bool,
    /// With --launches: arena addresses too
    #[arg(long, requires = "launches")]
    addresses: bool,
}

impl ShowPlan {
    /// Runs the command.
    ///
    /// # Errors
    /// No such plan.
    pub fn run(self) -> Result<(), Failure> {
        let plan = self.plan.plan()?;
        if self.launches {
            let detail = if self.addresses { Detail::Addresses } else { Detail::Listing };
            say(&plan.text(detail))
        } else {
            say(&summary(plan))
        }
    }
}

/// One line a phase: launches, work, memory.
pub fn summary(plan: &Plan) -> String {
    let f = &plan.facts;
    let mut out = format!(
        "{}: {}x{}, {} frames at {} fps, {}, {}, {}\n",
        plan.name,
        f.width,
        f.height,
        f.frames,
        f.fps,
        f.pipeline,
        f.dtype.name(),
        f.model
    );
    f.notes.iter().for_each(|note| out += &format!("note: {note}\n"));
    out += &format!(
        "{:<14} {:>8} {:>11} {:>11} {:>11} {:>11}\n",
        "phase", "launches", "work", "weights", "tables", "arena"
    );
    for phase in plan.phases.iter() {
        let (launches, flops) = work(phase);
        let (weights, tables) = (phase.weight_bytes, phase.table_bytes);
        let texts =
            [flops_text(flops), bytes_text(weights), bytes_text(tables), bytes_text(phase.arena_bytes)];
        let [flops, weights, tables, arena] = texts;
        out +=
            &format!("{:<14} {launches:>8} {flops:>11} {weights:>11} {tables:>11} {arena:>11}\n", phase.name);
    }
    let peak = plan.peak_bytes;
    out + &format!(
        "peak {peak} bytes ({}): the largest sum of arena, weights and tables of a phase\n",
        bytes_text(peak)
    )
}
