//! Weights that nobody learnt: filters and transforms of the vocoder with their designed values
//! (docs/model/audio.md 3, 8 and 9).

use std::f64::consts::PI;

use libm::{cos, pow, sin};

use crate::mel::triangles;

/// The anti-aliasing filter: a sinc with its cutoff at a quarter, in a Kaiser window, with sum 1.
pub fn kaiser_sinc(taps: usize) -> Vec<f64> {
    const HALF_WIDTH: f64 = 0.3;
    let attenuation = 2.285 * (taps as f64 / 2.0 - 1.0) * PI * (4.0 * HALF_WIDTH) + 7.95;
    let beta = match attenuation {
        a if a > 50.0 => 0.1102 * (a - 8.7),
        a if a >= 21.0 => 0.5842 * pow(a - 21.0, 0.4) + 0.07886 * (a - 21.0),
        _ => 0.0,
    };
    let middle = (taps as f64 - 1.0) / 2.0;
    let tap = |n: usize| {
        let t = n as f64 - middle;
        let window = bessel_i0(beta * (1.0 - (t / middle) * (t / middle)).max(0.0).sqrt()) / bessel_i0(beta);
        0.5 * window * sinc(0.5 * t)
    };
    let taps: Vec<f64> = (0..taps).map(tap).collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| tap / sum).collect()
}

fn sinc(t: f64) -> f64 {
    if t == 0.0 { 1.0 } else { sin(PI * t) / (PI * t) }
}

/// The modified Bessel function of order 0, by its series; arguments here are below 5.
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)) * (x / 2.0 / f64::from(k));
        sum += term;
    }
    sum
}

/// The Fourier transform of a Hann window's worth of samples: rows of real parts, then rows of imaginary parts.
pub fn stft_basis(window: usize) -> Vec<f64> {
    let angle = |n: usize| 2.0 * PI * (n % window) as f64 / window as f64;
    let hann = |n: usize| 0.5 - 0.5 * cos(angle(n));
    let bins = window / 2 + 1;
    let row = |k: usize, wave: fn(f64) -> f64| (0..window).map(move |n| wave(angle(k * n)) * hann(n));
    let real = (0..bins).flat_map(|k| row(k, cos));
    let imaginary = (0..bins).flat_map(|k| row(k, |x| -sin(x)));
    real.chain(imaginary).collect()
}

/// The blur of the x1.5 upscaler, 5 by 5, with sum 1 (docs/model/upsampler.md 3.2).
pub fn blur() -> Vec<f64> {
    const TAPS: [f64; 5] = [1.0, 4.0, 6.0, 4.0, 1.0];
    TAPS.iter().flat_map(|y| TAPS.map(|x| x * y / 256.0)).collect()
}

/// Triangles on the mel scale over the bins of a transform of 16 kHz audio: a row of `bins` for each.
pub fn mel_basis(mels: usize, bins: usize) -> Vec<f64> {
    let mut basis = vec![0.0; mels * bins];
    for (row, (first, weights)) in basis.chunks_exact_mut(bins).zip(triangles(mels, bins, 8000.0)) {
        row[first..][..weights.len()].copy_from_slice(&weights);
    }
    basis
}

#[cfg(test)]
mod tests {
    use super::{kaiser_sinc, mel_basis, stft_basis};
    use half::bf16;

    #[test]
    fn the_filter_is_the_documented_one() {
        let wanted = [0.002028965, 0.009389466, -0.025543462, -0.057657383, 0.128572583, 0.443209797];
        let filter = kaiser_sinc(12);
        for (n, wanted) in wanted.into_iter().enumerate() {
            assert!((filter[n] - wanted).abs() < 1e-7, "{n}: {} {wanted}", filter[n]);
            assert!((filter[11 - n] - wanted).abs() < 1e-7);
        }
    }

    #[test]
    fn the_mel_basis_is_the_official_one() {
        // Rows 0 and 1 as the official code makes and stores them.
        let basis: Vec<f32> = mel_basis(64, 257).iter().map(|&v| bf16::from_f64(v).to_f32()).collect();
        assert_eq!(basis[..4], [0.0, 0.014526367, 0.014099121, 0.0]);
        assert_eq!(basis[257..262], [0.0, 0.0, 0.0074768066, 0.021118164, 0.006591797]);
        assert!(basis.iter().all(|v| *v >= 0.0));
    }

    #[test]
    fn the_transform_finds_a_tone() {
        let basis = stft_basis(512);
        assert_eq!(basis.len(), 514 * 512);
        let tone = |n: usize| (2.0 * std::f64::consts::PI * 20.0 * n as f64 / 512.0 + 0.3).cos();
        let power = |bin: usize| {
            let component = |row: usize| (0..512).map(|n| basis[row * 512 + n] * tone(n)).sum::<f64>();
            (component(bin).powi(2) + component(257 + bin).powi(2)).sqrt()
        };
        assert!((power(20) - 128.0).abs() < 1e-9);
        assert!(power(30) < 1e-9);
    }
}
