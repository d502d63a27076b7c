//! `zoetropec selftest`: every kernel on a card against the CPU.

use clap::{Args, ValueEnum};
use zoetrope_compiler::select;

use super::say;
use crate::device::compiled::{first_card, on_card};
use crate::failure::{Failure, Kind};
use crate::model_files::ModelFiles;
use crate::selftest::{full, plan, run, small, table, verdict};

/// Run every kernel case on the NVIDIA card, compare it with the CPU's result, and time it
#[derive(Args, Debug)]
pub struct SelfTest {
    /// Where to run: a card; the CPU is what it is compared with
    #[arg(long, value_parser = ["cuda"], default_value = "cuda")]
    device: String,
    /// Small shapes, which try every path of every kernel, or those of the model at full size, which tell how fast it is
    #[arg(long, value_enum, default_value_t = Sizes::Small)]
    sizes: Sizes,
    /// How often each case runs; times are medians
    #[arg(long, value_name = "N", default_value_t = 5)]
    turns: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sizes {
    Small,
    Full,
}

impl SelfTest {
    /// Runs the command.
    ///
    /// # Errors
    /// No card, no NVRTC, or a kernel that is wrong.
    pub fn run(self) -> Result<(), Failure> {
        let cases = if self.sizes == Sizes::Full { full() } else { small() };
        let plan = plan(&cases);
        let (card, class) = first_card()?;
        let selected = select(&plan, class).map_err(|e| Failure::new(Kind::Failure, e.to_string()))?;
        let files = ModelFiles::default();
        let cuda = on_card(card, &plan, &selected, &files)?;
        let card = cuda.card().name.clone();
        let outcomes = run(cases, &plan, cuda, self.turns)?;
        say(&table(&card, &outcomes))?;
        verdict(&card, &outcomes)
    }
}
