//! Frames and audio in, one at a time; a finished file out.

use std::path::{Path, PathBuf};

use super::audio::AudioEncoder;
use super::movie::Movie;
use super::mp4::Mp4;
use super::store::Store;
use super::video::VideoEncoder;
use super::{FrameRate, MediaError, SAMPLE_RATE};

/// Makes an MP4 file from frames pushed one at a time.
///
/// Frames are encoded as they come, so memory holds the compressed clip only, about 2 MB per second at 1920x1080, and no more
/// than [`IN_MEMORY`](super::IN_MEMORY) of it.
/// Audio may be pushed before, between or after the frames; it is interleaved with them at the end.
pub struct Mp4Writer {
    video: VideoEncoder,
    audio: Option<AudioEncoder>,
    metadata: Vec<(String, String)>,
    /// What does not stay in memory of the compressed clip lies here.
    folder: Option<PathBuf>,
}

impl Mp4Writer {
    /// For frames of `width` x `height` pixels at `fps` frames per second, written in the size of
    /// [`written_size`](zoetrope_model_spec::limits::written_size).
    ///
    /// `metadata` holds key and value pairs stored with the movie.
    ///
    /// # Errors
    ///
    /// Odd sides, sides under 16 pixels or over what the encoder takes, rates outside 1..=60, and empty metadata keys:
    /// so a clip is refused before it is computed.
    pub fn new(
        width: usize,
        height: usize,
        fps: f64,
        metadata: &[(String, String)],
    ) -> Result<Self, MediaError> {
        if let Some((_, value)) = metadata.iter().find(|(key, _)| key.is_empty()) {
            return Err(MediaError::EmptyKey(value.chars().take(40).collect()));
        }
        let video = VideoEncoder::new(width, height, FrameRate::new(fps)?)?;
        Ok(Self { video, audio: None, metadata: metadata.to_vec(), folder: None })
    }

    /// What does not stay in memory of the compressed clip shall lie in this folder, and not in the system's for such. What was
    /// pushed is dropped.
    ///
    /// # Errors
    ///
    /// As [`Mp4Writer::expect_audio`], where audio is expected.
    pub fn keep_in(&mut self, folder: &Path) -> Result<(), MediaError> {
        self.folder = Some(folder.to_path_buf());
        self.video.keep_in(self.store());
        if self.audio.take().is_some() {
            self.expect_audio()?;
        }
        Ok(())
    }

    fn store(&self) -> Store {
        Store::new(self.folder.as_deref())
    }

    /// Stores a value with the movie, in place of the one that the key has so far.
    pub fn set_metadata(&mut self, key: &str, value: &str) {
        self.metadata.retain(|(known, _)| known != key);
        self.metadata.push((key.to_string(), value.to_string()));
    }

    /// Makes the audio encoder now, so that a build without one is known before there is audio.
    ///
    /// # Errors
    ///
    /// There is none, or it does not start.
    pub fn expect_audio(&mut self) -> Result<(), MediaError> {
        self.audio_encoder().map(|_| ())
    }

    /// The audio that follows has another rate, one of [`AUDIO_RATES`](super::AUDIO_RATES). What was pushed is dropped.
    ///
    /// # Errors
    ///
    /// As [`Mp4Writer::expect_audio`].
    pub fn set_audio_rate(&mut self, rate: u32) -> Result<(), MediaError> {
        self.audio = Some(AudioEncoder::new(rate, self.store())?);
        Ok(())
    }

    /// Width and height of the frames in the file.
    pub fn size(&self) -> (usize, usize) {
        self.video.size()
    }

    /// How many bytes a file of so many frames has at most, as far as that can be told beforehand.
    pub fn likely_bytes(&self, frames: usize) -> u64 {
        self.video.likely_bytes(frames)
    }

    /// Appends one frame of 8-bit 4:2:0, BT.709, limited range: luma [height, width], then blue and red difference,
    /// each [height / 2, width / 2], all row-major.
    ///
    /// # Errors
    ///
    /// A frame of another length, or a failure of the encoder.
    pub fn push_frame(&mut self, planes: &[u8]) -> Result<(), MediaError> {
        self.video.push(planes)
    }

    /// Appends stereo audio in -1..1, at [`SAMPLE_RATE`](super::SAMPLE_RATE) unless another rate was set. Nothing is
    /// done for empty channels.
    ///
    /// # Errors
    ///
    /// Channels of different lengths, a build without audio encoder, or a failure of the encoder.
    pub fn push_audio(&mut self, left: &[f32], right: &[f32]) -> Result<(), MediaError> {
        if left.len() != right.len() {
            return Err(MediaError::Channels { left: left.len(), right: right.len() });
        }
        if left.is_empty() {
            return Ok(());
        }
        self.audio_encoder()?.push(left, right)
    }

    fn audio_encoder(&mut self) -> Result<&mut AudioEncoder, MediaError> {
        let audio = self.audio.take().map_or_else(|| AudioEncoder::new(SAMPLE_RATE, self.store()), Ok)?;
        Ok(self.audio.insert(audio))
    }

    /// The finished file; without audio if none was pushed.
    ///
    /// # Errors
    ///
    /// No frames, or a failure of the audio encoder.
    pub fn finish(self) -> Result<Mp4, MediaError> {
        let audio = self.audio.map(AudioEncoder::finish).transpose()?.filter(|track| track.samples > 0);
        let movie = Movie { video: self.video.finish(), audio, metadata: self.metadata };
        if movie.video.sizes.is_empty() {
            return Err(MediaError::NoFrames);
        }
        Mp4::of(movie)
    }
}
