//! What `zoetrope generate` writes: the clip, and on the way to it previews and latents.

use std::path::Path;

use zoetrope_runtime::plan::{Plan, Port};

use crate::failure::Failure;
use crate::output::{Format, Inputs, OutputError, OutputFile, OutputFolder, check_room};
use crate::tensors::{Named, to_bytes};

/// The outputs of a run.
pub struct Outputs {
    pub clip: OutputFile,
    /// The file that every step writes anew.
    pub preview: Option<OutputFile>,
    /// Where the latents of every phase go.
    dump: Option<OutputFolder>,
    /// Why latents could not be written. The run goes on: its clip is worth more.
    lost: Option<OutputError>,
}

/// Whether a port holds the latents that a phase leaves.
fn is_latent(port: &&Port) -> bool {
    port.slot.as_ref().is_some_and(|slot| slot.ends_with(".latent"))
}

impl Outputs {
    /// Tries all outputs of a run of `plan`: the paths of the clip, which will have about so many bytes, of the preview and
    /// of the folder for latents.
    ///
    /// # Errors
    /// One of them cannot be written, is another one or an input, or the room that is left does not do for all.
    pub fn open(
        plan: &Plan,
        clip_bytes: u64,
        (clip, preview, dump): (&Path, Option<&Path>, Option<&Path>),
        inputs: &Inputs,
    ) -> Result<Outputs, OutputError> {
        let file = OutputFile::open(clip, Format::Mp4, inputs)?;
        file.check_limit(clip_bytes)?;
        let preview = preview.map(|path| OutputFile::open_file(path, Format::Png, inputs)).transpose()?;
        // RGB; numbers of 32 bits.
        let preview_bytes = 3 * u64::from(plan.facts.width) * u64::from(plan.facts.height);
        let latents = plan.phases.iter().flat_map(|phase| phase.outputs.iter()).filter(is_latent);
        let dump_bytes =
            latents.map(|port| 4 * port.shape.iter().map(|n| u64::from(*n)).product::<u64>()).sum();
        let dump = dump.map(|path| OutputFolder::open_new(path, "safetensors")).transpose()?;
        let wanted = [
            (file.folder(), clip_bytes),
            (preview.as_ref().and_then(OutputFile::folder), preview_bytes),
            (dump.as_ref().map(OutputFolder::path), dump_bytes),
        ];
        let wanted: Vec<_> =
            wanted.into_iter().filter_map(|(folder, bytes)| Some((folder?, bytes))).collect();
        check_room(&wanted)?;
        Ok(Outputs { clip: file, preview, dump, lost: None })
    }

    /// Writes the latents that a phase left, where that is wanted.
    pub fn keep(&mut self, phase: &str, left: &Named) {
        let Some(folder) = self.dump.as_ref().filter(|_| !left.is_empty() && self.lost.is_none()) else {
            return;
        };
        let file = folder.file(&format!("{phase}.safetensors"), Format::Safetensors);
        self.lost = file.and_then(|file| file.replace(&to_bytes(left))).err();
    }

    /// Ends the run.
    ///
    /// # Errors
    /// Latents are missing.
    pub fn close(self) -> Result<(), Failure> {
        self.lost.map_or(Ok(()), |error| Err(error.into()))
    }
}
