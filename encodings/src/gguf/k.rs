//! Blocks of 256 whose scales are codes themselves.

use super::parts::{LANES, Parts, all, bits, lanes};

/// 16 bytes of scales and minima, 64 bytes of codes, d, the minima's d.
pub struct Q2;

impl Parts<84, 16> for Q2 {
    const UNITS: [usize; 2] = [80, 82];

    #[inline(always)]
    fn scales(block: &[u8; 84], [d, d_least]: [f32; 2], scales: &mut [f32; 16], minima: &mut [f32; 16]) {
        for (run, both) in block[..16].iter().enumerate() {
            scales[run] = d * f32::from(both & 15);
            minima[run] = d_least * f32::from(both >> 4);
        }
    }

    #[inline(always)]
    fn codes(block: &[u8; 84], at: usize) -> [u8; LANES] {
        let (quarter, half) = (at / 2, at % 2);
        bits(lanes(block, 16 + 32 * (quarter / 4) + LANES * half), 2 * (quarter % 4), 3)
    }
}

/// 32 bytes of upper bits, 64 bytes of codes, 12 bytes of scales, d.
pub struct Q3;

impl Parts<110, 16> for Q3 {
    const UNITS: [usize; 2] = [108, 108];

    #[inline(always)]
    fn scales(block: &[u8; 110], [d, _]: [f32; 2], scales: &mut [f32; 16], _: &mut [f32; 16]) {
        // Scale i has its lower bits in half i / 8 of byte i % 8, its upper two in quarter i / 4 of byte 8 + i % 4.
        let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
        let (low, high) = (u64::from(word(96)) | u64::from(word(100)) << 32, word(104));
        let upper = |quarter: usize| u64::from(high >> (2 * quarter)) & (all(3) >> 32);
        for (half, scales) in scales.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let upper = upper(2 * half) | upper(2 * half + 1) << 32;
            let codes = (low >> (4 * half) & all(15) | upper << 4).to_le_bytes();
            for (scale, code) in scales.iter_mut().zip(codes) {
                *scale = d * f32::from(code as i8 - 32);
            }
        }
    }

    #[inline(always)]
    fn codes(block: &[u8; 110], at: usize) -> [u8; LANES] {
        let (quarter, half) = (at / 2, at % 2);
        bits(lanes(block, 32 + 32 * (quarter / 4) + LANES * half), 2 * (quarter % 4), 3)
    }

    const UPPER: Option<usize> = Some(2);

    #[inline(always)]
    fn upper(block: &[u8; 110], at: usize) -> [u8; LANES] {
        bits(lanes(block, LANES * (at % 2)), at / 2, 1)
    }
}

/// d, the minima's d, 12 bytes of scales and minima, 128 bytes of codes.
pub struct Q4;

impl Parts<144, 8> for Q4 {
    const UNITS: [usize; 2] = [0, 2];

    #[inline(always)]
    fn scales(block: &[u8; 144], units: [f32; 2], scales: &mut [f32; 8], minima: &mut [f32; 8]) {
        scales_and_minima(&block[4..16], units, scales, minima);
    }

    #[inline(always)]
    fn codes(block: &[u8; 144], at: usize) -> [u8; LANES] {
        four_bits(&block[16..], at)
    }
}

/// As [`Q4`], with 32 bytes of upper bits before the codes.
pub struct Q5;

impl Parts<176, 8> for Q5 {
    const UNITS: [usize; 2] = [0, 2];

    #[inline(always)]
    fn scales(block: &[u8; 176], units: [f32; 2], scales: &mut [f32; 8], minima: &mut [f32; 8]) {
        scales_and_minima(&block[4..16], units, scales, minima);
    }

    #[inline(always)]
    fn codes(block: &[u8; 176], at: usize) -> [u8; LANES] {
        four_bits(&block[48..], at)
    }

    const UPPER: Option<usize> = Some(4);

    #[inline(always)]
    fn upper(block: &[u8; 176], at: usize) -> [u8; LANES] {
        bits(lanes(block, 16 + LANES * (at % 2)), at / 2, 1)
    }
}

/// 128 bytes of lower halves, 64 bytes of upper bits, 16 int8 scales, d.
pub struct Q6;

impl Parts<210, 16> for Q6 {
    const UNITS: [usize; 2] = [208, 208];

    #[inline(always)]
    fn scales(block: &[u8; 210], [d, _]: [f32; 2], scales: &mut [f32; 16], _: &mut [f32; 16]) {
        for (to, scale) in scales.iter_mut().zip(&block[192..208]) {
            *to = d * f32::from(*scale as i8);
        }
    }

    #[inline(always)]
    fn codes(block: &[u8; 210], at: usize) -> [u8; LANES] {
        let (n, j, half) = (at / 8, at / 2 % 4, at % 2);
        bits(lanes(block, 64 * n + 32 * (j % 2) + LANES * half), 4 * (j / 2), 15)
    }

    const UPPER: Option<usize> = Some(4);

    #[inline(always)]
    fn upper(block: &[u8; 210], at: usize) -> [u8; LANES] {
        let (n, j, half) = (at / 8, at / 2 % 4, at % 2);
        bits(lanes(block, 128 + 32 * n + LANES * half), 2 * j, 3)
    }
}

/// Codes of four bits: each 32 bytes have two sub-blocks, the first in their lower halves.
#[inline(always)]
fn four_bits(bytes: &[u8], at: usize) -> [u8; LANES] {
    let (block, half) = (at / 2, at % 2);
    bits(lanes(bytes, 32 * (block / 2) + LANES * half), 4 * (block % 2), 15)
}

/// Those of Q4_K and Q5_K, of 6 bits each.
#[inline(always)]
fn scales_and_minima(bytes: &[u8], [d, d_least]: [f32; 2], scales: &mut [f32; 8], minima: &mut [f32; 8]) {
    for (b, (to_scale, to_least)) in scales.iter_mut().zip(minima).enumerate() {
        let (scale, least) = match b {
            0..4 => (bytes[b] & 63, bytes[b + 4] & 63),
            _ => (bytes[b + 4] & 15 | bytes[b - 4] >> 6 << 4, bytes[b + 4] >> 4 | bytes[b] >> 6 << 4),
        };
        (*to_scale, *to_least) = (d * f32::from(scale), d_least * f32::from(least));
    }
}
