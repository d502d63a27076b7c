//! Stereo AAC-LC by FDK-AAC.

use fdk_aac::enc::{AudioObjectType, BitRate, ChannelMode, Encoder, EncoderParams, Transport};

use super::MediaError;
use super::movie::AudioTrack;
use super::store::Store;

/// The most bits per second for both channels: transparent for most audio, small next to the video.
const BIT_RATE: u32 = 192_000;
/// The most bits per sample and second; low rates cannot hold more.
const BITS_OF_SAMPLE: u32 = 8;

/// Takes planar samples in pieces, gives a track of AAC frames.
pub(super) struct AudioEncoder {
    encoder: Encoder,
    /// Interleaved 16-bit samples that do not fill a frame yet.
    pending: Vec<i16>,
    packet: Vec<u8>,
    track: AudioTrack,
}

impl AudioEncoder {
    /// For so many samples a second; its frames are kept in `store`.
    pub(super) fn new(rate: u32, store: Store) -> Result<Self, MediaError> {
        let bit_rate = BIT_RATE.min(BITS_OF_SAMPLE * rate);
        let params = EncoderParams {
            bit_rate: BitRate::Cbr(bit_rate),
            sample_rate: rate,
            transport: Transport::Raw,
            channels: ChannelMode::Stereo,
            audio_object_type: AudioObjectType::Mpeg4LowComplexity,
        };
        let encoder = Encoder::new(params).map_err(failed)?;
        let info = encoder.info().map_err(failed)?;
        let config = info.confBuf.get(..info.confSize as usize).unwrap_or_default().to_vec();
        if config.is_empty() || info.frameLength == 0 {
            return Err(MediaError::Audio("it gave no configuration".into()));
        }
        let track = AudioTrack {
            config,
            frame_length: info.frameLength,
            priming: info.nDelay,
            samples: 0,
            rate,
            bit_rate,
            sizes: Vec::new(),
            data: store,
        };
        Ok(Self { encoder, pending: Vec::new(), packet: vec![0; info.maxOutBufBytes as usize], track })
    }

    /// Appends samples in -1..1, the same number in both channels. They are clipped, multiplied by 32767 and
    /// truncated to 16 bit.
    pub(super) fn push(&mut self, left: &[f32], right: &[f32]) -> Result<(), MediaError> {
        self.track.samples += left.len() as u64;
        for (&l, &r) in left.iter().zip(right) {
            self.pending.extend([to_i16(l), to_i16(r)]);
        }
        let frame = 2 * self.track.frame_length as usize;
        let whole = self.pending.len() / frame * frame;
        let rest = self.pending.split_off(whole);
        let samples = std::mem::replace(&mut self.pending, rest);
        self.encode(&samples)
    }

    /// The finished track. Silence is appended until the last sample has left the encoder, which lags behind its
    /// input.
    pub(super) fn finish(mut self) -> Result<AudioTrack, MediaError> {
        let frame = 2 * self.track.frame_length as usize;
        let wanted = (self.track.samples + u64::from(self.track.priming))
            .div_ceil(u64::from(self.track.frame_length)) as usize;
        // The encoder answers every frame, or falls behind by a few frames at the start at most.
        for _ in 0..wanted + 8 {
            if self.track.sizes.len() >= wanted {
                break;
            }
            let mut samples = std::mem::take(&mut self.pending);
            samples.resize(frame, 0);
            self.encode(&samples)?;
        }
        if self.track.sizes.len() < wanted {
            let got = self.track.sizes.len();
            return Err(MediaError::Audio(format!("it gave {got} frames of audio, wanted {wanted}")));
        }
        Ok(self.track)
    }

    fn encode(&mut self, mut samples: &[i16]) -> Result<(), MediaError> {
        while !samples.is_empty() {
            let done = self.encoder.encode(samples, &mut self.packet).map_err(failed)?;
            if done.output_size > 0 {
                self.track.sizes.push(done.output_size as u32);
                self.track.data.append(&self.packet[..done.output_size])?;
            } else if done.input_consumed == 0 {
                return Err(MediaError::Audio("it neither took samples nor gave any audio".into()));
            }
            samples = &samples[done.input_consumed..];
        }
        Ok(())
    }
}

fn failed(e: fdk_aac::enc::EncoderError) -> MediaError {
    MediaError::Audio(e.to_string())
}

/// Clips to -1..=1, scales by 32767 and truncates towards 0; NaN becomes 0.
fn to_i16(sample: f32) -> i16 {
    (sample.clamp(-1.0, 1.0) * 32767.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_clipped_scaled_and_truncated() {
        let cases = [
            (0.0, 0),
            (1.0, 32767),
            (-1.0, -32767),
            (2.0, 32767),
            (-3.0, -32767),
            (0.5, 16383),
            (-0.5, -16383),
        ];
        for (sample, wanted) in cases {
            assert_eq!(to_i16(sample), wanted, "{sample}");
        }
        assert_eq!(to_i16(f32::NAN), 0);
    }

    /// The number of packets covers every sample after the priming, however the samples were cut into pieces.
    #[test]
    fn packets_cover_all_samples() {
        for (samples, piece) in [(1, 1), (1023, 100), (1024, 1024), (48_000, 777), (48_000, 48_000)] {
            let mut encoder = AudioEncoder::new(48_000, Store::new(None)).unwrap();
            let wave: Vec<f32> = (0..samples).map(|i| (i as f32 * 0.05).sin() * 0.5).collect();
            for chunk in wave.chunks(piece) {
                encoder.push(chunk, chunk).unwrap();
            }
            let track = encoder.finish().unwrap();
            assert_eq!(track.samples, samples as u64);
            let covered = track.sizes.len() as u64 * u64::from(track.frame_length);
            let needed = track.samples + u64::from(track.priming);
            assert!(
                covered >= needed && covered < needed + u64::from(track.frame_length),
                "{covered} {needed}"
            );
            assert_eq!(track.data.bytes(), track.sizes.iter().map(|size| u64::from(*size)).sum::<u64>());
            assert_eq!(track.config, [0x11, 0x90], "AAC-LC, 48 kHz, stereo");
        }
    }

    #[test]
    fn pieces_do_not_change_the_bytes() {
        let wave: Vec<f32> = (0..10_000).map(|i| (i as f32 * 0.03).sin() * 0.7).collect();
        let encode = |piece: usize| {
            let mut encoder = AudioEncoder::new(48_000, Store::new(None)).unwrap();
            wave.chunks(piece).for_each(|chunk| encoder.push(chunk, chunk).unwrap());
            let (track, mut bytes) = (encoder.finish().unwrap(), Vec::new());
            track.data.copy(0, track.data.bytes(), &mut bytes).unwrap();
            bytes
        };
        assert_eq!(encode(10_000), encode(313));
    }
}
