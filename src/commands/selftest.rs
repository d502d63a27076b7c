//! `zoetropec selftest`: every kernel on a card against the CPU.

use clap::Args;
use zoetrope_compiler::select;
use zoetrope_runtime::plan::Plan;

use super::say;
use crate::device::compiled::{first_card, on_card};
use crate::failure::{Failure, Kind};
use crate::model_files::ModelFiles;
use crate::selftest::{declared, run, table};

/// Run every kernel case on the NVIDIA card, and compare it with the CPU's result
#[derive(Args, Debug)]
pub struct SelfTest {
    /// Where to run: a card; the CPU is what it is compared with
    #[arg(long, value_parser = ["cuda"], default_value = "cuda")]
    device: String,
    /// How often each case runs; times are medians
    #[arg(long, value_name = "N", default_value_t = 5)]
    turns: usize,
}

impl SelfTest {
    /// Runs the command.
    ///
    /// # Errors
    /// No card, no NVRTC, or a kernel that is wrong.
    pub fn run(self) -> Result<(), Failure> {
        let cases = declared();
        let plan: Plan = cases.plan.clone();
        let (card, class) = first_card()?;
        let selected = select(&plan, class).map_err(|e| Failure::new(Kind::Failure, e.to_string()))?;
        let files = ModelFiles::default();
        let cuda = on_card(card, &plan, &selected, &files)?;
        let card = cuda.card().name.clone();
        let outcomes = run(cases, &files, cuda, self.turns)?;
        say(&table(&card, &outcomes))?;
        let wrong = outcomes.iter().filter(|o| !o.passed()).count();
        match wrong {
            0 => Ok(()),
            wrong => Err(Failure::new(Kind::Failure, format!("{wrong} cases are wrong on {card}"))),
        }
    }
}
