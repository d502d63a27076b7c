//! Reads files back.

use std::path::Path;

use openh264::decoder::{DecodedYUV, Decoder};
use openh264::formats::YUVSource;
use re_mp4::{Mp4, StsdBoxContent, Track, TrackKind};

/// A parsed file.
pub struct Read {
    pub mp4: Mp4,
    pub bytes: Vec<u8>,
}

impl Read {
    pub fn file(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        Self { mp4: Mp4::read_bytes(&bytes).unwrap(), bytes }
    }

    fn track(&self, kind: TrackKind) -> &Track {
        self.mp4.tracks().values().find(|t| t.kind == Some(kind)).unwrap()
    }

    pub fn video(&self) -> &Track {
        self.track(TrackKind::Video)
    }

    pub fn contains(&self, part: &[u8]) -> bool {
        self.bytes.windows(part.len()).any(|w| w == part)
    }

    /// The one SPS and the one PPS of the video track.
    pub fn parameter_sets(&self) -> (Vec<u8>, Vec<u8>) {
        let StsdBoxContent::Avc1(entry) = &self.video().trak(&self.mp4).mdia.minf.stbl.stsd.contents else {
            panic!("not avc1");
        };
        let (sps, pps) = (&entry.avcc.sequence_parameter_sets, &entry.avcc.picture_parameter_sets);
        assert_eq!((sps.len(), pps.len(), entry.avcc.length_size_minus_one & 3), (1, 1, 3));
        (sps[0].bytes.clone(), pps[0].bytes.clone())
    }

    /// The planes of all frames, decoded.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        let (sps, pps) = self.parameter_sets();
        let mut decoder = Decoder::new().unwrap();
        let mut frames = Vec::new();
        for (i, sample) in self.video().samples.iter().enumerate() {
            let mut stream = Vec::new();
            let mut push = |unit: &[u8]| {
                stream.extend([0, 0, 0, 1]);
                stream.extend_from_slice(unit);
            };
            if i == 0 {
                push(&sps);
                push(&pps);
            }
            let mut rest = &self.bytes[sample.byte_range()];
            while let Some((length, after)) = rest.split_first_chunk::<4>() {
                let (unit, after) = after.split_at(u32::from_be_bytes(*length) as usize);
                assert!(!matches!(unit[0] & 0x1f, 7..=9), "parameter sets and delimiters do not belong here");
                push(unit);
                rest = after;
            }
            assert!(rest.is_empty());
            frames.extend(decoder.decode(&stream).unwrap().map(copy));
        }
        frames.extend(decoder.flush_remaining().unwrap().into_iter().map(copy));
        frames
    }
}

#[cfg(feature = "aac-fdk")]
impl Read {
    pub fn audio(&self) -> &Track {
        self.track(TrackKind::Audio)
    }

    /// Object type, index of the sampling frequency and channels.
    pub fn audio_config(&self) -> (u8, u8, u8) {
        let StsdBoxContent::Mp4a(entry) = &self.audio().trak(&self.mp4).mdia.minf.stbl.stsd.contents else {
            panic!("not mp4a");
        };
        let config = &entry.esds.as_ref().unwrap().es_desc.dec_config.dec_specific;
        (config.profile, config.freq_index, config.chan_conf)
    }

    /// All audio, decoded and interleaved.
    pub fn decoded_audio(&self) -> Vec<i16> {
        let (profile, frequency, channels) = self.audio_config();
        let config = u16::from(profile) << 11 | u16::from(frequency) << 7 | u16::from(channels) << 3;
        let mut decoder = fdk_aac::dec::Decoder::new(fdk_aac::dec::Transport::Raw);
        decoder.config_raw(&config.to_be_bytes()).unwrap();
        let mut audio = Vec::new();
        for sample in &self.audio().samples {
            let packet = &self.bytes[sample.byte_range()];
            assert_eq!(decoder.fill(packet).unwrap(), packet.len());
            let mut frame = [0; 2048];
            decoder.decode_frame(&mut frame).unwrap();
            audio.extend(frame);
        }
        audio
    }
}

fn copy(decoded: DecodedYUV) -> Vec<u8> {
    let (width, height) = decoded.dimensions();
    let (sy, su, sv) = decoded.strides();
    let plane = |bytes: &[u8], stride: usize, width: usize, height: usize| {
        bytes.chunks(stride).take(height).flat_map(|row| row[..width].to_vec()).collect::<Vec<u8>>()
    };
    let chroma = |bytes, stride| plane(bytes, stride, width / 2, height / 2);
    [plane(decoded.y(), sy, width, height), chroma(decoded.u(), su), chroma(decoded.v(), sv)].concat()
}

/// Full range or not, and primaries, transfer and matrix, from the VUI of a Baseline SPS (ITU-T H.264, 7.3.2.1.1
/// and E.1.1).
pub fn bitstream_colour(sps: &[u8]) -> (bool, [u32; 3]) {
    let mut bits = Bits::of(sps);
    bits.take(8); // NAL header
    assert_eq!(bits.take(8), 66, "Baseline");
    bits.take(16); // constraints, level
    bits.golomb(); // id
    bits.golomb(); // bits of frame_num
    if bits.golomb() == 0 {
        bits.golomb(); // bits of the picture order count
    }
    bits.golomb(); // reference frames
    bits.take(1); // gaps allowed
    bits.golomb(); // width
    bits.golomb(); // height
    if bits.take(1) == 0 {
        bits.take(1); // fields
    }
    bits.take(1); // direct inference
    if bits.take(1) == 1 {
        (0..4).for_each(|_| _ = bits.golomb()); // cropping
    }
    assert_eq!(bits.take(1), 1, "VUI");
    assert_eq!(bits.take(2), 0, "neither aspect ratio nor overscan");
    assert_eq!(bits.take(1), 1, "video signal type");
    bits.take(3); // format
    let full = bits.take(1) == 1;
    assert_eq!(bits.take(1), 1, "colour description");
    (full, [bits.take(8), bits.take(8), bits.take(8)])
}

/// Bits of a NAL unit, most significant first.
struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    fn of(unit: &[u8]) -> Self {
        let mut bytes = Vec::new();
        for &byte in unit {
            // A 3 after two zeros only keeps the stream free of start codes.
            if !(byte == 3 && bytes.ends_with(&[0, 0])) {
                bytes.push(byte);
            }
        }
        Self { bytes, at: 0 }
    }

    fn take(&mut self, count: usize) -> u32 {
        (0..count).fold(0, |value, _| {
            let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1;
            self.at += 1;
            value << 1 | u32::from(bit)
        })
    }

    fn golomb(&mut self) -> u32 {
        let mut zeros = 0;
        while self.take(1) == 0 {
            zeros += 1;
        }
        (1 << zeros) - 1 + self.take(zeros)
    }
}
