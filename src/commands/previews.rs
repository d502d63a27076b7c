//! `generate --preview`: a frame of the clip while it is made.

use zoetrope_runtime::Result;

use crate::output::OutputFile;
use crate::progress::Progress;
use crate::session::Watch;
use crate::stop::Stop;
use crate::tensors::Tensor;
use crate::terminal;

/// Progress, a file that every step writes anew, and what may end the run.
pub struct Previews<'a> {
    pub progress: &'a mut Progress,
    pub file: Option<OutputFile>,
    /// What may end the run.
    pub stop: Option<&'a Stop>,
}

/// An 8-bit PNG of RGB in 0..1, [height, width, 3].
///
/// # Errors
/// The frame has no pixels.
fn png(frame: &Tensor) -> std::result::Result<Vec<u8>, png::EncodingError> {
    let [height, width] = [0, 1].map(|axis| frame.shape.get(axis).copied().unwrap_or(0));
    let bytes: Vec<u8> = frame.reals().iter().map(|x| (x * 255.0).round() as u8).collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.write_image_data(&bytes)?;
    Ok(file)
}

impl Watch for Previews<'_> {
    fn boundary(&mut self, phase: &str, segment: &str, turn: u32, turns: u32) -> Result<()> {
        self.stop.map_or(Ok(()), Stop::check)?;
        self.progress.boundary(phase, segment, turn, turns)
    }

    fn window(&mut self, number: usize, of: usize) {
        self.progress.window(number, of);
    }

    fn launched(&mut self, flops: u64) {
        self.progress.launched(flops);
    }

    fn wants_previews(&self) -> bool {
        self.file.is_some()
    }

    /// What cannot be shown ends no run.
    fn preview(&mut self, frame: &Tensor) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let made = png(frame).map_err(|e| format!("cannot make a preview: {e}"));
        if let Err(why) = made.and_then(|bytes| file.replace(&bytes).map_err(|e| e.to_string())) {
            terminal::note(format_args!("no more previews: {why}"));
            self.file = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use zoetrope_runtime::plan::Plan;

    use super::*;
    use crate::output::{Format, Inputs};
    use crate::steps::Steps;

    #[test]
    fn a_preview_becomes_a_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("now.png");
        let plan = Plan { phases: Vec::new().into(), ..zoetrope_generated::PLANS[0].clone() };
        let mut progress = Progress::new(&plan, Steps::default(), true);
        let file = OutputFile::open_file(&path, Format::Png, &Inputs::default()).unwrap();
        let mut watch = Previews { progress: &mut progress, file: Some(file), stop: None };
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
    fn a_preview_that_cannot_be_written_ends_no_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("now.png");
        let plan = Plan { phases: Vec::new().into(), ..zoetrope_generated::PLANS[0].clone() };
        let mut progress = Progress::new(&plan, Steps::default(), true);
        let file = OutputFile::open_file(&path, Format::Png, &Inputs::default()).unwrap();
        std::fs::create_dir(&path).unwrap();
        let mut watch = Previews { progress: &mut progress, file: Some(file), stop: None };
        watch.preview(&Tensor::real(&[1, 1, 3], vec![0.5; 3])).unwrap();
        assert!(!watch.wants_previews());
    }
}
