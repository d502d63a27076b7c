//! `zoetrope verify`: do the files fit, before anything is loaded.

use clap::Args;

use super::adapters::adapted;
use super::model::built_in;
use super::{AdapterArgs, ModelArgs, PlanArgs, say};
use crate::adapters::Merge;
use crate::failure::{Failure, Kind};
use crate::model_check::{deepen, table};
use crate::model_files::tensors_of;

/// Check that model files and adapters fit a plan, from their headers or by reading them whole
#[derive(Args, Debug)]
pub struct Verify {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    adapters: AdapterArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// List every problem
    #[arg(long)]
    all: bool,
    /// Read all weights, too: find numbers that are none and what a download that stopped leaves
    #[arg(long)]
    deep: bool,
}

impl Verify {
    /// Runs the command.
    ///
    /// # Errors
    /// The files or the adapters do not fit.
    pub fn run(self) -> Result<(), Failure> {
        let plan = self.plan.plan()?;
        let (files, mut report) = self.model.check(plan, built_in(&plan.facts.model).as_ref())?;
        if self.deep {
            deepen(&mut report, &tensors_of(plan), &files);
        }
        let (text, table) = (report.text(self.all), table(&tensors_of(plan), &files));
        if !report.is_good() {
            say(&table)?;
            return Err(Failure::new(Kind::ModelFiles, text.trim_end()));
        }
        let adapters = self.adapters.open(plan, Merge::Exact)?;
        let changed = adapted(&adapters, &files, plan)?.summary();
        say(&[table, text, changed].concat())
    }
}
