//! Finished frames to MP4 files: H.264 video (4:2:0, BT.709, limited range) and AAC-LC audio. Audio alone to WAV files.
//! Pictures, sound and video of users to what the model takes.
//!
//! Everything runs inside the process: OpenH264 and FDK-AAC are compiled in. An external program is started for sound and
//! video of users alone, where nothing here reads them (`source`).
//! [`Mp4Writer`] takes frames as planes of 8 bit, one at a time. The same input gives the same bytes: encoders run on
//! one thread and the file holds no dates.
//!
//! The compressed clip is kept until all frames are in, in memory while it is short; [`Mp4`] is the finished file, which
//! [`crate::output`] writes.

#[cfg(feature = "aac-fdk")]
mod audio;
#[cfg(not(feature = "aac-fdk"))]
#[path = "audio_off.rs"]
mod audio;
mod error;
mod image;
mod movie;
mod mp4;
mod quiet;
mod rate;
mod source;
mod store;
mod tables;
mod video;
mod wav;
mod writer;

pub use error::MediaError;
pub use image::{DEFAULT_CRF, Image, ImageError, MAX_CRF};
pub use mp4::Mp4;
pub use rate::{FrameRate, video_bit_rate};
pub use source::{Footage, Sound, SourceError};
pub use store::IN_MEMORY;
pub use wav::wav;
pub use writer::Mp4Writer;

/// Samples per second and channel of audio that the model makes.
pub const SAMPLE_RATE: u32 = 48_000;

/// The rates of audio that can be written.
pub const AUDIO_RATES: [u32; 9] =
    [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, SAMPLE_RATE];
