//! Adapters (LoRA): changes of a model's weights, merged while the weights are loaded, or kept apart for a stage
//! (docs/adapters.md).

mod change;
mod dora;
mod error;
mod merged;
mod names;
mod read;
mod references;
mod slots;

use std::path::PathBuf;
use std::str::FromStr;

use zoetrope_runtime::Weights;
use zoetrope_runtime::files::{TensorFile, TensorSet};
use zoetrope_runtime::plan::Plan;

pub use change::Merge;
pub use error::{AdapterError, Trouble};
pub use merged::Adapted;
pub use references::metadata_for;

/// An adapter as a user gives it: a file, and how strong it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    pub path: PathBuf,
    pub strength: f32,
}

impl FromStr for Given {
    type Err = String;

    /// `PATH` or `PATH:STRENGTH`; without a strength it is 1.
    fn from_str(text: &str) -> Result<Given, String> {
        let number =
            text.rsplit_once(':').and_then(|(path, number)| Some((path, number.parse::<f32>().ok()?)));
        let (path, strength) = number.unwrap_or((text, 1.0));
        if path.is_empty() {
            return Err("no file is named (PATH or PATH:STRENGTH)".to_string());
        }
        if !strength.is_finite() {
            return Err(format!("the strength {strength} is not a finite number"));
        }
        Ok(Given { path: PathBuf::from(path), strength })
    }
}

/// The numbers of the slots that a plan has for adapters of its stages, ascending.
pub fn slots_of(plan: &Plan) -> impl Iterator<Item = u8> {
    slots::slots(plan).into_keys()
}

/// Opened adapters.
#[derive(Debug, Default)]
pub struct Adapters {
    files: Vec<Opened>,
    merge: Merge,
}

/// What an adapter is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Use {
    /// It is merged into the weights of all stages.
    Merged,
    /// It stands beside the weights, in a slot of the plan.
    Slot(u8),
}

#[derive(Debug)]
struct Opened {
    file: TensorFile,
    strength: f32,
    used: Use,
}

impl Adapters {
    /// Opens adapters that are merged into the weights of all stages. One that is given twice counts twice.
    ///
    /// # Errors
    /// Every file that cannot be used.
    pub fn open(given: &[Given], merge: Merge) -> Result<Adapters, AdapterError> {
        let mut adapters = Adapters { files: Vec::new(), merge };
        adapters.add(given, Use::Merged)?;
        Ok(adapters)
    }

    /// Opens adapters for a slot of the plan. Those of a slot that it does not have change nothing.
    ///
    /// # Errors
    /// As [`Adapters::open`].
    pub fn in_slot(mut self, slot: u8, given: &[Given]) -> Result<Adapters, AdapterError> {
        self.add(given, Use::Slot(slot))?;
        Ok(self)
    }

    /// An opened adapter for a slot of the plan.
    pub fn file_in_slot(mut self, slot: u8, file: TensorFile, strength: f32) -> Adapters {
        self.files.push(Opened { file, strength, used: Use::Slot(slot) });
        self
    }

    fn add(&mut self, given: &[Given], used: Use) -> Result<(), AdapterError> {
        let mut troubles = Vec::new();
        for Given { path, strength } in given {
            match TensorFile::open(path) {
                Ok(file) => self.files.push(Opened { file, strength: *strength, used }),
                Err(error) => troubles.push(Trouble::File(error)),
            }
        }
        if troubles.is_empty() { Ok(()) } else { Err(AdapterError(troubles)) }
    }

    /// `weights` with the adapters merged into them, and what is in slots beside them, as `plan` reads them. `checkpoint` is what the adapters are
    /// checked against; nothing is loaded.
    ///
    /// # Errors
    /// Whatever of the adapters cannot be used.
    pub fn over<'a>(
        &'a self,
        weights: &'a dyn Weights,
        checkpoint: &'a TensorSet,
        plan: &Plan,
    ) -> Result<Adapted<'a>, AdapterError> {
        Adapted::new(weights, checkpoint, (&self.files, self.merge), plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strength_stands_behind_the_last_colon() {
        let given =
            |text: &str| text.parse::<Given>().map(|g| (g.path.to_string_lossy().into_owned(), g.strength));
        assert_eq!(given("a.safetensors"), Ok(("a.safetensors".to_string(), 1.0)));
        assert_eq!(given("a.safetensors:-0.5"), Ok(("a.safetensors".to_string(), -0.5)));
        assert_eq!(given("C:\\a.safetensors"), Ok(("C:\\a.safetensors".to_string(), 1.0)));
        assert_eq!(given("C:\\a.safetensors:2"), Ok(("C:\\a.safetensors".to_string(), 2.0)));
        assert!(given("a.safetensors:nan").unwrap_err().contains("NaN"));
        assert!(given("a.safetensors:inf").is_err() && given("").is_err() && given(":1").is_err());
    }
}
