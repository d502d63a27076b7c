//! Which adapters a command uses.

use std::path::Path;

use clap::Args;
use zoetrope_runtime::files::TensorFile;
use zoetrope_runtime::plan::Plan;

use crate::adapters::{Adapted, Adapters, Given, Merge, slots_of};
use crate::demo::adapters::DISTILLED;
use crate::failure::Failure;
use crate::model_files::{ModelFiles, tensors_of};
use crate::terminal;

/// Options whose value is an adapter.
pub const ADAPTERS: [&str; 2] = ["--lora", "--distilled-lora"];

/// Adapters (LoRA) on top of the checkpoint. The official command line's form, PATH STRENGTH, is accepted too.
#[derive(Args, Clone, Debug, Default)]
pub struct AdapterArgs {
    /// A LoRA on top of the checkpoint, at this strength (1 unless said); several times for several
    #[arg(long, value_name = "PATH[:STRENGTH]")]
    lora: Vec<Given>,
    /// The LoRA of stages that have one of their own, at this strength (1 unless said) times that of the stage
    #[arg(long, value_name = "PATH[:STRENGTH]")]
    distilled_lora: Vec<Given>,
    /// How LoRAs are added to weights
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    lora_merge: Merge,
}

impl AdapterArgs {
    /// The files that are given.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.lora.iter().chain(&self.distilled_lora).map(|given| given.path.as_path())
    }

    /// Opens the adapters for a plan. `strength` is what a stage, by the number of its slot, multiplies that of its
    /// adapters by. The demo model brings its own where none is given.
    ///
    /// # Errors
    /// A file that cannot be used, or adapters for stages that have none of their own.
    pub fn open(&self, plan: &Plan, strength: impl Fn(u8) -> f32) -> Result<Adapters, Failure> {
        let mut adapters = Adapters::open(&self.lora, self.lora_merge)?;
        let slots: Vec<u8> = slots_of(plan).collect();
        if slots.is_empty() && !self.distilled_lora.is_empty() {
            return Err(Failure::usage(
                "no stage of this plan has adapters of its own\n  help  --lora merges an adapter into the weights of all stages",
            ));
        }
        for slot in slots {
            let of_stage =
                |given: &Given| Given { strength: given.strength * strength(slot), ..given.clone() };
            let given: Vec<Given> = self.distilled_lora.iter().map(of_stage).collect();
            if given.is_empty() && plan.facts.model == "demo" {
                let file = TensorFile::from_bytes(DISTILLED.file, DISTILLED.bytes(&tensors_of(plan)))?;
                adapters = adapters.file_in_slot(slot, file, strength(slot));
            }
            adapters = adapters.in_slot(slot, &given)?;
        }
        Ok(adapters)
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
