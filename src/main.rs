//! `zoetrope`: clips from prompts, by a plan decided when this program was built.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
#[cfg(feature = "cuda")]
use zoetrope::commands::bench::Bench;
use zoetrope::commands::demo_model::DemoModel;
use zoetrope::commands::generate::Generate;
use zoetrope::commands::parse;
use zoetrope::commands::plan::ShowPlan;
use zoetrope::commands::verify::Verify;

/// Clips with audio from prompts, by LTX-2.3, compiled ahead of time
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Generate(Box<Generate>),
    Plan(ShowPlan),
    #[cfg(feature = "cuda")]
    Bench(Bench),
    Verify(Verify),
    DemoModel(DemoModel),
}

fn main() -> ExitCode {
    let cli: Cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    zoetrope::lost_pages::watch();
    zoetrope::threads::start();
    let done = match cli.command {
        Command::Generate(command) => command.run(),
        Command::Plan(command) => command.run(),
        #[cfg(feature = "cuda")]
        Command::Bench(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::DemoModel(command) => command.run(),
    };
    done.map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
}
