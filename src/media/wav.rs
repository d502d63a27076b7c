//! Audio alone to WAV files: 16-bit PCM (docs/model/pipelines.md 2.6).

use std::io::Cursor;

use super::{MediaError, SAMPLE_RATE};

/// A WAV file of stereo audio in -1..1 at [`SAMPLE_RATE`]; what is beyond is clipped.
///
/// # Errors
/// Channels of different lengths, or more samples than such a file can have.
pub fn wav(left: &[f32], right: &[f32]) -> Result<Vec<u8>, MediaError> {
    if left.len() != right.len() {
        return Err(MediaError::Channels { left: left.len(), right: right.len() });
    }
    let format = hound::WavSpec {
        channels: 2,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let failed = |e: hound::Error| MediaError::Wav(e.to_string());
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, format).map_err(failed)?;
    for sample in left.iter().zip(right).flat_map(|(left, right)| [left, right]) {
        writer.write_sample((sample.clamp(-1.0, 1.0) * 32767.0) as i16).map_err(failed)?;
    }
    writer.finalize().map_err(failed)?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back_clipped() {
        let file = wav(&[0.0, 0.5, 2.0], &[-1.0, -3.0, 0.25]).unwrap();
        let mut reader = hound::WavReader::new(Cursor::new(file)).unwrap();
        let format = reader.spec();
        assert_eq!((format.channels, format.sample_rate, format.bits_per_sample), (2, 48_000, 16));
        let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
        assert_eq!(samples, [0, -32767, 16383, -32767, 32767, 8191]);
        assert!(matches!(wav(&[0.0], &[]), Err(MediaError::Channels { .. })));
    }
}
