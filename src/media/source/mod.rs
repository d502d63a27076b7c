//! Sound and video on their way in: files of users to what the encoders of the model take (docs/model/audio.md 3,
//! docs/model/pipelines.md 2.3).

mod error;
mod ffmpeg;
mod mask;
mod mp4;
mod resample;
mod sound;
mod spectrum;
mod video;
mod y4m;
mod yuv;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

pub use error::SourceError;
use error::{Kind, Problem};
use resample::resample;
use sound::Samples;
use video::Frames;
pub(super) use yuv::{Colours, rgb};

use super::image::fit_rgb;

/// Bytes of a file that is read as a whole: ten minutes of video as cameras write it.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// Stereo sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    rate: u32,
    channels: [Vec<f32>; 2],
    notes: Vec<String>,
}

/// Frames of a video, without its sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Footage {
    width: usize,
    height: usize,
    fps: f64,
    /// RGB, [height, width, 3] each.
    frames: Vec<Arc<[u8]>>,
    total: Option<usize>,
    notes: Vec<String>,
}

impl Sound {
    /// Of samples in -1..1 at a rate. The longer channel is cut.
    pub fn new(rate: u32, [mut left, mut right]: [Vec<f32>; 2]) -> Sound {
        let samples = left.len().min(right.len());
        left.truncate(samples);
        right.truncate(samples);
        Sound { rate, channels: [left, right], notes: Vec::new() }
    }

    /// Reads the first sound of a file: WAV, FLAC, MP3, or AAC in an MP4 file; everything else where there is an `ffmpeg`.
    /// One channel becomes two.
    ///
    /// # Errors
    /// A file that cannot be read, has no sound, or is damaged; all name it.
    pub fn open(path: &Path) -> Result<Sound, SourceError> {
        let own = read(path).and_then(sound::decode);
        let (samples, notes) = or_else_ffmpeg(own, |why| ffmpeg::sound(path, why))
            .map_err(|problem| SourceError::new(path, Kind::Sound, problem))?;
        let Samples { rate, mut channels } = samples;
        let right = channels.pop().filter(|samples| !samples.is_empty() && rate > 0);
        let right = right.ok_or_else(|| SourceError::new(path, Kind::Sound, Problem::Missing))?;
        let left = channels.pop().unwrap_or_else(|| right.clone());
        Ok(Sound { notes, ..Sound::new(rate, [left, right]) })
    }

    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Left and right.
    pub fn channels(&self) -> [&[f32]; 2] {
        self.channels.each_ref().map(Vec::as_slice)
    }

    /// How long it is.
    pub fn seconds(&self) -> f64 {
        self.channels[0].len() as f64 / f64::from(self.rate)
    }

    /// How it was read, where that is not usual.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The part from `start` on of so many seconds; less, where it ends before.
    pub fn part(&self, start: f64, seconds: f64) -> Sound {
        let at = |seconds: f64| (seconds * f64::from(self.rate)).round() as usize;
        let part = |channel: &Vec<f32>| channel.iter().skip(at(start)).take(at(seconds)).copied().collect();
        Sound { channels: self.channels.each_ref().map(part), notes: Vec::new(), ..*self }
    }

    /// The same behind so many seconds of silence.
    pub fn delayed(&self, seconds: f64) -> Sound {
        let silence = (seconds * f64::from(self.rate)).round() as usize;
        let delayed = |channel: &Vec<f32>| [vec![0.0; silence], channel.clone()].concat();
        Sound { channels: self.channels.each_ref().map(delayed), notes: Vec::new(), ..*self }
    }

    /// The same at another rate.
    pub fn at(&self, rate: u32) -> Sound {
        let channels = self.channels.each_ref().map(|channel| resample(channel, self.rate, rate));
        Sound { rate, channels, notes: self.notes.clone() }
    }

    /// As the audio encoder takes it: the first `rows` rows of a log-mel spectrogram of both channels, [2, rows, 64]. Where
    /// it is too short for so many, it is followed by silence.
    pub fn spectrogram(&self, rows: usize) -> Vec<f32> {
        spectrum::spectrogram(self.at(spectrum::RATE).channels(), rows)
    }
}

