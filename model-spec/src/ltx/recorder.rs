//! What records the phases of one target. Its phases are written where they belong: `prompt`, `encode`, `denoise`,
//! `decode`, `alone`; `pipeline` chains them.

use super::config::ModelConfig;
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
}
