//! What can be wrong with an adapter, in words for its owner.

use std::fmt;
use std::path::{Path, PathBuf};

use zoetrope_runtime::files::FileError;

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
    let shown = if lines.len() <= SHOWN + 1 { lines.len() } else { SHOWN };
    lines[..shown].iter().try_for_each(|line| write!(f, "\n  have  {line}"))?;
    if shown < lines.len() { write!(f, "\n  have  … and {} more", lines.len() - shown) } else { Ok(()) }
}
