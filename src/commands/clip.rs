//! The file that runs end in: a clip, or audio alone, as the plan leaves it.

use std::io::{self, Write};
use std::path::Path;

use zoetrope_runtime::plan::{Plan, Role};

use crate::failure::{Failure, Kind};
use crate::media::{IN_MEMORY, Mp4, Mp4Writer, SAMPLE_RATE, Sound, wav};
use crate::output::Format;
use crate::run::Finished;
use crate::tensors::Values;
use crate::windows::{Joined, Windows};

/// Takes what runs leave, a window of the clip each, and makes the file.
pub struct ClipWriter {
    windows: Windows,
    joined: Joined,
    /// Whether there was sound.
    heard: bool,
    file: File,
}

/// What makes a file.
enum File {
    /// H.264 and AAC.
    Movie(Box<Mp4Writer>),
    /// PCM: left and right.
    Audio([Vec<f32>; 2]),
}

/// A finished file.
pub enum Clip {
    Movie(Box<Mp4>),
    Audio(Vec<u8>),
}

impl ClipWriter {
    /// For what `plan` leaves of a clip that is made in these windows.
    ///
    /// # Errors
    /// Frames or a rate that cannot be written.
    pub fn new(plan: &Plan, windows: Windows, metadata: &[(String, String)]) -> Result<ClipWriter, Failure> {
        let facts = &plan.facts;
        let file = if plan.results().contains(&Role::Video) {
            let mut writer =
                Mp4Writer::new(facts.width as usize, facts.height as usize, facts.fps, metadata)?;
            writer.expect_audio()?;
            File::Movie(Box::new(writer))
        } else {
            File::Audio(Default::default())
        };
        Ok(ClipWriter { windows, joined: Joined::new(windows), heard: false, file })
    }

    /// The kind of file.
    pub fn format(&self) -> Format {
        match self.file {
            File::Movie(_) => Format::Mp4,
            File::Audio(_) => Format::Wav,
        }
    }

    /// How many bytes it has at most, as far as that can be told beforehand.
    pub fn likely_bytes(&self) -> u64 {
        match &self.file {
            File::Movie(writer) => writer.likely_bytes(self.windows.frames),
            // Two channels of two bytes, and a second more than there should be.
            File::Audio(_) => 4 * u64::from(SAMPLE_RATE) * (self.windows.seconds().ceil() as u64 + 1),
        }
    }

    /// How many bytes lie beside the file until it is whole, at most.
    pub fn scratch_bytes(&self) -> u64 {
        match &self.file {
            File::Movie(_) => {
                Some(self.likely_bytes()).filter(|bytes| *bytes > IN_MEMORY as u64).unwrap_or(0)
            }
            File::Audio(_) => 0,
        }
    }

    /// What does not stay in memory until then shall lie in this folder. Nothing was appended yet.
    ///
    /// # Errors
    /// An encoder does not start.
    pub fn keep_in(&mut self, folder: &Path) -> Result<(), Failure> {
        match &mut self.file {
            File::Movie(writer) => Ok(writer.keep_in(folder)?),
            File::Audio(_) => Ok(()),
        }
    }

    /// Width and height of the frames in the file, where it has some.
    pub fn size(&self) -> Option<(usize, usize)> {
        match &self.file {
            File::Movie(writer) => Some(writer.size()),
            File::Audio(_) => None,
        }
    }

    /// Stores a value with a movie; an audio file has no place for it.
    pub fn set_metadata(&mut self, key: &str, value: &str) {
        if let File::Movie(writer) = &mut self.file {
            writer.set_metadata(key, value);
        }
    }

    /// What is in the file, in words.
    pub fn contents(&self) -> String {
        match &self.file {
            File::Movie(writer) => {
                let ((width, height), Windows { count, frames, .. }) = (writer.size(), self.windows);
                let windows = if count > 1 { format!(" in {count} windows") } else { String::new() };
                format!("{width}x{height}, {frames} frames{windows}")
            }
            File::Audio(_) => format!("{:.2} s of audio", self.windows.seconds()),
        }
    }

