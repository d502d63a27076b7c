//! The commands: arguments in, work done, a failure with its exit code out.

mod adapters;
mod ask;
pub mod batch;
#[cfg(feature = "cuda")]
pub mod bench;
pub mod budgets;
mod build;
mod choose;
mod cli;
pub mod clip;
mod decoder;
pub mod demo_model;
mod device_run;
mod enhance;
pub mod eval;
pub mod generate;
mod given;
mod guidance;
mod images;
mod length;
mod lines;
mod model;
mod order;
mod outputs;
mod parse;
pub mod plan;
mod previews;
mod prompt;
mod references;
#[cfg(feature = "cuda")]
pub mod selftest;
pub mod show;
pub mod upscale;
pub mod verify;

pub use adapters::AdapterArgs;
pub use choose::PlanArgs;
pub use cli::Cli;
pub use model::ModelArgs;
pub use parse::{parse, parse_from};

use crate::failure::{Failure, Kind};
use crate::terminal;

/// Prints what a command was asked for; a reader that went away, such as `head`, is no failure.
///
/// # Errors
/// Standard output cannot be written for another reason.
pub fn say(text: &str) -> Result<(), Failure> {
    terminal::result(text.as_bytes())
        .map_err(|e| Failure::new(Kind::Failure, format!("cannot write to standard output: {e}")))
}
