//! Codes that are places in a table. IQ4_NL has them where the other blocks of 32 do (`legacy`).

use super::parts::{LANES, MIDDLE, Parts, all, around, bits, lanes};

const TABLE: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// d, the upper and the lower bits of eight scales, then 128 bytes of codes.
pub struct Xs;

impl Parts<136, 8> for Xs {
    const UNITS: [usize; 2] = [0, 0];

    #[inline(always)]
    fn scales(block: &[u8; 136], [d, _]: [f32; 2], scales: &mut [f32; 8], _: &mut [f32; 8]) {
        let high = u16::from_le_bytes([block[2], block[3]]);
        for (b, to) in scales.iter_mut().enumerate() {
            let low = block[4 + b / 2] >> (4 * (b % 2)) & 15;
            let scale = (low | ((high >> (2 * b) & 3) as u8) << 4) as i8 - 32;
            *to = d * f32::from(scale);
        }
    }

    #[inline(always)]
    fn codes(block: &[u8; 136], at: usize) -> [u8; LANES] {
        bits(lanes(block, 8 + LANES * (at / 2)), 4 * (at % 2), 15)
    }
}

/// The values `scale * number`. Numbers take the places of codes.
#[inline(always)]
pub fn of_table(codes: &mut [u8], scales: &[f32], minima: &[f32], out: &mut [f32]) {
    for codes in codes.as_chunks_mut().0 {
        *codes = numbers(u64::from_le_bytes(*codes)).to_le_bytes();
    }
    around::<MIDDLE, 32>(codes, scales, minima, out);
}

/// The numbers of eight codes, around [`MIDDLE`], chosen bit by bit.
#[inline(always)]
fn numbers(codes: u64) -> u64 {
    let entry = |place: usize| all(TABLE[place] as u8 ^ MIDDLE);
    // Where a code has the bit, its byte is that of `b`.
    let choose = |bit: usize, a: u64, b: u64| a ^ (a ^ b) & (codes >> bit & all(1)).wrapping_mul(0xff);
    let two = |at: usize| choose(0, entry(at), entry(at + 1));
    let four = |at: usize| choose(1, two(at), two(at + 2));
    let eight = |at: usize| choose(2, four(at), four(at + 4));
    choose(3, eight(0), eight(8))
}
