//! What records the phases of one target. Its phases are written where they belong: `prompt`, `encode`, `denoise`,
//! `decode`, `alone`; `pipeline` chains them.

use super::config::ModelConfig;
use super::recipe::Stage;
use super::sizes::Size;
use crate::lang::{Builder, Graph, ShapeError};
use crate::target::Target;

pub(super) type Recorded = Result<Graph, ShapeError>;

/// Records phases of one target.
pub struct Recorder<'a> {
    pub target: &'a Target,
    pub model: &'a ModelConfig,
    /// Inner values that become outputs.
    pub taps: &'a [String],
    /// Latent frames that are decoded or encoded together; `None` for all of them.
    pub chunk: Option<usize>,
}

impl Recorder<'_> {
    pub(super) fn builder(&self, name: &str) -> Builder {
        Builder::new(name, self.target.dtype).with_taps(self.taps).keeping(self.target.weights)
    }

    /// The size of stage `number`, from 1; for 0, that of a given clip that is enlarged.
    pub(super) fn stage_size(&self, number: usize) -> Result<Size, ShapeError> {
        let (recipe, clip) = (&self.target.recipe, self.target.size);
        recipe.stage_size(number, clip).ok_or_else(|| {
            let by = recipe.upscaler().map_or("no", |by| by.name());
            let Size { width, height, frames, .. } = clip;
            ShapeError(format!(
                "{width}x{height} with {frames} frames is no size that the {by} upscaler makes"
            ))
        })
    }

    /// The last stage.
    pub(super) fn last_stage(&self) -> Result<&Stage, ShapeError> {
        let recipe = &self.target.recipe;
        recipe
            .stages
            .last()
            .ok_or_else(|| ShapeError(format!("pipeline {} has no denoising stage", recipe.name)))
    }
}
