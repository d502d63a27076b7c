//! The file that a run ends in: a clip, or audio alone, as the plan leaves it.

use std::io::{self, Write};

use zoetrope_runtime::plan::{Plan, Role};

use crate::failure::{Failure, Kind};
use crate::media::{Mp4, Mp4Writer, SAMPLE_RATE, Sound, wav};
use crate::output::Format;
use crate::run::Finished;
use crate::tensors::Values;

/// What makes the file.
pub enum ClipWriter {
    /// H.264 and AAC, of so many frames.
    Movie { writer: Box<Mp4Writer>, frames: usize },
    /// PCM, of about so many seconds.
    Audio { seconds: f64 },
}

/// The finished file.
pub enum Clip {
    Movie(Box<Mp4>),
    Audio(Vec<u8>),
}

impl ClipWriter {
    /// For what `plan` leaves.
    ///
    /// # Errors
    /// Frames or a rate that cannot be written.
    pub fn new(plan: &Plan, metadata: &[(String, String)]) -> Result<ClipWriter, Failure> {
        let facts = &plan.facts;
        if !plan.results().contains(&Role::Video) {
            return Ok(ClipWriter::Audio { seconds: f64::from(facts.frames) / facts.fps });
        }
        let mut writer = Mp4Writer::new(facts.width as usize, facts.height as usize, facts.fps, metadata)?;
        writer.expect_audio()?;
        Ok(ClipWriter::Movie { writer: Box::new(writer), frames: facts.frames as usize })
    }

    /// The kind of file.
    pub fn format(&self) -> Format {
        match self {
            ClipWriter::Movie { .. } => Format::Mp4,
            ClipWriter::Audio { .. } => Format::Wav,
        }
    }

    /// How many bytes it has at most, as far as that can be told beforehand.
    pub fn likely_bytes(&self) -> u64 {
        match self {
            ClipWriter::Movie { writer, frames } => writer.likely_bytes(*frames),
            // Two channels of two bytes, and a second more than there should be.
            ClipWriter::Audio { seconds } => 4 * u64::from(SAMPLE_RATE) * (seconds.ceil() as u64 + 1),
        }
    }

    /// Width and height of the frames in the file, where it has some.
    pub fn size(&self) -> Option<(usize, usize)> {
        match self {
            ClipWriter::Movie { writer, .. } => Some(writer.size()),
            ClipWriter::Audio { .. } => None,
        }
    }

    /// Stores a value with a movie; an audio file has no place for it.
    pub fn set_metadata(&mut self, key: &str, value: &str) {
        if let ClipWriter::Movie { writer, .. } = self {
            writer.set_metadata(key, value);
        }
    }

    /// What is in the file, in words.
    pub fn contents(&self) -> String {
        match self {
            ClipWriter::Movie { writer, frames } => {
                let (width, height) = writer.size();
                format!("{width}x{height}, {frames} frames")
            }
            ClipWriter::Audio { seconds } => format!("{seconds:.2} s of audio"),
        }
    }

    /// The file of what a run left, with the sound that was given where the run makes none.
    ///
    /// # Errors
    /// The run left something else, or an encoder failed.
    pub fn finish(self, finished: &Finished, sound: Option<&Sound>) -> Result<Clip, Failure> {
        let wave = finished.waveform.as_ref().map_or(&[][..], |wave| match &wave.values {
            Values::Real(samples) => samples.as_slice(),
            _ => &[],
        });
        let (mut left, mut right) = wave.split_at(wave.len() / 2);
        let (mut writer, frames) = match self {
            ClipWriter::Audio { .. } => return Ok(Clip::Audio(wav(left, right)?)),
            ClipWriter::Movie { writer, frames } => (writer, frames),
        };
        let Some(Values::Byte(planes)) = finished.video.as_ref().map(|video| &video.values) else {
            return Err(Failure::new(Kind::Failure, "the plan leaves no frames that can be encoded"));
        };
        for frame in planes.chunks_exact((planes.len() / frames.max(1)).max(1)) {
            writer.push_frame(frame)?;
        }
        if let Some(sound) = sound.filter(|_| finished.waveform.is_none()) {
            writer.set_audio_rate(sound.rate())?;
            [left, right] = sound.channels();
        }
        writer.push_audio(left, right)?;
        Ok(Clip::Movie(Box::new(writer.finish()?)))
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
    use crate::tensors::{Named, Tensor};

    #[test]
    fn a_plan_of_audio_alone_ends_in_a_wav_file() {
        let recipe = Recipe::named("text-to-audio").unwrap();
        let plan =
            compile_target(&Target { recipe, ..Target::preset("res-tiny").unwrap() }, "".as_ref()).unwrap();
        let writer = ClipWriter::new(&plan, &[]).unwrap();
        assert_eq!((writer.format(), writer.size()), (Format::Wav, None));
        let (most, contents) = (writer.likely_bytes(), writer.contents());
        assert_eq!(contents, "1.04 s of audio");
        let waveform = Some(Tensor::real(&[2, 50_000], vec![0.5; 100_000]));
        let clip = writer.finish(&Finished { latents: Named::new(), video: None, waveform }, None).unwrap();
        let mut file = Vec::new();
        clip.write(&mut file).unwrap();
        assert!(file.starts_with(b"RIFF") && file.len() as u64 == clip.bytes() && clip.bytes() <= most);
    }
}
