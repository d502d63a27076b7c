//! Blocks of 32 with one scale.

use super::half;
use super::parts::{MIDDLE, Parts, all, bits, word};

/// d, then 32 int8.
#[inline(always)]
pub fn q8_0(block: &[u8; 34], parts: &mut Parts<'_, 32, 1>) {
    parts.scales[0] = half(block, 0);
    for (to, from) in parts.codes.as_chunks_mut::<8>().0.iter_mut().zip(block[2..].as_chunks::<8>().0) {
        *to = (word(from) ^ all(MIDDLE)).to_le_bytes();
    }
}

/// d, then 16 bytes of codes.
#[inline(always)]
pub fn q4_0(block: &[u8; 18], parts: &mut Parts<'_, 32, 1>) {
    parts.scales[0] = half(block, 0);
    parts.nibbles(0, &block[2..]);
}

/// d, the minimum, then 16 bytes of codes.
#[inline(always)]
pub fn q4_1(block: &[u8; 20], parts: &mut Parts<'_, 32, 1>) {
    parts.scales[0] = half(block, 0);
    parts.minima[0] = -half(block, 2);
    parts.nibbles(0, &block[4..]);
}

/// d, the fifth bits, then 16 bytes of codes.
#[inline(always)]
pub fn q5_0(block: &[u8; 22], parts: &mut Parts<'_, 32, 1>) {
    parts.scales[0] = half(block, 0);
    parts.nibbles(0, &block[6..]);
    fifth_bits(&block[2..6], parts);
}

/// d, the minimum, the fifth bits, then 16 bytes of codes.
#[inline(always)]
pub fn q5_1(block: &[u8; 24], parts: &mut Parts<'_, 32, 1>) {
    parts.scales[0] = half(block, 0);
    parts.minima[0] = -half(block, 2);
    parts.nibbles(0, &block[8..]);
    fifth_bits(&block[4..8], parts);
}

/// Adds a bit to each code.
#[inline(always)]
fn fifth_bits(fifth: &[u8], parts: &mut Parts<'_, 32, 1>) {
    for (codes, fifth) in parts.codes.as_chunks_mut::<8>().0.iter_mut().zip(fifth) {
        *codes = (word(codes) | bits(*fifth) << 4).to_le_bytes();
    }
}
