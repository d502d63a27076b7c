//! What `zoetrope generate` writes: the clip, and on the way to it previews and latents.

use std::fs;
use std::path::{Path, PathBuf};

use zoetrope_runtime::plan::{Plan, Port, Role};

use super::clip::ClipWriter;
use crate::failure::Failure;
use crate::output::{Format, Inputs, OutputError, OutputFile, OutputFolder, check_room};
use crate::tensors::{Named, to_bytes};
use crate::terminal;

/// The outputs of a run.
pub struct Outputs {
    pub clip: OutputFile,
    /// The file that every step writes anew.
    pub preview: Option<OutputFile>,
    /// Where the latents of every phase go.
    dump: Option<OutputFolder>,
    /// Of how many windows.
    windows: usize,
    /// Folders, and about how many bytes will stay in each.
    room: Vec<(PathBuf, u64)>,
    /// Why latents could not be written. The run goes on: its clip is worth more.
    lost: Option<OutputError>,
}

/// Whether a port holds the latents that a phase leaves.
fn is_latent(port: &&Port) -> bool {
    port.role == Role::Latent
}

impl Outputs {
    /// Tries all outputs of runs of `plan`, so many windows of a clip: the paths of the clip, of this format and about so many
    /// bytes, with so many beside it until it is whole; of the preview; and of the folder for latents.
    ///
    /// # Errors
    /// One of them cannot be written, is another one or an input, or the room that is left does not do for all.
    pub fn open(
        (plan, windows): (&Plan, usize),
        (format, [clip_bytes, scratch_bytes]): (Format, [u64; 2]),
        (clip, preview, dump): (&Path, Option<&Path>, Option<&Path>),
        inputs: &Inputs,
    ) -> Result<Outputs, OutputError> {
        let file = OutputFile::open(clip, format, inputs)?;
        file.check_limit(clip_bytes)?;
        let preview = preview.map(|path| OutputFile::open_file(path, Format::Png, inputs)).transpose()?;
        if preview.as_ref().is_some_and(|other| file.is(other)) {
            return Err(OutputError::Twice { path: clip.into() });
        }
        // RGB; numbers of 32 bits.
        let preview_bytes = 3 * u64::from(plan.facts.width) * u64::from(plan.facts.height);
        let latents = plan.phases.iter().flat_map(|phase| phase.outputs.iter()).filter(is_latent);
        let latents = latents.map(|port| 4 * port.shape.iter().map(|n| u64::from(*n)).product::<u64>());
        let dump_bytes = latents.sum::<u64>() * windows as u64;
        let dump = dump.map(|path| OutputFolder::open_new(path, "safetensors")).transpose()?;
        let stays = [
            (file.folder(), clip_bytes),
            (preview.as_ref().and_then(OutputFile::folder), preview_bytes),
            (dump.as_ref().map(OutputFolder::path), dump_bytes),
        ];
        let stays = stays.into_iter().filter_map(|(folder, bytes)| Some((folder?, bytes)));
        let scratch = file.folder().map(|folder| (folder, scratch_bytes));
        check_room(&stays.clone().chain(scratch).collect::<Vec<_>>())?;
        let room = stays.map(|(folder, bytes)| (folder.to_path_buf(), bytes)).collect();
        Ok(Outputs { clip: file, preview, dump, windows, room, lost: None })
    }

    /// The files, and the folder for latents, as the system calls them; none for standard output.
    pub fn paths(&self) -> Vec<PathBuf> {
        let files =
            [Some(&self.clip), self.preview.as_ref()].into_iter().flatten().filter_map(OutputFile::path);
        let folder = self.dump.as_ref().map(OutputFolder::path);
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        files.chain(folder).map(real).collect()
    }

    /// Folders, and about how many bytes will stay in each.
    pub fn room(&self) -> &[(PathBuf, u64)] {
        &self.room
    }

    /// Writes the latents that a phase left of a window, where that is wanted.
    pub fn keep(&mut self, window: usize, phase: &str, left: &Named) {
        let Some(folder) = self.dump.as_ref().filter(|_| !left.is_empty() && self.lost.is_none()) else {
            return;
        };
        let name = match self.windows {
            1 => format!("{phase}.safetensors"),
            _ => format!("window-{:04}-{phase}.safetensors", window + 1),
        };
        let file = folder.file(&name, Format::Safetensors);
        self.lost = file.and_then(|file| file.replace(&to_bytes(left))).err();
    }

    /// Ends a run that failed: the windows that it finished become a file of another name. The failure says which.
    pub fn keep_windows(&self, writer: ClipWriter, failure: Failure) -> Failure {
        let frames = writer.finished_frames();
        let clip = (self.windows > 1 && frames > 0).then(|| writer.finish(None).ok()).flatten();
        let Some(path) = clip.and_then(|clip| self.clip.keep_part(&|out| clip.write(out))) else {
            return failure;
        };
        let Failure { kind, message } = failure;
        Failure::new(kind, format!("{message}\n  help  the first {frames} frames are {}", path.display()))
    }

