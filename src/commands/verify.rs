//! `zoetrope verify`: do the files fit, before anything is loaded.

use clap::Args;

use super::model::built_in;
use super::{ModelArgs, PlanArgs, say};
use crate::failure::{Failure, Kind};

/// Check that model files fit a plan, from their headers
#[derive(Args, Debug)]
pub struct Verify {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// List every problem
    #[arg(long)]
    all: bool,
}

impl Verify {
    /// Runs the command.
    ///
    /// # Errors
    /// The files do not fit.
    pub fn run(self) -> Result<(), Failure> {
        let plan = self.plan.plan()?;
        let (_, report) = self.model.check(plan, built_in(&plan.facts.model).as_ref())?;
        let text = report.text(self.all);
        if report.is_good() { say(&text) } else { Err(Failure::new(Kind::ModelFiles, text.trim_end())) }
    }
}