impl Footage {
    /// Reads the first video of a file, up to `most` frames: H.264 in an MP4 file; everything else where there is an
    /// `ffmpeg`.
    ///
    /// # Errors
    /// A file that cannot be read, has no video, or is damaged; all name it.
    pub fn open(path: &Path, most: usize) -> Result<Footage, SourceError> {
        let own = read(path).and_then(|file| video::decode(&file, most));
        let (video, notes) = or_else_ffmpeg(own, |why| ffmpeg::video(path, most, why))
            .map_err(|problem| SourceError::new(path, Kind::Video, problem))?;
        let Frames { width, height, fps, frames, total } = video;
        if frames.is_empty() {
            return Err(SourceError::new(path, Kind::Video, Problem::Missing));
        }
        let frames = frames.into_iter().map(Arc::from).collect();
        Ok(Footage { width, height, fps, frames, total, notes })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Frames a second.
    pub fn fps(&self) -> f64 {
        self.fps
    }

    /// How many frames were read.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// How many there are in the file, where that is known.
    pub fn total(&self) -> Option<usize> {
        self.total
    }

    /// How it was read, where that is not usual.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The same without so many frames at its beginning; with the last one at least. No frame is copied.
    pub fn behind(&self, first: usize) -> Footage {
        let first = first.min(self.frames.len() - 1);
        Footage { frames: self.frames[first..].to_vec(), notes: Vec::new(), ..*self }
    }

    /// The first frame, and one of every so many behind it.
    pub fn thinned(mut self, every: usize) -> Footage {
        let mut at = 0;
        self.frames.retain(|_| {
            at += 1;
            at == 1 || (at - 2) % every.max(1) == 0
        });
        self
    }

    /// `count` frames, [3, count, height, width] in -1..1, each scaled to cover its place, and its middle. The video begins
    /// at frame `first`; before it stands its first frame, behind it its last one.
    pub fn fit(&self, first: usize, count: usize, width: usize, height: usize) -> Vec<f32> {
        let plane = width * height;
        let mut out = vec![0.0; 3 * count * plane];
        for place in 0..count {
            let frame = place.saturating_sub(first).min(self.frames.len() - 1);
            // Repetitions are copied.
            let again = place > 0 && (place <= first || place - first >= self.frames.len());
            let fitted =
                (!again).then(|| fit_rgb(&self.frames[frame], (self.width, self.height), (width, height)));
            for channel in 0..3 {
                let at = (channel * count + place) * plane;
                match &fitted {
                    Some(fitted) => out[at..at + plane].copy_from_slice(&fitted[channel * plane..][..plane]),
                    None => out.copy_within(at - plane..at, at),
                }
            }
        }
        out
    }
}

/// What the program reads by itself, or what `ffmpeg` reads instead, with a note that it did.
fn or_else_ffmpeg<T>(
    own: Result<T, Problem>,
    ffmpeg: impl FnOnce(String) -> Result<T, Problem>,
) -> Result<(T, Vec<String>), Problem> {
    match own {
        Ok(read) => Ok((read, Vec::new())),
        Err(Problem::Foreign(why)) => {
            let note = format!("it is read by ffmpeg: {why}");
            Ok((ffmpeg(why)?, vec![note]))
        }
        Err(problem) => Err(problem),
    }
}

/// All of a file.
fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Problem::Read)?;
    if file.metadata().is_ok_and(|about| about.is_dir()) {
        return Err(Problem::Read(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    // Counted while reading: a file may grow.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(Problem::Read)?;
    match bytes.len() as u64 {
        0 => Err(Problem::Empty),
        long if long > MAX_FILE_BYTES => Err(Problem::Foreign("it is very large".to_string())),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any change of a file is read or refused: nothing panics, and nothing takes more memory than the file could hold.
    #[test]
    fn changed_files_are_read_or_refused() {
        let mut state = 7u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/media");
        for (name, rounds) in [("b-frames.mp4", 150), ("sound.flac", 40), ("sound.mp3", 40)] {
            let whole = std::fs::read(folder.join(name)).unwrap();
            // The index of an MP4 file is where most can go wrong.
            let index = whole.windows(4).position(|w| w == b"moov").unwrap_or(0);
            for round in 0..rounds {
                let mut bytes = whole.clone();
                for _ in 0..=random(4) {
                    let from = if round % 2 == 0 { index } else { 0 };
                    let at = from + random(bytes.len() - from);
                    bytes[at] = [0, 0xff, 0x7f, random(256) as u8][random(4)];
                }
                if round % 5 == 0 {
                    bytes.truncate(random(bytes.len()));
                }
                let _ = (video::decode(&bytes, 20), sound::decode(bytes));
            }
        }
    }

    #[test]
    fn rates_beyond_sound_are_refused() {
        let wav = |rate: u32| {
            let [one, two, bits] = [1u16, 2, 16].map(u16::to_le_bytes);
            let words = [40u32, 16, rate, rate.wrapping_mul(2), 4].map(u32::to_le_bytes);
            let [size, format, rate, bytes, data] = words.each_ref().map(|word| word.as_slice());
            [b"RIFF", size, b"WAVEfmt ", format, &one, &one, rate, bytes, &two, &bits, b"data", data, &[0; 4]]
                .concat()
        };
        assert_eq!(sound::decode(wav(8_000)).unwrap().channels, [[0.0; 2]]);
        for rate in [1, 999, 768_001, u32::MAX] {
            let problem = sound::decode(wav(rate)).err().unwrap();
            assert!(
                matches!(&problem, Problem::Damaged(why) if why.contains("1000 to 768000")),
                "{problem:?}"
            );
        }
    }

    #[test]
    fn parts_of_sound_keep_their_time() {
        let sound = Sound::new(10, [(0..30).map(|i| i as f32).collect(), vec![0.5; 40]]);
        assert_eq!((sound.seconds(), sound.channels()[1].len()), (3.0, 30));
        let part = sound.part(1.0, 0.5);
        assert_eq!(part.channels()[0], [10.0, 11.0, 12.0, 13.0, 14.0]);
        assert_eq!(part.delayed(0.2).channels()[0][..4], [0.0, 0.0, 10.0, 11.0]);
        assert_eq!(sound.part(2.9, 9.0).channels()[0], [29.0]);
    }
}
