//! `zoetrope verify`: do the files fit, before anything is loaded.

use clap::Args;

use super::generate::pick;
use super::model::built_in;
use super::{ModelArgs, say};
use crate::failure::{Failure, Kind};

/// Check that model files fit a plan, from their headers
#[derive(Args, Debug)]
pub struct Verify {
    #[command(flatten)]
    model: ModelArgs,
    /// Which of the binary's plans
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
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
        let plan = pick(self.preset.as_deref())?;
        let (_, report) = self.model.check(plan, built_in(&plan.facts.model).as_ref())?;
        let text = report.text(self.all);
        if report.is_good() { say(&text) } else { Err(Failure::new(Kind::ModelFiles, text.trim_end())) }
    }
}
