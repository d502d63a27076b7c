//! Finished clips to MP4 files: H.264 video (4:2:0, BT.709, limited range) and AAC-LC sound.
//!
//! Everything runs inside the process: OpenH264 and FDK-AAC are compiled in, no external program is started.
//! [`write_mp4`] takes a clip that lies in memory; [`Mp4Writer`] takes frames one at a time. The same input gives
//! the same bytes: encoders run on one thread and the file holds no dates.
//!
//! A file appears under its final name only when it is complete: the compressed clip stays in memory until all frames
//! are in, is then written under a temporary name in the same folder, and renamed. Every failure removes that file.

mod colour;
mod error;
mod file;
mod mp4;
mod quiet;
mod rate;
#[cfg(feature = "aac-fdk")]
mod sound;
#[cfg(not(feature = "aac-fdk"))]
#[path = "sound_off.rs"]
mod sound;
mod tables;
mod video;
mod writer;

use std::path::Path;

pub use colour::Yuv420;
pub use error::MediaError;
pub use rate::{FrameRate, video_bit_rate};
pub use writer::Mp4Writer;

/// Sound samples per second and channel, in every written file.
pub const SAMPLE_RATE: u32 = 48_000;

/// A finished clip in memory.
#[derive(Clone, Copy, Debug)]
pub struct Clip<'a> {
    /// Picture width in pixels: even, 16 or more.
    pub width: usize,
    /// Picture height in pixels: even, 16 or more.
    pub height: usize,
    /// Number of frames, 1 or more.
    pub frames: usize,
    /// Frames per second, 1 to 60. The NTSC rates may be given rounded (23.976, 29.97, 59.94).
    pub fps: f64,
    /// Frames of RGB in 0..1, row-major [frames, height, width, 3].
    pub rgb: &'a [f32],
    /// Stereo sound at [`SAMPLE_RATE`] in -1..1, planar [2, samples]; empty for a silent file without a sound track.
    pub waveform: &'a [f32],
}

/// Writes `clip` to `path` as MP4, replacing a file that is already there.
///
/// `metadata` holds key and value pairs stored with the movie, for example `("comment", "a red fox")`.
/// `progress` is called after every frame with the number of frames done and the number of all frames.
///
/// # Errors
///
/// Sizes, rates and lengths that cannot be written are refused before anything is created; then folders that do not
/// exist or cannot be written to, encoder failures, and failed writes. No file is left behind, and a file that was at
/// `path` before keeps its content.
pub fn write_mp4(
    path: &Path,
    clip: &Clip,
    metadata: &[(String, String)],
    mut progress: impl FnMut(usize, usize),
) -> Result<(), MediaError> {
    video::check_size(clip.width, clip.height)?;
    let pixels = clip.width * clip.height * 3;
    if clip.frames == 0 {
        return Err(MediaError::NoFrames);
    }
    if Some(clip.rgb.len()) != clip.frames.checked_mul(pixels) {
        return Err(MediaError::ClipLength {
            got: clip.rgb.len(),
            frames: clip.frames,
            height: clip.height,
            width: clip.width,
        });
    }
    if !clip.waveform.len().is_multiple_of(2) {
        return Err(MediaError::OddWaveform(clip.waveform.len()));
    }
    let mut writer = Mp4Writer::create(path, clip.width, clip.height, clip.fps, metadata)?;
    let (left, right) = clip.waveform.split_at(clip.waveform.len() / 2);
    writer.push_sound(left, right)?;
    for (done, frame) in clip.rgb.chunks_exact(pixels).enumerate() {
        writer.push_frame(frame)?;
        progress(done + 1, clip.frames);
    }
    writer.finish()
}
