//! `zoetropec selftest`: every kernel on a card against the CPU.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::{Args, ValueEnum};
use zoetrope_compiler::select;
use zoetrope_runtime::cuda::{Card, Cuda, DeviceError, Images, Supply};
use zoetrope_runtime::files::given_text;
use zoetrope_runtime::plan::{Arch, Function};

use super::say;
use crate::device::compiled::{Compiled, first_card};
use crate::failure::{Failure, Kind};
use crate::model_files::ModelFiles;
use crate::selftest::cases::Case;
use crate::selftest::children::{begins, done, supervise};
use crate::selftest::{CEILINGS, Effort, Outcome, Table, full, plan, run, sizes, small, verdict};
use crate::terminal;

/// Run every kernel case on the NVIDIA card, compare it with the CPU's result, and time it
#[derive(Args, Debug)]
pub struct SelfTest {
    /// Where to run: a card; the CPU is what it is compared with
    #[arg(long, value_parser = ["cuda"], default_value = "cuda")]
    device: String,
    /// Small shapes, which try every path of every kernel, or those of the model at full size, which tell how fast it is
    #[arg(long, value_enum, default_value_t = Sizes::Small)]
    sizes: Sizes,
    /// Cases from a file instead, a line each, such as `linear 15810 4096 4096` (src/selftest/sizes.txt has all kinds); the
    /// first two are taken for the ceilings
    #[arg(long, value_name = "FILE", conflicts_with = "sizes")]
    shapes: Option<PathBuf>,
    /// Only cases whose row in the table contains this; the ceilings are measured in any case
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How often each case runs and is compared
    #[arg(long, alias = "turns", value_name = "N", default_value_t = 3)]
    runs: usize,
    /// A case that takes longer than so many seconds has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    limit: u64,
    /// In this process, from a case on, with the machine code of a folder: how the command runs itself
    #[arg(long, value_name = "N", hide = true, requires = "images")]
    from: Option<usize>,
    #[arg(long, value_name = "DIR", hide = true)]
    images: Option<PathBuf>,
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
        let mut cases = match &self.shapes {
            Some(path) => of_file(path)?,
            None if self.sizes == Sizes::Full => full(),
            None => small(),
        };
        if let Some(only) = &self.only {
            let mut number = 0..;
            cases.retain(|case| number.next() < Some(CEILINGS) || case.name.contains(only));
        }
        match (self.from, &self.images) {
            (Some(from), Some(images)) => self.child(cases.get(from..).unwrap_or_default(), from, images),
            _ => self.parent(cases),
        }
    }

    /// Compiles the kernels, and has the cases run by children.
    fn parent(&self, cases: Vec<Case>) -> Result<(), Failure> {
        let (card, class) = first_card()?;
        let selected =
            select(&plan(&cases), class).map_err(|e| Failure::new(Kind::Failure, e.to_string()))?;
        let failed = |e: std::io::Error| Failure::new(Kind::Failure, format!("cannot run the cases: {e}"));
        let folder = tempfile::tempdir().map_err(failed)?;
        for (symbol, image) in Compiled::new(&selected, card.capability).map_err(device)?.images() {
            std::fs::write(folder.path().join(symbol), image).map_err(failed)?;
        }
        let program = std::env::current_exe().map_err(failed)?;
        let start = |from: usize| {
            let mut command = Command::new(&program);
            command.args(std::env::args_os().skip(1)).arg("--images").arg(folder.path());
            command.arg("--from").arg(from.to_string());
            command
        };
        let (mut table, mut printed) = (Table::new(&card.name), Ok(()));
        let end = supervise(cases.len(), Duration::from_secs(self.limit), start, |number, measured| {
            let text = table.add(Outcome { case: cases[number].clone(), measured });
            if printed.is_ok() {
                printed = say(&text);
            }
        });
        printed?;
        say(&table.end())?;
        end.map_err(|why| Failure::new(Kind::Device, why))?;
        verdict(&card.name, table.outcomes())
    }

    /// Runs cases here and says what they give.
    fn child(&self, cases: &[Case], from: usize, images: &Path) -> Result<(), Failure> {
        let (plan, (card, class)) = (plan(cases), first_card()?);
        let selected = select(&plan, class).map_err(|e| Failure::new(Kind::Failure, e.to_string()))?;
        let files = ModelFiles::default();
        let cuda = Cuda::new(card, &plan, &selected.code, &Folder(images), Supply::Files(&files))?;
        // Small cases are many, and their times are of no great interest.
        let long = |number| from + number < CEILINGS || self.sizes == Sizes::Full;
        let effort = |number| Effort { repeats: self.runs, seconds: if long(number) { 0.3 } else { 0.002 } };
        run(
            cases,
            cuda,
            effort,
            &mut |number| terminal::info(&begins(from + number)),
            &mut |number, measured| terminal::info(&done(from + number, measured)),
        )?;
        Ok(())
    }
}

/// A case is a line.
const MAX_LINES_BYTES: u64 = 10_000_000;

/// The cases of a file of lines.
fn of_file(path: &Path) -> Result<Vec<Case>, Failure> {
    let usage = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let text = given_text(path, MAX_LINES_BYTES).map_err(|e| usage(e.to_string()))?;
    let cases = sizes::lines(&text).map(sizes::case).collect::<Result<Vec<_>, _>>().map_err(usage)?;
    if cases.len() < CEILINGS {
        return Err(usage(format!("wanted {CEILINGS} lines at least: a copy and a product, the ceilings")));
    }
    Ok(cases)
}

fn device(error: DeviceError) -> Failure {
    zoetrope_runtime::Error::from(error).into()
}

/// Machine code in files, by symbol.
struct Folder<'a>(&'a Path);

impl Images for Folder<'_> {
    fn image(&self, _card: &Card, _arch: &Arch, function: &Function) -> Result<Cow<'_, [u8]>, DeviceError> {
        let symbol = function.symbol.to_string();
        let image = std::fs::read(self.0.join(&symbol));
        image.map(Cow::Owned).map_err(|e| DeviceError::Image { symbol, why: e.to_string() })
    }
}
