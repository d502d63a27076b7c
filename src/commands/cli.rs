//! The command line of `zoetrope`.

use clap::{Parser, Subcommand};
use zoetrope_runtime::plan::Plan;

use super::batch::Batch;
#[cfg(feature = "cuda")]
use super::bench::Bench;
use super::demo_model::DemoModel;
use super::generate::Generate;
use super::plan::ShowPlan;
use super::upscale::Upscale;
use super::verify::Verify;
use crate::failure::Failure;

/// Clips with audio from prompts, by LTX-2.3, compiled ahead of time
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Generate(Box<Generate>),
    Batch(Batch),
    Upscale(Upscale),
    Plan(ShowPlan),
    #[cfg(feature = "cuda")]
    Bench(Bench),
    Verify(Verify),
    DemoModel(DemoModel),
}

impl Cli {
    /// Runs the command with these plans.
    ///
    /// # Errors
    /// See the commands.
    pub fn run(self, plans: &[&Plan]) -> Result<(), Failure> {
        match self.command {
            Command::Generate(command) => command.run(plans),
            Command::Batch(command) => command.run(plans),
            Command::Upscale(command) => command.run(plans),
            Command::Plan(command) => command.run(plans),
            #[cfg(feature = "cuda")]
            Command::Bench(command) => command.run(plans),
            Command::Verify(command) => command.run(plans),
            Command::DemoModel(command) => command.run(),
        }
    }
}
