//! What can go wrong between finished frames and a file.

/// Why there is no finished clip.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The frame size cannot be encoded.
    #[error(
        "a {width}x{height} clip cannot be written as H.264 4:2:0: sides must be even, 16 or more, and fit 3840x2160 or 2160x3840; choose another size (multiples of 32 are what the model produces)"
    )]
    Size {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// The frame rate cannot be encoded.
    #[error(
        "{0} frames per second cannot be written: wanted a number from 1 to 60; choose a rate in that range"
    )]
    FrameRate(f64),
    /// There was no frame to write.
    #[error("a clip without frames cannot be written: wanted 1 frame or more; push frames before finishing")]
    NoFrames,
    /// One frame's planes have the wrong length.
    #[error(
        "frame {frame} has {got} bytes, wanted height x width x 3/2 = {wanted}; pass the planes of one frame of the \
         size the writer was created with"
    )]
    FrameLength {
        /// Index of the frame, from 0.
        frame: usize,
        /// Bytes passed.
        got: usize,
        /// Bytes wanted.
        wanted: usize,
    },
    /// The two channels of a piece of audio differ in length.
    #[error("the left channel has {left} samples and the right one {right}: wanted the same number in both")]
    Channels {
        /// Samples in the left channel.
        left: usize,
        /// Samples in the right channel.
        right: usize,
    },
    /// A metadata key is empty.
    #[error("a metadata entry has an empty key (its value starts \"{0}\"): name it, for example \"comment\"")]
    EmptyKey(String),
    /// The video encoder failed.
    #[error(
        "the H.264 encoder failed at frame {frame}: {reason}; check the size and memory, or shorten the clip"
    )]
    Video {
        /// Index of the frame, from 0.
        frame: usize,
        /// What the encoder said, or what was missing in its output.
        reason: String,
    },
    /// The audio encoder failed.
    #[error("the AAC encoder failed: {0}; write the clip without audio to keep the video")]
    Audio(String),
    /// Audio alone could not be written.
    #[error("the WAV file could not be made: {0}; shorten it")]
    Wav(String),
    /// This build has no audio encoder.
    #[error("this build cannot write audio: it was made without the feature aac-fdk; rebuild with it")]
    NoAudioEncoder,
    /// The encoded clip cannot be kept.
    #[error("there is no room for the encoded clip: {0}\n  help  make room on the disk of the output")]
    Store(#[from] std::io::Error),
    /// The movie does not fit the tables of an MP4 file.
    #[error("the MP4 tables could not be written: {0}; shorten the clip or its metadata")]
    Tables(String),
}
