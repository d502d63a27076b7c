//! Encoded tracks: what an MP4 file is made of.

use super::FrameRate;
use super::store::Store;

/// H.264 samples, each a sequence of NAL units with 4-byte lengths.
pub(super) struct VideoTrack {
    /// Pixels.
    pub(super) width: u16,
    /// Pixels.
    pub(super) height: u16,
    pub(super) rate: FrameRate,
    /// The SPS NAL unit.
    pub(super) sequence_parameters: Vec<u8>,
    /// The PPS NAL unit.
    pub(super) picture_parameters: Vec<u8>,
    /// Indices of the frames that need no other frame, from 0.
    pub(super) key_frames: Vec<u32>,
    /// Bytes of every frame.
    pub(super) sizes: Vec<u32>,
    /// All frames, one after the other.
    pub(super) data: Store,
}

/// AAC frames, stereo.
pub(super) struct AudioTrack {
    /// AudioSpecificConfig, ISO/IEC 14496-3.
    pub(super) config: Vec<u8>,
    /// Samples per channel in a frame.
    pub(super) frame_length: u32,
    /// Samples per channel that a decoder gives before the first real one.
    pub(super) priming: u32,
    /// Real samples per channel.
    pub(super) samples: u64,
    /// Samples per second and channel.
    pub(super) rate: u32,
    /// Bits per second.
    pub(super) bit_rate: u32,
    /// Bytes of every frame.
    pub(super) sizes: Vec<u32>,
    /// All frames, one after the other.
    pub(super) data: Store,
}

/// Everything a file holds.
pub(super) struct Movie {
    pub(super) video: VideoTrack,
    pub(super) audio: Option<AudioTrack>,
    pub(super) metadata: Vec<(String, String)>,
}

/// Consecutive frames of one track that lie together in the file.
pub(super) struct Chunk {
    pub(super) audio: bool,
    /// Number of frames, video or AAC.
    pub(super) frames: u32,
    pub(super) bytes: u64,
}
