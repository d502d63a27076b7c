//! `zoetrope generate`: a prompt becomes a clip.

use clap::Args;
use zoetrope_runtime::plan::Plan;

use super::ModelArgs;
use super::adapters::adapted;
use super::device_run::Shown;
use super::order::OrderArgs;
use crate::adapters::Merge;
use crate::device::Device;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::output::Inputs;

/// Make a clip from a prompt
#[derive(Args, Debug)]
pub struct Generate {
    #[command(flatten)]
    order: OrderArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Where to run
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    device: Device,
    /// No progress
    #[arg(short, long)]
    quiet: bool,
}

impl Generate {
    /// Runs the command with one of these plans.
    ///
    /// # Errors
    /// Everything that can be known is checked before the first phase runs.
    pub fn run(self, plans: &[&Plan]) -> Result<(), Failure> {
        let order = self.order.ready(plans, &Inputs::of(self.model.paths().chain(self.order.paths())))?;
        let plan = order.plan;
        let chosen = self.device.choose(plan)?;
        let files = self.model.open_for(&[plan])?;
        let adapters = self.order.adapters.open(plan, Merge::Exact)?;
        let weights = adapted(&adapters, (&files, &files.of_plan(plan).checkpoint), plan)?;
        let tokenizer = files.tokenizer()?;
        let said = order.said(tokenizer)?;
        let mut engine = Engine::new(vec![(plan, chosen)]);
        let shown = Shown { quiet: self.quiet, ..Shown::default() };
        order.make(said, tokenizer, (&mut engine, plan, &weights), &shown)
    }
}
