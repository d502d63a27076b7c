//! Standard normal random numbers.
//!
//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011) makes four words
//! from a counter of four words and a key of two. Here the key is the seed and the counter is
//! (block low, block high, stream, 0): element i of the result comes from block i / 4, so any part of a result is
//! made without the rest. The words become u = (word + 0.5)·2⁻³², and each two of them (u, v) two normal numbers:
//! r·cos(2πv) and r·sin(2πv) with r = sqrt(−2·ln u), in f64, rounded to f32 once.

use std::f64::consts::TAU;

use crate::eval::EvalError;
use crate::eval::row_op::{Prepared, Setup, fresh};

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [p, q] = [0, 1].map(|i| u64::from(MULTIPLIERS[i]) * u64::from(counter[2 * i]));
        counter = [
            (q >> 32) as u32 ^ counter[1] ^ key[0],
            q as u32,
            (p >> 32) as u32 ^ counter[3] ^ key[1],
            p as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// Elements 4·block .. 4·block + 4 of a stream.
fn normals(block: u64, stream: u32, seed: [u32; 2]) -> [f32; 4] {
    let words = philox([block as u32, (block >> 32) as u32, stream, 0], seed);
    let [a, b, c, d] = words.map(|word| (f64::from(word) + 0.5) / 4_294_967_296.0);
    let pair = |u: f64, v: f64| {
        let r = libm::sqrt(-2.0 * libm::log(u));
        [(r * libm::cos(TAU * v)) as f32, (r * libm::sin(TAU * v)) as f32]
    };
    let ([p, q], [r, s]) = (pair(a, b), pair(c, d));
    [p, q, r, s]
}

pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>, stream: usize) -> Prepared<'a> {
    let stream =
        u32::try_from(stream).map_err(|_| EvalError::Shape(format!("stream {stream} is not a word")))?;
    let words = setup.input(0).ints()?;
    let seed = [words[0] as u32, words[1] as u32];
    let n = setup.cols();
    fresh(move |panel, out| {
        let first = panel.rows.start * n;
        let mut i = 0;
        while i < out.len() {
            let at = first + i;
            let made = normals((at / 4) as u64, stream, seed);
            let taken = &made[at % 4..];
            let len = taken.len().min(out.len() - i);
            out[i..i + len].copy_from_slice(&taken[..len]);
            i += len;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that come with the authors' Random123.
    #[test]
    fn known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([!0; 4], [!0; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        assert_eq!(pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn the_moments() {
        let all: Vec<f64> = (0..100_000).flat_map(|b| normals(b, 3, [1, 2])).map(f64::from).collect();
        let moment = |p: i32| all.iter().map(|x| x.powi(p)).sum::<f64>() / all.len() as f64;
        assert!(moment(1).abs() < 0.01 && (moment(2) - 1.0).abs() < 0.01);
        assert!(moment(3).abs() < 0.03 && (moment(4) - 3.0).abs() < 0.1);
    }
}
