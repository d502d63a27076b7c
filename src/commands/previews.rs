//! `generate --preview`: a frame of the clip while it is made.

use std::path::{Path, PathBuf};

use zoetrope_model_spec::ltx::pipeline::PREVIEW;
use zoetrope_runtime::plan::Plan;
use zoetrope_runtime::{Error, Result};

use super::write_whole;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::session::Watch;
use crate::tensors::Tensor;

/// Progress, and a file that every step writes anew.
pub struct Previews<'a> {
    pub progress: &'a mut Progress,
    pub path: Option<PathBuf>,
}

/// Checks that previews can be made, and be written to `path`.
///
/// # Errors
/// The plan makes none, or there is no such folder.
pub fn check(plan: &Plan, path: &Path) -> std::result::Result<(), Failure> {
    if !plan.phases.iter().flat_map(|phase| phase.outputs.iter()).any(|port| port.name == PREVIEW) {
        return Err(Failure::usage(format!(
            "the plan {} makes no previews\n  help  build it with them: ZOETROPE_PREVIEW=1 cargo build --release ..., \
             or preview = true in a target file (docs/targets.md)",
            plan.name
        )));
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        Some(folder) => Err(Failure::usage(format!("there is no folder {} for previews", folder.display()))),
        None => Ok(()),
    }
}

/// An 8-bit PNG of RGB in 0..1, [height, width, 3].
///
/// # Errors
/// The picture has no pixels.
fn png(picture: &Tensor) -> std::result::Result<Vec<u8>, png::EncodingError> {
    let [height, width] = [0, 1].map(|axis| picture.shape.get(axis).copied().unwrap_or(0));
    let bytes: Vec<u8> = picture.reals().iter().map(|x| (x * 255.0).round() as u8).collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.write_image_data(&bytes)?;
    Ok(file)
}

impl Watch for Previews<'_> {
    fn boundary(&mut self, phase: &str, segment: &str, turn: u32, turns: u32) -> Result<()> {
        self.progress.boundary(phase, segment, turn, turns)
    }

    fn launched(&mut self, flops: u64) {
        self.progress.launched(flops);
    }

    fn wants_previews(&self) -> bool {
        self.path.is_some()
    }

    fn preview(&mut self, picture: &Tensor) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let file = png(picture).map_err(|e| Error::Host(format!("cannot make a preview: {e}")))?;
        write_whole(path, &file).map_err(|e| Error::Host(e.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_becomes_a_whole_picture() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("now.png");
        let plan = Plan { phases: Vec::new().into(), ..zoetrope_generated::PLANS[0].clone() };
        let mut progress = Progress::new(&plan, None, true);
        let mut watch = Previews { progress: &mut progress, path: Some(path.clone()) };
        for level in [0.0, 0.2] {
            let values = vec![level, 0.5, 1.0, 0.25, 0.75, 0.1];
            watch.preview(&Tensor::real(&[2, 1, 3], values)).unwrap();
        }
        let mut reader =
            png::Decoder::new(std::io::Cursor::new(std::fs::read(&path).unwrap())).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (1, 2, png::ColorType::Rgb));
        assert_eq!(pixels, [51, 128, 255, 64, 191, 26]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_missing_is_known_before_a_run() {
        let plan = zoetrope_generated::PLANS[0];
        assert!(check(plan, Path::new("now.png")).unwrap_err().message.contains("makes no previews"));
        let mut with = plan.clone();
        let port = with.phases[0].outputs[0].clone();
        with.phases.to_mut()[0]
            .outputs
            .to_mut()
            .push(zoetrope_runtime::plan::Port { name: PREVIEW.into(), ..port });
        assert!(check(&with, Path::new("now.png")).is_ok());
        assert!(
            check(&with, Path::new("/no/such/folder/now.png"))
                .unwrap_err()
                .message
                .contains("/no/such/folder")
        );
    }
}
