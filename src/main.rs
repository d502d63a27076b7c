//! `zoetrope`: clips from prompts, by a plan decided when this program was built.

use std::process::ExitCode;

use zoetrope::commands::{Cli, parse};
use zoetrope_generated::PLANS;

fn main() -> ExitCode {
    let cli: Cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    zoetrope::lost_pages::watch();
    zoetrope::threads::start();
    cli.run(PLANS).map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
}
