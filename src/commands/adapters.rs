//! Which adapters a command uses.

use std::path::Path;

use clap::Args;
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::{TensorFile, TensorSet};
use zoetrope_runtime::plan::{Adapter, Plan};

use crate::adapters::{Adapted, Adapters, Given, Merge};
use crate::demo::adapters::DISTILLED;
use crate::failure::Failure;
use crate::terminal;

/// Options whose value is an adapter.
pub const ADAPTERS: [&str; 3] = ["--lora", "--distilled-lora", "--ic-lora"];

/// How much of the demo model's made-up adapter a stage gets: more would spoil what the model was trained for.
const MADE_UP: f32 = 0.03;

/// Adapters (LoRA) on top of the checkpoint. The official command line's form, PATH STRENGTH, is accepted too.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct AdapterArgs {
    /// A LoRA on top of the checkpoint, at this strength (1 unless said); several times for several
    #[arg(long, value_name = "PATH[:STRENGTH]")]
    lora: Vec<Given>,
    /// The LoRA of stages that have one of their own, at this strength (1 unless said) times that of the stage
    #[arg(long, visible_alias = "ic-lora", value_name = "PATH[:STRENGTH]")]
    distilled_lora: Vec<Given>,
    /// How LoRAs are added to weights [default: exact; official where a phase is evaluated]
    #[arg(long, value_name = "HOW", value_enum)]
    lora_merge: Option<Merge>,
}

impl AdapterArgs {
    /// The files that are given.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.lora.iter().chain(&self.distilled_lora).map(|given| given.path.as_path())
    }

    /// How adapters are merged: as is said, or as is `usual`.
    pub fn merge(&self, usual: Merge) -> Merge {
        self.lora_merge.unwrap_or(usual)
    }

    /// Opens the adapters for a plan; where nothing is said, they are merged as is `usual`. The demo model brings its own for stages where none is given.
    ///
    /// # Errors
    /// A file that cannot be used, or adapters for stages that have none of their own.
    pub fn open(&self, plan: &Plan, usual: Merge) -> Result<Adapters, Failure> {
        let mut adapters = Adapters::open(&self.lora, self.merge(usual))?;
        let slots: Vec<_> = plan.phases.iter().filter_map(|phase| phase.adapter).collect();
        if slots.is_empty() && !self.distilled_lora.is_empty() {
            return Err(Failure::usage(
                "no stage of this plan has adapters of its own\n  help  --lora merges an adapter into the weights of all stages",
            ));
        }
        for Adapter { slot, strength, .. } in slots {
            let of_stage = |given: &Given| Given { strength: given.strength * strength, ..given.clone() };
            let given: Vec<Given> = self.distilled_lora.iter().map(of_stage).collect();
            if given.is_empty() && plan.facts.model == "demo" {
                let file = TensorFile::from_bytes(DISTILLED.file, DISTILLED.for_plan(plan)?)?;
                adapters = adapters.file_in_slot(slot, file, MADE_UP * strength);
            }
            adapters = adapters.in_slot(slot, &given)?;
        }
        Ok(adapters)
    }
}

/// A model's weights as `plan` reads them, with adapters merged into those of its checkpoint. Says what of the adapters is
/// left out.
///
/// # Errors
/// Whatever of the adapters cannot be used.
pub fn adapted<'a>(
    adapters: &'a Adapters,
    (weights, checkpoint): (&'a dyn Weights, &'a TensorSet),
    plan: &Plan,
) -> Result<Adapted<'a>, Failure> {
    let adapted = adapters.over(weights, checkpoint, plan)?;
    adapted.notes().iter().for_each(terminal::note);
    Ok(adapted)
}
