//! Other sampling rates, by a windowed sinc (docs/model/audio.md 3).

use std::f64::consts::PI;

use libm::{cos, sin};

/// Half the filter's width in periods of its cutoff, and the cutoff as a share of the lower rate's half.
const WIDTH: f64 = 6.0;
const ROLLOFF: f64 = 0.99;

/// `samples` at `from` samples a second as such at `to`; ⌈samples·to/from⌉ of them.
pub(super) fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    let gcd = gcd(from, to).max(1);
    let (old, new) = ((from / gcd) as usize, (to / gcd) as usize);
    if old == new {
        return samples.to_vec();
    }
    let phases = phases(old, new);
    let count = (samples.len() * new).div_ceil(old);
    let value = |i: usize| {
        let (start, (first, taps)) = ((i / new * old) as i64, &phases[i % new]);
        let sum = (start + first..).zip(taps).map(|(at, tap)| {
            let sample = usize::try_from(at).ok().and_then(|at| samples.get(at));
            sample.map_or(0.0, |sample| f64::from(*sample) * tap)
        });
        sum.sum::<f64>() as f32
    };
    (0..count).map(value).collect()
}

/// For every sample of the new rate in a period of both: the first sample of the old one that it hears, and weights.
fn phases(old: usize, new: usize) -> Vec<(i64, Vec<f64>)> {
    let base = old.min(new) as f64 * ROLLOFF;
    let (old, reach) = (old as f64, (WIDTH * old as f64 / base).ceil() as i64);
    let phase = |p: usize| {
        let middle = p as f64 / new as f64;
        let first = (middle * old) as i64 - reach;
        let tap = |k: i64| {
            let t = (k as f64 / old - middle) * base;
            if t.abs() >= WIDTH {
                return 0.0;
            }
            let window = cos(PI * t / WIDTH / 2.0);
            let sinc = if t == 0.0 { 1.0 } else { sin(PI * t) / (PI * t) };
            window * window * sinc * base / old
        };
        (first, (first..=first + 2 * reach + 1).map(tap).collect())
    };
    (0..new).map(phase).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone keeps its pitch, phase and level; what both rates cannot hold is gone.
    #[test]
    fn a_tone_stays_what_it_is() {
        for (from, to) in
            [(48_000, 16_000), (44_100, 16_000), (22_050, 16_000), (8_000, 16_000), (44_100, 48_000)]
        {
            let tone = |rate: u32, i: usize| (2.0 * PI * 440.0 * i as f64 / f64::from(rate)).sin();
            let samples: Vec<f32> = (0..from as usize / 4).map(|i| tone(from, i) as f32).collect();
            let made = resample(&samples, from, to);
            assert_eq!(made.len(), (samples.len() * to as usize).div_ceil(from as usize));
            for (i, sample) in made.iter().enumerate().skip(200).take(made.len() - 400) {
                assert!(
                    (f64::from(*sample) - tone(to, i)).abs() < 2e-3,
                    "{from} to {to}, sample {i}: {sample}"
                );
            }
        }
        let high: Vec<f32> = (0..4800).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert!(resample(&high, 48_000, 16_000)[50..1500].iter().all(|x| x.abs() < 1e-3));
        assert_eq!(resample(&[], 44_100, 16_000), [0.0; 0]);
        assert_eq!(resample(&[0.5, 0.25], 16_000, 16_000), [0.5, 0.25]);
    }
}