    /// How many frames the clip has in the windows that were appended.
    pub fn finished_frames(&self) -> usize {
        self.joined.finished_frames()
    }

    /// Appends what a run left of the next window. Frames are encoded now.
    ///
    /// # Errors
    /// The run left something else, or an encoder failed.
    pub fn push(&mut self, finished: &Finished) -> Result<(), Failure> {
        let ClipWriter { joined, heard, file, .. } = self;
        if let Some(Values::Real(samples)) = finished.waveform.as_ref().map(|wave| &wave.values) {
            let (left, right) = samples.split_at(samples.len() / 2);
            file.push_audio(joined.sound([left, right]))?;
            *heard = true;
        }
        let File::Movie(writer) = file else { return Ok(()) };
        let Some(Values::Byte(planes)) = finished.video.as_ref().map(|video| &video.values) else {
            return Err(Failure::new(Kind::Failure, "the plan leaves no frames that can be encoded"));
        };
        Ok(joined.frames(planes, &mut |frame| writer.push_frame(frame))?)
    }

    /// The file of all windows, or of those that were appended; with the sound that was given where runs make none.
    ///
    /// # Errors
    /// Nothing was appended, or an encoder failed.
    pub fn finish(self, sound: Option<&Sound>) -> Result<Clip, Failure> {
        let ClipWriter { mut joined, heard, mut file, .. } = self;
        let rest = joined.end(&mut |frame| match &mut file {
            File::Movie(writer) => writer.push_frame(frame),
            File::Audio(_) => Ok(()),
        })?;
        if let (Some(sound), false, File::Movie(writer)) = (sound, heard, &mut file) {
            writer.set_audio_rate(sound.rate())?;
            file.push_audio(sound.channels().map(<[f32]>::to_vec))?;
        }
        file.push_audio(rest)?;
        match file {
            File::Movie(writer) => Ok(Clip::Movie(Box::new(writer.finish()?))),
            File::Audio([left, right]) => Ok(Clip::Audio(wav(&left, &right)?)),
        }
    }
}

impl File {
    fn push_audio(&mut self, channels: [Vec<f32>; 2]) -> Result<(), Failure> {
        match self {
            File::Movie(writer) => writer.push_audio(&channels[0], &channels[1])?,
            File::Audio(all) => all.iter_mut().zip(channels).for_each(|(all, channel)| all.extend(channel)),
        }
        Ok(())
    }
}

impl Clip {
    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        match self {
            Clip::Movie(movie) => movie.bytes(),
            Clip::Audio(file) => file.len() as u64,
        }
    }

    /// Writes the file from front to back.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Clip::Movie(movie) => movie.write(out),
            Clip::Audio(file) => out.write_all(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use zoetrope_compiler::frontend::compile_target;
    use zoetrope_model_spec::ltx::recipe::Recipe;
    use zoetrope_model_spec::target::Target;

    use super::*;
    use crate::run::Carried;
    use crate::tensors::{Named, Tensor};

    #[test]
    fn a_plan_of_audio_alone_ends_in_a_wav_file() {
        let recipe = Recipe::named("text-to-audio").unwrap();
        let plan =
            compile_target(&Target { recipe, ..Target::preset("res-tiny").unwrap() }, "".as_ref()).unwrap();
        let mut writer = ClipWriter::new(&plan, Windows::one(&plan.facts), &[]).unwrap();
        assert_eq!((writer.format(), writer.size()), (Format::Wav, None));
        let (most, contents) = (writer.likely_bytes(), writer.contents());
        assert_eq!(contents, "1.04 s of audio");
        let waveform = Some(Tensor::real(&[2, 50_000], vec![0.5; 100_000]));
        let finished = Finished { latents: Named::new(), video: None, waveform, carried: Carried::new() };
        writer.push(&finished).unwrap();
        let clip = writer.finish(None).unwrap();
        let mut file = Vec::new();
        clip.write(&mut file).unwrap();
        assert!(file.starts_with(b"RIFF") && file.len() as u64 == clip.bytes() && clip.bytes() <= most);
    }
}
