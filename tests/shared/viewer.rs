//! A watcher of runs that keeps all previews.

use zoetrope::session::Watch;
use zoetrope::tensors::Tensor;
use zoetrope_runtime::Result;

/// Keeps all previews.
#[derive(Default)]
pub struct Viewer(pub Vec<Tensor>);

impl Watch for Viewer {
    fn boundary(&mut self, _phase: &str, _segment: &str, _turn: u32, _turns: u32) -> Result<()> {
        Ok(())
    }

    fn wants_previews(&self) -> bool {
        true
    }

    fn preview(&mut self, frame: &Tensor) -> Result<()> {
        self.0.push(frame.clone());
        Ok(())
    }
}
