//! Which model files a command uses.

use std::path::PathBuf;

use clap::Args;
use zoetrope_runtime::plan::{Plan, Source};

use crate::demo::demo_in_memory;
use crate::failure::{Failure, Kind};
use crate::model_files::{ModelFiles, ModelPaths, tensors_of};

/// Where the model's files are. The official command line's names are accepted too.
#[derive(Args, Clone, Debug, Default)]
pub struct ModelArgs {
    /// The LTX-2.3 checkpoint (ltx-2.3-22b-distilled-1.1.safetensors); several times if it is split
    #[arg(long, value_name = "FILE", alias = "distilled-checkpoint-path")]
    pub checkpoint: Vec<PathBuf>,
    /// The Gemma 3 folder, with config.json, tokenizer.json and weights
    #[arg(long, value_name = "DIR", alias = "gemma-root")]
    pub text_encoder: Option<PathBuf>,
    /// The spatial x2 upscaler
    #[arg(long, value_name = "FILE", alias = "spatial-upsampler-path")]
    pub spatial_upscaler: Option<PathBuf>,
}

impl ModelArgs {
    pub fn given(&self) -> bool {
        !self.checkpoint.is_empty() || self.text_encoder.is_some() || self.spatial_upscaler.is_some()
    }

    /// Opens what `plan` needs: the files given, or the demo model where the plan is made for it.
    ///
    /// # Errors
    /// A file that is needed and was not given, or cannot be used.
    pub fn open(&self, plan: &Plan) -> Result<ModelFiles, Failure> {
        let tensors = tensors_of(plan);
        if !self.given() {
            if plan.facts.model == "demo" {
                return Ok(demo_in_memory(&tensors)?);
            }
            return Err(Failure::new(
                Kind::ModelFiles,
                format!(
                    "this plan is for {}, whose files were not given\n  help  --checkpoint FILE --text-encoder DIR --spatial-upscaler FILE",
                    plan.facts.model
                ),
            ));
        }
        let needs = |source| tensors.iter().any(|t| t.source == source);
        let flags = [
            (Source::Checkpoint, "--checkpoint FILE", !self.checkpoint.is_empty()),
            (Source::TextEncoder, "--text-encoder DIR", self.text_encoder.is_some()),
            (Source::SpatialUpscaler, "--spatial-upscaler FILE", self.spatial_upscaler.is_some()),
        ];
        let missing: Vec<_> =
            flags.iter().filter(|(source, _, given)| needs(*source) && !given).map(|(_, f, _)| *f).collect();
        if !missing.is_empty() {
            return Err(Failure::new(
                Kind::ModelFiles,
                format!("model files were not given\n  want  {}", missing.join(" ")),
            ));
        }
        let files = ModelFiles::open(&ModelPaths {
            checkpoint: self.checkpoint.clone(),
            text_encoder: self.text_encoder.clone().unwrap_or_default(),
            upscaler: self.spatial_upscaler.clone(),
        });
        let needed = files.unreadable.iter().filter(|(source, _)| needs(*source));
        let broken: Vec<_> = needed.map(|(_, error)| error.to_string()).collect();
        if !broken.is_empty() {
            return Err(Failure::new(
                Kind::ModelFiles,
                format!("model files cannot be used\n  {}", broken.join("\n  ")),
            ));
        }
        Ok(files)
    }
}
