//! H.264 by OpenH264.

use std::borrow::Cow;
use std::io;

use openh264::OpenH264API;
use openh264::Timestamp;
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate as EncoderRate, FrameType, IntraFramePeriod,
    RateControlMode, VuiConfig,
};
use openh264::formats::YUVSlices;
use zoetrope_model_spec::limits::written_size;

use super::movie::VideoTrack;
use super::quiet::quiet;
use super::store::Store;
use super::{FrameRate, MediaError, video_bit_rate};

/// Seconds between frames at which a player may start.
const KEY_FRAME_SECONDS: f64 = 2.0;

/// The bit rate is kept on average only, and frames of noise take more.
const NOISE: f64 = 2.0;
/// Bytes of audio in a second.
const AUDIO_BYTES: f64 = 24_000.0;
/// Bytes of tables for a frame.
const TABLE_BYTES: u64 = 32;
/// Bytes of a file with nothing in it.
const HEAD_BYTES: u64 = 10_000;

// NAL unit types, ITU-T H.264 table 7-1.
const SEQUENCE_PARAMETERS: u8 = 7;
const PICTURE_PARAMETERS: u8 = 8;
const DELIMITER: u8 = 9;

/// Takes frames, gives a track of H.264 samples.
pub(super) struct VideoEncoder {
    encoder: Encoder,
    /// Of the frames that come.
    given: (usize, usize),
    /// Of those that are coded: the middle of the former.
    coded: (usize, usize),
    track: VideoTrack,
}

/// The size in which frames are coded. Refuses what the encoder or 4:2:0 cannot take.
pub(super) fn coded_size(width: usize, height: usize) -> Result<(usize, usize), MediaError> {
    let even = width.is_multiple_of(2) && height.is_multiple_of(2);
    let fits = written_size(width, height).filter(|_| even && width.min(height) >= 16);
    fits.ok_or(MediaError::Size { width, height })
}

impl VideoEncoder {
    pub(super) fn new(width: usize, height: usize, rate: FrameRate) -> Result<Self, MediaError> {
        let given = (width, height);
        let coded = coded_size(width, height)?;
        let (width, height) = coded;
        let config = EncoderConfig::new()
            .bitrate(BitRate::from_bps(video_bit_rate(width, height, rate)))
            .max_frame_rate(EncoderRate::from_hz(rate.fps() as f32))
            .rate_control_mode(RateControlMode::Quality)
            // Every frame must come out: a clip has a fixed number of them.
            .skip_frames(false)
            .complexity(Complexity::High)
            // Made for still cameras: it repeats old blocks where it sees little change, and colours smear.
            .background_detection(false)
            .intra_frame_period(IntraFramePeriod::from_num_frames(
                (rate.fps() * KEY_FRAME_SECONDS).round() as u32
            ))
            .vui(VuiConfig::bt709())
            // The number of threads changes the bytes.
            .num_threads(1);
        let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config)
            .map_err(|e| MediaError::Video { frame: 0, reason: e.to_string() })?;
        quiet(&mut encoder);
        let track = VideoTrack {
            width: width as u16,
            height: height as u16,
            rate,
            sequence_parameters: Vec::new(),
            picture_parameters: Vec::new(),
            key_frames: Vec::new(),
            sizes: Vec::new(),
            data: Store::new(None),
        };
        Ok(Self { encoder, given, coded, track })
    }

    /// Keeps frames elsewhere; none was pushed yet.
    pub(super) fn keep_in(&mut self, store: Store) {
        self.track.data = store;
    }

    pub(super) fn size(&self) -> (usize, usize) {
        self.coded
    }

    /// See [`Mp4Writer::likely_bytes`](super::Mp4Writer::likely_bytes).
    pub(super) fn likely_bytes(&self, frames: usize) -> u64 {
        let (rate, (width, height)) = (self.track.rate, self.coded);
        let seconds = frames as f64 / rate.fps();
        let video = f64::from(video_bit_rate(width, height, rate)) * seconds / 8.0;
        (video * NOISE) as u64 + (seconds * AUDIO_BYTES) as u64 + frames as u64 * TABLE_BYTES + HEAD_BYTES
    }

    /// Encodes one frame: its planes of luma, blue and red difference.
    pub(super) fn push(&mut self, planes: &[u8]) -> Result<(), MediaError> {
        let frame = self.track.sizes.len();
        let (width, height) = self.given;
        let (luma, chroma) = (width * height, width * height / 4);
        if planes.len() != luma + 2 * chroma {
            return Err(MediaError::FrameLength { frame, got: planes.len(), wanted: luma + 2 * chroma });
        }
        let (luma, differences) = planes.split_at(luma);
        let (blue, red) = differences.split_at(chroma);
        let luma = Plane { samples: luma, width, height };
        let [blue, red] = [blue, red].map(|samples| Plane { samples, width: width / 2, height: height / 2 });
        let (width, height) = self.coded;
        let cut = (
            luma.middle(width, height),
            blue.middle(width / 2, height / 2),
            red.middle(width / 2, height / 2),
        );
        let source = YUVSlices::new((&cut.0, &cut.1, &cut.2), (width, height), (width, width / 2, width / 2));
        let time = Timestamp::from_millis(self.track.rate.time(frame as u64, 1000));
        let failed = |reason: String| MediaError::Video { frame, reason };
        let bits = self.encoder.encode_at(&source, time).map_err(|e| failed(e.to_string()))?;
        let key = matches!(bits.frame_type(), FrameType::IDR);
        let start = self.track.data.bytes();
        for layer in (0..bits.num_layers()).filter_map(|i| bits.layer(i)) {
            for unit in (0..layer.nal_count()).filter_map(|i| layer.nal_unit(i)) {
                self.track.push_unit(without_start_code(unit))?;
            }
        }
        let size = self.track.data.bytes() - start;
        if size == 0 {
            return Err(failed("it gave no data".into()));
        }
        if frame == 0
            && (!key || self.track.sequence_parameters.is_empty() || self.track.picture_parameters.is_empty())
        {
            return Err(failed("the first frame is no key frame with parameter sets".into()));
        }
        self.track.sizes.push(size as u32);
        if key {
            self.track.key_frames.push(frame as u32);
        }
        Ok(())
    }

    /// The finished track; without frames if none were pushed.
    pub(super) fn finish(self) -> VideoTrack {
        self.track
    }
}

