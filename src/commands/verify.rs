//! `zoetrope verify`: do the files fit, before anything is loaded.

use std::path::PathBuf;

use clap::Args;
use zoetrope_runtime::files::given_text;
use zoetrope_runtime::plan::Plan;

use super::adapters::adapted;
use super::model::built_in;
use super::{AdapterArgs, ModelArgs, PlanArgs, say};
use crate::adapters::Merge;
use crate::failure::{Failure, Kind};
use crate::model_check::{Sums, compare, deepen, table};
use crate::model_files::tensors_of;

/// A list of sums has a line for each file.
const MAX_LIST_BYTES: u64 = 10_000_000;

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
    /// With --deep: compare files with a list of SHA-256 sums, as sha256sum writes it
    #[arg(long, value_name = "FILE", requires = "deep")]
    sha256: Option<PathBuf>,
}

impl Verify {
    /// Runs the command with one of these plans.
    ///
    /// # Errors
    /// The files or the adapters do not fit.
    pub fn run(self, plans: &[&Plan]) -> Result<(), Failure> {
        let plan = self.plan.plan(plans)?;
        let sums = self.sha256.as_ref().map(|path| {
            let refused =
                |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
            let list = given_text(path, MAX_LIST_BYTES).map_err(|error| refused(&error))?;
            Sums::parse(&list).map_err(|error| refused(&error))
        });
        let sums = sums.transpose()?;
        let (files, mut report) = self.model.check(plan, built_in(plan).as_ref())?;
        if self.deep {
            deepen(&mut report, &tensors_of(plan), &files);
            if let Some(sums) = &sums {
                compare(&mut report, sums, &files);
            }
        }
        let (text, table) = (report.text(self.all), table(&tensors_of(plan), &files));
        if !report.is_good() {
            say(&table)?;
            return Err(Failure::new(Kind::ModelFiles, text.trim_end()));
        }
        let adapters = self.adapters.open(plan, Merge::Exact)?;
        let changed = adapted(&adapters, (&files, &files.checkpoint), plan)?.summary();
        say(&[table, text, changed].concat())
    }
}
