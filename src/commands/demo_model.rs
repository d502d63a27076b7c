//! `zoetrope demo-model`: the small model as files in the official format.

use std::path::PathBuf;

use clap::Args;
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{Scope, compile_levels, compile_target};
use zoetrope_model_spec::ltx::demo::demo;
use zoetrope_model_spec::target::Target;

use crate::demo::adapters::{DISTILLED, STYLE};
use crate::demo::write_demo_model;
use crate::failure::Failure;
use crate::model_files::tensors_of;
use crate::terminal;

/// Write the demo model's files, and two LoRAs for it, into a folder
#[derive(Args, Debug)]
pub struct DemoModel {
    /// The folder; made if it is not there
    dir: PathBuf,
}

impl DemoModel {
    /// Runs the command.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn run(self) -> Result<(), Failure> {
        let target =
            Target::preset("res-tiny").ok_or_else(|| Failure::usage("there is no preset res-tiny"))?;
        let mut tensors = tensors_of(&compile_target(&target, &PathBuf::new())?);
        // What only a run from images reads, and one that shows an image to the text encoder.
        for phase in ["video-encode", "enhance-see"] {
            let levels = compile_levels(&target, &demo(), Scope::Phase(phase), &[], Options::default())?;
            tensors.extend(tensors_of(&levels.plan));
        }
        let paths = write_demo_model(&self.dir, &tensors)?;
        for path in paths.checkpoint.iter().chain([&paths.text_encoder]).chain(&paths.upscaler) {
            terminal::info(&path.display().to_string());
        }
        for adapter in [DISTILLED, STYLE] {
            terminal::info(&self.dir.join(adapter.file).display().to_string());
        }
        Ok(())
    }
}