impl VideoTrack {
    /// Appends one NAL unit, without start code, to the current sample. Parameter sets go to the track's header,
    /// as `avc1` tracks demand, and delimiters are dropped: sample sizes already delimit.
    fn push_unit(&mut self, unit: &[u8]) -> io::Result<()> {
        match unit.first().map(|b| b & 0x1f) {
            None | Some(DELIMITER) => {}
            Some(SEQUENCE_PARAMETERS) => self.sequence_parameters = unit.into(),
            Some(PICTURE_PARAMETERS) => self.picture_parameters = unit.into(),
            Some(_) => {
                self.data.append(&(unit.len() as u32).to_be_bytes())?;
                self.data.append(unit)?;
            }
        }
        Ok(())
    }
}

/// Samples of one kind, [height, width].
struct Plane<'a> {
    samples: &'a [u8],
    width: usize,
    height: usize,
}

impl<'a> Plane<'a> {
    /// Its middle, of `width` x `height` samples; what is cut off is a multiple of 4 rows and columns of luma.
    fn middle(&self, width: usize, height: usize) -> Cow<'a, [u8]> {
        if (width, height) == (self.width, self.height) {
            return Cow::Borrowed(self.samples);
        }
        let (left, top) = ((self.width - width) / 2, (self.height - height) / 2);
        let rows = self.samples.chunks_exact(self.width).skip(top).take(height);
        rows.flat_map(|row| &row[left..left + width]).copied().collect()
    }
}

/// A NAL unit without the start code before it.
fn without_start_code(unit: &[u8]) -> &[u8] {
    unit.strip_prefix(&[0, 0, 0, 1]).or_else(|| unit.strip_prefix(&[0, 0, 1])).unwrap_or(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (width, height) in [(1920, 1088), (3840, 2160), (2160, 3840), (16, 16), (768, 512)] {
            assert_eq!(coded_size(width, height).unwrap(), (width, height));
        }
        for (width, height) in
            [(0, 0), (31, 32), (32, 33), (14, 32), (4096, 2160), (2208, 3840), (2400, 2400)]
        {
            assert!(coded_size(width, height).is_err(), "{width}x{height}");
        }
    }

    #[test]
    fn the_middle_is_kept() {
        let samples: Vec<u8> = (0..24).collect();
        let plane = Plane { samples: &samples, width: 4, height: 6 };
        assert_eq!(plane.middle(4, 6), &samples[..]);
        assert_eq!(plane.middle(4, 2), &samples[8..16]);
        assert_eq!(*plane.middle(2, 2), [9, 10, 13, 14]);
    }

    #[test]
    fn start_codes() {
        assert_eq!(without_start_code(&[0, 0, 0, 1, 0x67, 0, 0]), [0x67, 0, 0]);
        assert_eq!(without_start_code(&[0, 0, 1, 0x68]), [0x68]);
        assert_eq!(without_start_code(&[0x41, 0, 0, 1]), [0x41, 0, 0, 1]);
    }

    #[test]
    fn key_frames_come_every_two_seconds() {
        let rate = FrameRate::new(5.0).unwrap();
        let mut encoder = VideoEncoder::new(32, 32, rate).unwrap();
        for _ in 0..21 {
            encoder.push(&[125; 32 * 32 / 2 * 3]).unwrap();
        }
        let track = encoder.finish();
        assert_eq!(track.key_frames, [0, 10, 20]);
        assert_eq!(track.sizes.len(), 21);
    }
}
