//! What can be wrong with an adapter, in words for its owner.

use std::fmt;
use std::path::{Path, PathBuf};

use zoetrope_runtime::files::FileError;

use super::references::Scale;

/// Keys that a message names of many.
const SHOWN: usize = 8;

/// Everything that keeps adapters from being used.
#[derive(Debug)]
pub struct AdapterError(pub Vec<Trouble>);

/// What is wrong with one file.
#[derive(Debug)]
pub enum Trouble {
    /// It cannot be read.
    File(FileError),
    /// It has no key of an adapter.
    NoAdapter { path: PathBuf, tensors: usize },
    /// It changes layers, and none of them is one of this checkpoint.
    OtherModel { path: PathBuf, keys: Vec<String> },
    /// Two adapters are for references of another size.
    Factors { key: &'static str, files: [(PathBuf, u32); 2] },
    /// The references of a plan are not those that the adapters are for: their factors in space and time.
    References { plan: String, number: u32, paths: Vec<PathBuf>, want: [u32; 2], have: [u32; 2] },
    /// Some of it cannot be used; a line for each key.
    Unusable { path: PathBuf, lines: Vec<String>, help: &'static str },
    /// The plan has a slot, and nothing was given for it.
    EmptySlot { slot: u8 },
    /// A slot has no room for some changes; a line for each.
    Room { slot: u8, lines: Vec<String> },
}

impl fmt::Display for AdapterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, trouble) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{trouble}")?;
        }
        Ok(())
    }
}

impl std::error::Error for AdapterError {}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::File(error) => write!(f, "adapter {error}"),
            Trouble::NoAdapter { path, tensors } => {
                headline(f, path, format_args!("none of its {tensors} tensors is one of a LoRA"))?;
                write!(f, "\n  have  no low-rank pairs: a model, not a LoRA")?;
                write!(f, "\n  help  a checkpoint is given with --checkpoint")
            }
            Trouble::OtherModel { path, keys } => {
                headline(
                    f,
                    path,
                    format_args!("it is for another model: no module of the checkpoint is one of its layers"),
                )?;
                list(f, keys)?;
                write!(
                    f,
                    "\n  help  give an adapter that was made for LTX-2.3, or the checkpoint that it was made for"
                )
            }
            Trouble::Unusable { path, lines, help } => {
                let count = match lines.len() {
                    1 => "1 key cannot be used".to_string(),
                    n => format!("{n} keys cannot be used"),
                };
                headline(f, path, format_args!("{count}"))?;
                list(f, lines)?;
                write!(f, "\n  help  {help}")
            }
            Trouble::Factors { key, files: [(one, first), (other, second)] } => {
                let (one, other) = (one.display(), other.display());
                write!(
                    f,
                    "adapters that do not go together: {key} is {first} in {one} and {second} in {other}"
                )?;
                write!(f, "\n  help  both files (given together) are for references; give one of them")
            }
            Trouble::References { plan, number, paths, want, have } => {
                let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                write!(f, "adapter {} does not fit plan {plan}", paths.join(" and "))?;
                write!(f, ": it is for references of another size")?;
                let factors = |f: &mut fmt::Formatter<'_>, factors: &[u32; 2]| {
                    let all = Scale::ALL.iter().zip(factors);
                    let all: Vec<_> = all.map(|(scale, n)| format!("{} {n}", scale.metadata_key())).collect();
                    write!(f, "{}", all.join(", "))
                };
                write!(f, "\n  want  ")?;
                factors(f, want)?;
                write!(f, ", as reference {number} of the plan has")?;
                write!(f, "\n  have  ")?;
                factors(f, have)?;
                write!(f, " by the adapter's metadata, 1 where they say nothing")?;
                let keys = Scale::ALL.iter().zip(have);
                let keys: Vec<_> = keys.map(|(scale, n)| format!("{} = {n}", scale.target_key())).collect();
                write!(f, "\n  help  build a plan for it: references = [{{ {} }}] in the", keys.join(", "))?;
                write!(f, " table of the stage (docs/targets.md)")
            }
            Trouble::EmptySlot { slot } => {
                write!(f, "stage {slot} of this plan has an adapter of its own, and none was given")?;
                write!(f, "\n  help  --distilled-lora FILE")
            }
            Trouble::Room { slot, lines } => {
                write!(f, "the adapters of stage {slot} do not fit this plan: {} layers", lines.len())?;
                list(f, lines)?;
                write!(
                    f,
                    "\n  help  --lora merges an adapter into the weights of all stages, and has room for any"
                )
            }
        }
    }
}

fn headline(f: &mut fmt::Formatter<'_>, path: &Path, what: fmt::Arguments<'_>) -> fmt::Result {
    write!(f, "adapter {}: {what}", path.display())
}

fn list(f: &mut fmt::Formatter<'_>, lines: &[String]) -> fmt::Result {
    shown(lines).iter().try_for_each(|line| write!(f, "\n  have  {line}"))
}

/// The first of many lines, and how many follow.
pub fn shown(lines: &[String]) -> Vec<String> {
    let shown = if lines.len() <= SHOWN + 1 { lines.len() } else { SHOWN };
    let more = (shown < lines.len()).then(|| format!("… and {} more", lines.len() - shown));
    lines[..shown].iter().cloned().chain(more).collect()
}
