//! `zoetropec`: the compiler's own tool.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use zoetrope::commands::budgets::{comparison, table};
use zoetrope::commands::eval::Eval;
#[cfg(feature = "cuda")]
use zoetrope::commands::selftest::SelfTest;
use zoetrope::commands::show::Show;
use zoetrope::commands::{parse, say};

/// Look into the compiler, and run single phases
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Show(Show),
    Eval(Box<Eval>),
    #[cfg(feature = "cuda")]
    Selftest(SelfTest),
    /// Print what presets become on cards of common sizes: the tables of docs/budgets.md
    #[command(hide = true)]
    Budgets {
        /// By what weights stay in
        #[arg(long)]
        weights: bool,
    },
}

fn main() -> ExitCode {
    let cli: Cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    zoetrope::lost_pages::watch();
    zoetrope::threads::start();
    let done = match cli.command {
        Command::Show(command) => command.run(),
        Command::Eval(command) => command.run(),
        #[cfg(feature = "cuda")]
        Command::Selftest(command) => command.run(),
        Command::Budgets { weights: false } => table().and_then(|text| say(&text)),
        Command::Budgets { weights: true } => comparison().and_then(|text| say(&text)),
    };
    done.map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
}
