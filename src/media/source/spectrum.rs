//! Sound as the audio encoder takes it: a log-mel spectrogram (docs/model/audio.md 3).
//!
//! It is made here and not in the plan: sound comes in any length and at any rate, and the official code makes it in f32
//! before anything is rounded.

use std::f64::consts::PI;

use libm::{cos, log, sin};

use crate::mel::triangles;

/// Samples a second that the audio VAE knows.
pub(super) const RATE: u32 = 16_000;
/// Samples of a window, and from one to the next.
const WINDOW: usize = 1024;
const HOP: usize = 160;
/// Frequencies of a window.
const BINS: usize = WINDOW / 2 + 1;
const MELS: usize = 64;
const FLOOR: f64 = 1e-5;

/// The first `rows` rows of both channels, [2, rows, 64]. The sound is at [`RATE`]; where it is too short for so many, it is
/// followed by silence.
pub(super) fn spectrogram(channels: [&[f32]; 2], rows: usize) -> Vec<f32> {
    // As many samples as there are rows of, and more than are mirrored.
    let wanted = (HOP * rows.saturating_sub(1)).max(WINDOW / 2 + 1);
    let samples = channels[0].len().max(channels[1].len()).max(wanted);
    let sample = |channel: &[f32], at: i64| {
        // Mirrored at either end, the end itself once.
        let last = samples as i64 - 1;
        let at = if at < 0 { -at } else { at.min(2 * last - at) };
        channel.get(at as usize).map_or(0.0, |sample| f64::from(*sample))
    };
    let window: Vec<f64> =
        (0..WINDOW).map(|n| 0.5 - 0.5 * cos(2.0 * PI * n as f64 / WINDOW as f64)).collect();
    let (mels, turns) = (triangles(MELS, BINS, f64::from(RATE) / 2.0), turns());
    let mut out = vec![0.0; 2 * rows * MELS];
    let (left, right) = out.split_at_mut(rows * MELS);
    for (row, (left, right)) in left.chunks_exact_mut(MELS).zip(right.chunks_exact_mut(MELS)).enumerate() {
        let start = (row * HOP) as i64 - (WINDOW / 2) as i64;
        // Both real channels go through one complex transform.
        let mut z: Vec<[f64; 2]> = (start..)
            .zip(&window)
            .map(|(at, weight)| channels.map(|channel| sample(channel, at) * weight))
            .collect();
        transform(&mut z, &turns);
        let magnitude = |bin: usize, sign: f64| {
            let ([a, b], [c, d]) = (z[bin], z[(WINDOW - bin) % WINDOW]);
            let (re, im) = (a + sign * c, b - sign * d);
            0.5 * (re * re + im * im).sqrt()
        };
        for (out, sign) in [(left, 1.0), (right, -1.0)] {
            let magnitudes: Vec<f64> = (0..BINS).map(|bin| magnitude(bin, sign)).collect();
            for (out, (first, weights)) in out.iter_mut().zip(&mels) {
                let sum: f64 = weights.iter().zip(&magnitudes[*first..]).map(|(w, x)| w * x).sum();
                *out = log(sum.max(FLOOR)) as f32;
            }
        }
    }
    out
}

/// The complex numbers on the circle that a transform turns by.
fn turns() -> Vec<[f64; 2]> {
    let turn = |k: usize| -2.0 * PI * k as f64 / WINDOW as f64;
    (0..WINDOW / 2).map(|k| [cos(turn(k)), sin(turn(k))]).collect()
}

/// The discrete Fourier transform of [`WINDOW`] complex numbers, in place. Crates for any length choose instructions by the
/// machine; this gives the same bits on all of them.
fn transform(z: &mut [[f64; 2]], turns: &[[f64; 2]]) {
    let bits = WINDOW.trailing_zeros();
    for i in 0..WINDOW {
        let j = i.reverse_bits() >> (usize::BITS - bits);
        if i < j {
            z.swap(i, j);
        }
    }
    let mut half = 1;
    while half < WINDOW {
        for block in z.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (k, (low, high)) in low.iter_mut().zip(high).enumerate() {
                let ([a, b], [c, d], [re, im]) = (*low, *high, turns[k * (WINDOW / 2 / half)]);
                let (c, d) = (c * re - d * im, c * im + d * re);
                *low = [a + c, b + d];
                *high = [a - c, b - d];
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mel::{to_hertz, to_mel};

    #[test]
    fn both_channels_are_told_apart() {
        let tone = |hertz: f64| -> Vec<f32> {
            (0..8000).map(|i| (2.0 * PI * hertz * f64::from(i) / 16_000.0).sin() as f32).collect()
        };
        let made = spectrogram([&tone(440.0), &tone(4000.0)], 20);
        let loudest = |row: &[f32]| (0..MELS).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        let middle = |mel: usize| to_hertz(to_mel(8000.0) / 65.0 * (mel + 1) as f64);
        for (channel, hertz) in made.chunks_exact(20 * MELS).zip([440.0, 4000.0]) {
            for row in channel.chunks_exact(MELS).skip(4).take(12) {
                assert!((middle(loudest(row)) / hertz - 1.0).abs() < 0.06, "{hertz}");
            }
        }
    }

    #[test]
    fn what_is_short_is_followed_by_silence() {
        let made = spectrogram([&[], &[1.0]], 9);
        assert_eq!(made.len(), 2 * 9 * MELS);
        assert!(
            made.iter().all(|x| x.is_finite())
                && made[..9 * MELS].iter().all(|x| *x == (1e-5f64).ln() as f32)
        );
    }
}
