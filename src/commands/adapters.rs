//! Which adapters a command uses.

use std::path::Path;

use clap::Args;
use zoetrope_runtime::plan::Plan;

use crate::adapters::{Adapted, Adapters, Given, Merge};
use crate::failure::Failure;
use crate::model_files::ModelFiles;
use crate::terminal;

/// Options whose value is an adapter.
pub const ADAPTERS: [&str; 1] = ["--lora"];

/// Adapters (LoRA) on top of the checkpoint. The official command line's form, PATH STRENGTH, is accepted too.
#[derive(Args, Clone, Debug, Default)]
pub struct AdapterArgs {
    /// A LoRA on top of the checkpoint, at this strength (1 unless said); several times for several
    #[arg(long, value_name = "PATH[:STRENGTH]")]
    lora: Vec<Given>,
    /// How LoRAs are added to weights
    #[arg(long, value_enum, default_value_t)]
    lora_merge: Merge,
}

impl AdapterArgs {
    /// The files that are given.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.lora.iter().map(|given| given.path.as_path())
    }

    /// Opens the adapters.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn open(&self) -> Result<Adapters, Failure> {
        Ok(Adapters::open(&self.lora, self.lora_merge)?)
    }
}

/// A model's weights as `plan` reads them, with adapters merged into them. Says what of the adapters is left out.
///
/// # Errors
/// Whatever of the adapters cannot be used.
pub fn adapted<'a>(
    adapters: &'a Adapters,
    files: &'a ModelFiles,
    plan: &Plan,
) -> Result<Adapted<'a>, Failure> {
    let adapted = adapters.over(files, &files.checkpoint, plan)?;
    adapted.notes().iter().for_each(terminal::note);
    Ok(adapted)
}
