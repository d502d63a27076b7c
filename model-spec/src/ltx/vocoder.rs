//! The vocoder with bandwidth extension (docs/model/audio.md 7, 9). All of it is computed in f32.

use std::f64::consts::PI;

use super::config::Vocoder;
use super::generator::generator;
use crate::lang::{Builder, Dtype, Op, Source, Value};

/// Log-mel energies are taken of no less than this.
const MEL_FLOOR: f32 = 1e-5;

/// The skip's sinc reaches this many zero crossings to each side and ends at this share of the band.
const SINC_HALF_WIDTH: f64 = 6.0;
const SINC_ROLLOFF: f64 = 0.99;

/// The wave [samples, 2] at the output rate, of a log-mel spectrogram `mel` [frames, mel bins, 2]. Taps
/// `waveform16k`, `bwe_residual`, `skip48k`, each [2, samples].
pub fn vocode(b: &Builder, cfg: &Vocoder, mel: Value) -> Value {
    b.in_dtype(Dtype::F32, || {
        let mel = side_by_side(b, b.permute(b.round(mel), &[0, 2, 1]));
        let base = b.component(Source::Checkpoint, "vocoder.vocoder", || generator(b, &cfg.base, mel));
        let channels = b.tap("waveform16k", b.permute(base, &[1, 0]));
        let mel = b.component(Source::Checkpoint, "vocoder.mel_stft", || log_mel(b, cfg, channels));
        let mel = side_by_side(b, b.permute(mel, &[1, 0, 2]));
        let residual =
            b.component(Source::Checkpoint, "vocoder.bwe_generator", || generator(b, &cfg.bwe, mel));
        let skip = resample(b, cfg, base);
        b.tap("bwe_residual", b.permute(residual, &[1, 0]));
        b.tap("skip48k", b.permute(skip, &[1, 0]));
        b.clamp(b.add(residual, skip), -1.0, 1.0)
    })
}

/// `x` [frames, 2, mel bins] as [frames, left bins then right bins].
fn side_by_side(b: &Builder, x: Value) -> Value {
    b.reshape(x, &[b.dim(x, 0), b.dim(x, 1) * b.dim(x, 2)])
}

/// The log-mel spectrogram [2, frames, mel bins] of `wave` [2, samples]: a short-time Fourier transform that looks
/// back only, written as a convolution whose outputs are the real parts, then the imaginary parts.
fn log_mel(b: &Builder, cfg: &Vocoder, wave: Value) -> Value {
    let bins = cfg.n_fft / 2 + 1;
    let basis = b.weight("stft_fn.forward_basis", &[2 * bins, 1, cfg.n_fft]);
    let basis = b.reshape(basis, &[2 * bins, 1, cfg.n_fft, 1]);
    let wave = b.reshape(wave, &[b.dim(wave, 0), b.dim(wave, 1), 1]);
    let pads = vec![0, 0, cfg.n_fft - cfg.hop, 0];
    let spectrum = b.op(Op::Conv { pads, replicate: false, stride: cfg.hop, dilation: 1 }, &[wave, basis]);
    let (re, im) = (b.slice(spectrum, 2, 0, bins), b.slice(spectrum, 2, bins, bins));
    let magnitude = b.sqrt(b.add(b.mul(re, re), b.mul(im, im)));
    let mel = b.op(Op::Linear {}, &[magnitude, b.weight("mel_basis", &[cfg.mel_bins, bins])]);
    b.log(b.clamp(mel, MEL_FLOOR, f32::MAX))
}

/// `wave` [samples, 2] at the output rate, by windowed-sinc interpolation.
fn resample(b: &Builder, cfg: &Vocoder, wave: Value) -> Value {
    let ratio = cfg.output_rate / cfg.input_rate;
    let (pad, taps) = sinc_filter(ratio);
    let (crop_left, crop_right) = (2 * pad * ratio, taps.len() - ratio);
    let filter = b.constant("sinc", &[taps.len()], taps);
    b.op(Op::FilterUp { ratio, pad, crop_left, crop_right }, &[wave, filter])
}

/// The input samples that the filter reaches to each side, and its taps.
fn sinc_filter(ratio: usize) -> (usize, Vec<f32>) {
    let reach = libm::ceil(SINC_HALF_WIDTH / SINC_ROLLOFF);
    let tap = |n: usize| {
        let t = (n as f64 / ratio as f64 - reach) * SINC_ROLLOFF;
        let edge = t.clamp(-SINC_HALF_WIDTH, SINC_HALF_WIDTH);
        let window = libm::pow(libm::cos(edge * PI / (2.0 * SINC_HALF_WIDTH)), 2.0);
        let sinc = if t == 0.0 { 1.0 } else { libm::sin(PI * t) / (PI * t) };
        (sinc * window * SINC_ROLLOFF / ratio as f64) as f32
    };
    let reach_samples = reach as usize;
    (reach_samples, (0..=2 * reach_samples * ratio).map(tap).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sinc_is_symmetric_and_keeps_the_level() {
        let (reach, taps) = sinc_filter(3);
        assert_eq!((reach, taps.len()), (7, 43));
        assert!((0..43).all(|n| (taps[n] - taps[42 - n]).abs() < 1e-8));
        assert_eq!(taps[21], 0.33);
        assert!(taps[0].abs() < 1e-9);
        for phase in 0..3 {
            let gain: f32 = taps.iter().skip(phase).step_by(3).sum::<f32>() * 3.0;
            assert!((gain - 1.0).abs() < 1e-3, "phase {phase}: {gain}");
        }
    }
}