    /// What prints a line of the result: not to the stream of the clip.
    pub fn say(&self) -> fn(&str) {
        if self.clip.is_stream() { terminal::line } else { terminal::info }
    }

    /// Ends the run.
    ///
    /// # Errors
    /// Latents are missing.
    pub fn close(self) -> Result<(), Failure> {
        self.lost.map_or(Ok(()), |error| Err(error.into()))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "aac-fdk")]
    use zoetrope_runtime::plan::Facts;

    use super::*;
    #[cfg(feature = "aac-fdk")]
    use crate::failure::Kind;
    #[cfg(feature = "aac-fdk")]
    use crate::run::{Carried, Finished};
    use crate::tensors::Tensor;
    #[cfg(feature = "aac-fdk")]
    use crate::tensors::Values;
    #[cfg(feature = "aac-fdk")]
    use crate::windows::Windows;

    fn open(
        folder: &Path,
        preview: Option<&Path>,
        dump: Option<&Path>,
        bytes: u64,
    ) -> Result<Outputs, OutputError> {
        let (plan, clip) = (zoetrope_generated::PLANS[0], folder.join("clip.mp4"));
        Outputs::open((plan, 1), (Format::Mp4, [bytes, 0]), (&clip, preview, dump), &Inputs::default())
    }

    #[test]
    fn latents_that_cannot_be_written_cost_no_clip() {
        let folder = tempfile::tempdir().unwrap();
        let dump = folder.path().join("latents");
        let mut outputs = open(folder.path(), None, Some(&dump), 1).unwrap();
        let latents = Named::from([("v".to_string(), Tensor::real(&[1], vec![1.0]))]);
        outputs.keep(0, "denoise-1", &latents);
        std::fs::create_dir(dump.join("denoise-2.safetensors")).unwrap();
        outputs.keep(0, "denoise-2", &latents);
        outputs.clip.finish(1, &|out| out.write_all(b"x")).unwrap();
        let error = outputs.close().unwrap_err();
        assert!(error.message.contains("denoise-2.safetensors"), "{error}");
        assert!(dump.join("denoise-1.safetensors").is_file());
    }

    #[cfg(feature = "aac-fdk")]
    #[test]
    fn windows_that_are_finished_outlive_a_run_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let clip = folder.path().join("clip.mp4");
        let plan = zoetrope_generated::PLANS[0];
        let windows = Windows::covering(&Facts { carried: 9, ..plan.facts.clone() }, 60).unwrap();
        let outputs = Outputs::open(
            (plan, windows.count),
            (Format::Mp4, [1, 0]),
            (&clip, None, None),
            &Inputs::default(),
        )
        .unwrap();
        let stopped = || Failure::new(Kind::Failure, "stopped");
        let mut writer = ClipWriter::new(plan, windows, &[]).unwrap();
        let nothing = outputs.keep_windows(ClipWriter::new(plan, windows, &[]).unwrap(), stopped());
        assert_eq!(nothing.message, "stopped");
        let video = Tensor { shape: vec![25, 288, 256], values: Values::Byte(vec![128; 25 * 288 * 256]) };
        let waveform = Tensor::real(&[2, 48_480], vec![0.25; 2 * 48_480]);
        let finished = Finished {
            latents: Named::new(),
            video: Some(video),
            waveform: Some(waveform),
            carried: Carried::new(),
        };
        writer.push(&finished).unwrap();
        let failure = outputs.keep_windows(writer, stopped());
        let (message, path) = failure.message.rsplit_once(" are ").unwrap();
        assert_eq!(message, "stopped\n  help  the first 25 frames");
        assert!(std::fs::read(path).unwrap().starts_with(b"\0\0\0"), "an MP4 file");
        let there: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(there, [Path::new(path)], "and nothing else");
    }

    #[test]
    fn what_has_no_room_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let dump = folder.path().join("latents");
        #[cfg(unix)]
        assert!(matches!(open(folder.path(), None, Some(&dump), 1 << 60), Err(OutputError::Room { .. })));
        assert!(!dump.exists());
    }

    #[cfg(unix)]
    #[test]
    fn two_outputs_are_two_files() {
        let folder = tempfile::tempdir().unwrap();
        let preview = folder.path().join("now.png");
        std::os::unix::fs::symlink("clip.mp4", &preview).unwrap();
        assert!(matches!(open(folder.path(), Some(&preview), None, 1), Err(OutputError::Twice { .. })));
    }
}
