//! MP4 files read back, by a parser and by decoders that share no code with the writer.

use std::path::Path;

use openh264::decoder::{DecodedYUV, Decoder};
use openh264::formats::YUVSource;
use re_mp4::{Mp4, StsdBoxContent, Track, TrackKind};

/// A parsed file. Whatever of it is not as the writer makes it ends the test that asks.
pub struct Read {
    /// Its boxes.
    pub mp4: Mp4,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Read {
    /// Parses a file.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn file(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        Self { mp4: Mp4::read_bytes(&bytes).unwrap(), bytes }
    }

    fn track(&self, kind: TrackKind) -> &Track {
        self.mp4.tracks().values().find(|t| t.kind == Some(kind)).unwrap()
    }

    /// The video track.
    ///
    /// # Panics
    /// If there is none.
    pub fn video(&self) -> &Track {
        self.track(TrackKind::Video)
    }

    /// Whether these bytes stand somewhere in the file.
    pub fn contains(&self, part: &[u8]) -> bool {
        self.bytes.windows(part.len()).any(|w| w == part)
    }

    /// The one SPS and the one PPS of the video track.
    ///
    /// # Panics
    /// If there are others, or it is no H.264.
    pub fn parameter_sets(&self) -> (Vec<u8>, Vec<u8>) {
        let StsdBoxContent::Avc1(entry) = &self.video().trak(&self.mp4).mdia.minf.stbl.stsd.contents else {
            panic!("not avc1");
        };
        let (sps, pps) = (&entry.avcc.sequence_parameter_sets, &entry.avcc.picture_parameter_sets);
        assert_eq!((sps.len(), pps.len(), entry.avcc.length_size_minus_one & 3), (1, 1, 3));
        (sps[0].bytes.clone(), pps[0].bytes.clone())
    }

    /// The planes of all frames, decoded: luma, blue and red difference, 4:2:0.
    ///
    /// # Panics
    /// If the stream is damaged.
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
    /// The audio track.
    ///
    /// # Panics
    /// If there is none.
    pub fn audio(&self) -> &Track {
        self.track(TrackKind::Audio)
    }

    /// Object type, index of the sampling frequency and channels.
    ///
    /// # Panics
    /// If it is no AAC.
    pub fn audio_config(&self) -> (u8, u8, u8) {
        let StsdBoxContent::Mp4a(entry) = &self.audio().trak(&self.mp4).mdia.minf.stbl.stsd.contents else {
            panic!("not mp4a");
        };
        let config = &entry.esds.as_ref().unwrap().es_desc.dec_config.dec_specific;
        (config.profile, config.freq_index, config.chan_conf)
    }

    /// All audio, decoded and interleaved, with the delays of encoder and decoder before it.
    ///
    /// # Panics
    /// If the stream is damaged.
    pub fn decoded_audio(&self) -> Vec<i16> {
        self.decode_audio().0
    }

    /// Left and right, -1 to 1, from where the edit list says that they begin.
    ///
    /// # Panics
    /// If the stream is damaged.
    pub fn sound(&self) -> [Vec<f32>; 2] {
        let edits = self.audio().trak(&self.mp4).edts.as_ref().and_then(|edits| edits.elst.as_ref());
        let before = edits.and_then(|edits| edits.entries.first()).map_or(0, |edit| edit.media_time as usize);
        let (samples, delay) = self.decode_audio();
        let side = |side: usize| samples.iter().skip(2 * (before + delay) + side).step_by(2);
        [0, 1].map(|number| side(number).map(|x| f32::from(*x) / 32768.0).collect())
    }

    /// All audio as the decoder gives it, and the samples of a side by which it comes late.
    fn decode_audio(&self) -> (Vec<i16>, usize) {
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
        (audio, decoder.stream_info().outputDelay as usize)
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
