//! Codes that are places in a table.

use super::half;
use super::parts::{ELEMENTS, MIDDLE, Parts, all, around, word};

const TABLE: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// d, then 16 bytes of codes.
#[inline(always)]
pub fn nl(block: &[u8; 18], parts: &mut Parts<'_, 32, 1>) {
    parts.scales[0] = half(block, 0);
    parts.nibbles(0, &block[2..]);
}

/// d, the upper and the lower bits of eight scales, then 128 bytes of codes.
#[inline(always)]
pub fn xs(block: &[u8; 136], parts: &mut Parts<'_, 256, 8>) {
    let d = half(block, 0);
    let high = u16::from_le_bytes([block[2], block[3]]);
    for b in 0..8 {
        let low = block[4 + b / 2] >> (4 * (b % 2)) & 15;
        let scale = (low | ((high >> (2 * b) & 3) as u8) << 4) as i8 - 32;
        parts.scales[b] = d * f32::from(scale);
        parts.nibbles(32 * b, &block[8 + 16 * b..][..16]);
    }
}

/// The values `scale * number`.
#[inline(always)]
pub fn of_table(codes: &[u8], scales: &[f32], minima: &[f32], out: &mut [f32]) {
    let mut all = [0; ELEMENTS];
    for (to, codes) in all.as_chunks_mut::<8>().0.iter_mut().zip(codes.as_chunks::<8>().0) {
        *to = numbers(word(codes)).to_le_bytes();
    }
    around::<MIDDLE, 32>(&all, scales, minima, out);
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
