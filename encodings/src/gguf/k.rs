//! Blocks of 256 whose scales are codes themselves.

use super::half;
use super::parts::Parts;

/// 16 bytes of scales and minima, 64 bytes of codes, d, the minima's d.
#[inline(always)]
pub fn q2(block: &[u8; 84], parts: &mut Parts<'_, 256, 16>) {
    let (d, d_least) = (half(block, 80), half(block, 82));
    for (run, scale) in block[..16].iter().enumerate() {
        parts.scales[run] = d * f32::from(scale & 15);
        parts.minima[run] = d_least * f32::from(scale >> 4);
    }
    for quarter in 0..8 {
        let (n, j) = (quarter / 4, quarter % 4);
        parts.codes(32 * quarter, &block[16 + 32 * n..][..32], 2 * j, 3);
    }
}

/// 32 bytes of upper bits, 64 bytes of codes, 12 bytes of scales, d.
#[inline(always)]
pub fn q3(block: &[u8; 110], parts: &mut Parts<'_, 256, 16>) {
    let (d, scales) = (half(block, 108), &block[96..108]);
    for run in 0..16 {
        let low = scales[run % 8] >> (4 * (run / 8)) & 15;
        let high = scales[8 + run % 4] >> (2 * (run / 4)) & 3;
        parts.scales[run] = d * f32::from((low | high << 4) as i8 - 32);
    }
    for quarter in 0..8 {
        let (n, j) = (quarter / 4, quarter % 4);
        let sources = [&block[32 + 32 * n..][..32], &block[..32]];
        parts.codes_with(32 * quarter, sources, [2 * j, quarter], [3, 1], 2);
    }
}

/// d, the minima's d, 12 bytes of scales and minima, 128 bytes of codes.
#[inline(always)]
pub fn q4(block: &[u8; 144], parts: &mut Parts<'_, 256, 8>) {
    scales_and_minima(block, parts);
    for b in 0..8 {
        parts.codes(32 * b, four(&block[16..], b), 4 * (b % 2), 15);
    }
}

/// As [`q4`], with 32 bytes of upper bits before the codes.
#[inline(always)]
pub fn q5(block: &[u8; 176], parts: &mut Parts<'_, 256, 8>) {
    scales_and_minima(block, parts);
    for b in 0..8 {
        let sources = [four(&block[48..], b), &block[16..48]];
        parts.codes_with(32 * b, sources, [4 * (b % 2), b], [15, 1], 4);
    }
}

/// 128 bytes of lower halves, 64 bytes of upper bits, 16 int8 scales, d.
#[inline(always)]
pub fn q6(block: &[u8; 210], parts: &mut Parts<'_, 256, 16>) {
    let d = half(block, 208);
    for (run, scale) in block[192..208].iter().enumerate() {
        parts.scales[run] = d * f32::from(*scale as i8);
    }
    for quarter in 0..8 {
        let (n, j) = (quarter / 4, quarter % 4);
        let sources = [&block[64 * n + 32 * (j % 2)..][..32], &block[128 + 32 * n..][..32]];
        parts.codes_with(32 * quarter, sources, [4 * (j / 2), 2 * j], [15, 3], 4);
    }
}

/// The bytes with the four bits of a sub-block: two sub-blocks in each 32 bytes.
#[inline(always)]
fn four(bytes: &[u8], b: usize) -> &[u8] {
    &bytes[32 * (b / 2)..][..32]
}

/// Those of Q4_K and Q5_K, which begin with them.
#[inline(always)]
fn scales_and_minima(block: &[u8], parts: &mut Parts<'_, 256, 8>) {
    let (d, d_least, codes) = (half(block, 0), half(block, 2), &block[4..16]);
    for b in 0..8 {
        let (scale, least) = scale_and_least(codes, b);
        parts.scales[b] = d * f32::from(scale);
        parts.minima[b] = d_least * f32::from(least);
    }
}

/// The 6-bit scale and minimum of sub-block `b` of 8.
#[inline(always)]
fn scale_and_least(bytes: &[u8], b: usize) -> (u8, u8) {
    match b {
        0..4 => (bytes[b] & 63, bytes[b + 4] & 63),
        _ => (bytes[b + 4] & 15 | bytes[b - 4] >> 6 << 4, bytes[b + 4] >> 4 | bytes[b] >> 6 << 4),
    }
}
