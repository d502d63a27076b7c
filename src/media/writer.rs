//! Frames and sound in, one at a time; a file out.

use std::path::Path;

use super::file::Target;
use super::movie::Movie;
use super::mp4;
use super::sound::SoundEncoder;
use super::video::VideoEncoder;
use super::{FrameRate, MediaError};

/// Writes an MP4 file from frames pushed one at a time.
///
/// Frames are encoded as they come, so memory holds the compressed clip only: about 2 MB per second at 1920x1080.
/// Sound may be pushed before, between or after the frames; it is interleaved with them at the end. The file appears
/// under its name in [`finish`](Self::finish); until then nothing is on the disk.
pub struct Mp4Writer {
    target: Target,
    video: VideoEncoder,
    sound: Option<SoundEncoder>,
    metadata: Vec<(String, String)>,
}

impl Mp4Writer {
    /// Prepares a file at `path` for frames of `width` x `height` pixels at `fps` frames per second.
    ///
    /// `metadata` holds key and value pairs stored with the movie.
    ///
    /// # Errors
    ///
    /// Odd sides, sides under 16 pixels or over what the encoder takes, rates outside 1..=60, empty metadata keys,
    /// and paths that cannot be written: so a clip is refused before it is computed.
    pub fn create(
        path: &Path,
        width: usize,
        height: usize,
        fps: f64,
        metadata: &[(String, String)],
    ) -> Result<Self, MediaError> {
        if let Some((_, value)) = metadata.iter().find(|(key, _)| key.is_empty()) {
            return Err(MediaError::EmptyKey(value.chars().take(40).collect()));
        }
        let video = VideoEncoder::new(width, height, FrameRate::new(fps)?)?;
        Ok(Self { target: Target::new(path)?, video, sound: None, metadata: metadata.to_vec() })
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

    /// Appends stereo sound at [`SAMPLE_RATE`](super::SAMPLE_RATE) in -1..1. Nothing is done for empty channels.
    ///
    /// # Errors
    ///
    /// Channels of different lengths, a build without sound encoder, or a failure of the encoder.
    pub fn push_sound(&mut self, left: &[f32], right: &[f32]) -> Result<(), MediaError> {
        if left.len() != right.len() {
            return Err(MediaError::Channels { left: left.len(), right: right.len() });
        }
        if left.is_empty() {
            return Ok(());
        }
        let sound = match &mut self.sound {
            Some(sound) => sound,
            None => self.sound.insert(SoundEncoder::new()?),
        };
        sound.push(left, right)
    }

    /// Writes the file and gives it its final name, replacing what was there.
    ///
    /// # Errors
    ///
    /// No frames, a failure of the sound encoder, or of the disk. No file is left.
    pub fn finish(self) -> Result<(), MediaError> {
        let sound = self.sound.map(SoundEncoder::finish).transpose()?;
        let movie = Movie { video: self.video.finish(), sound, metadata: self.metadata };
        if movie.video.sizes.is_empty() {
            return Err(MediaError::NoFrames);
        }
        let layout = mp4::layout(&movie)?;
        self.target.complete(|file| layout.write(&movie, file))
    }
}
