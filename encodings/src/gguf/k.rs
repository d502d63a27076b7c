//! Blocks of 256 whose scales are codes themselves.

use super::half;

/// 16 bytes of scales and minima, 64 bytes of codes, d, the minima's d.
pub fn q2(block: &[u8; 84], out: &mut [f32; 256]) {
    let (d, d_least) = (half(block, 80), half(block, 82));
    for (run, out) in runs(out) {
        let scale = block[run];
        let (scale, least) = (d * f32::from(scale & 15), d_least * f32::from(scale >> 4));
        let (codes, shift) = two(&block[16..80], run);
        for (out, byte) in out.iter_mut().zip(codes) {
            *out = scale * f32::from(byte >> shift & 3) - least;
        }
    }
}

/// 32 bytes of upper bits, 64 bytes of codes, 12 bytes of scales, d.
pub fn q3(block: &[u8; 110], out: &mut [f32; 256]) {
    let d = half(block, 108);
    let scales = &block[96..108];
    for (run, out) in runs(out) {
        let low = scales[run % 8] >> (4 * (run / 8)) & 15;
        let high = scales[8 + run % 4] >> (2 * (run / 4)) & 3;
        let scale = d * f32::from((low | high << 4) as i8 - 32);
        let (codes, shift) = two(&block[32..96], run);
        let uppers = &block[16 * (run % 2)..][..RUN];
        for ((out, byte), upper) in out.iter_mut().zip(codes).zip(uppers) {
            let code = (byte >> shift & 3) as i8 - 4 * (1 - (upper >> (run / 2) & 1) as i8);
            *out = scale * f32::from(code);
        }
    }
}

/// d, the minima's d, 12 bytes of scales and minima, 128 bytes of codes.
pub fn q4(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, d_least) = (half(block, 0), half(block, 2));
    for (b, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, least) = scale_and_least(&block[4..16], b);
        let (scale, least) = (d * f32::from(scale), d_least * f32::from(least));
        for (i, out) in out.iter_mut().enumerate() {
            *out = scale * f32::from(four(&block[16..], b, i)) - least;
        }
    }
}

/// As [`q4`], with 32 bytes of upper bits before the codes.
pub fn q5(block: &[u8; 176], out: &mut [f32; 256]) {
    let (d, d_least) = (half(block, 0), half(block, 2));
    for (b, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, least) = scale_and_least(&block[4..16], b);
        let (scale, least) = (d * f32::from(scale), d_least * f32::from(least));
        for (i, out) in out.iter_mut().enumerate() {
            let code = four(&block[48..], b, i) | (block[16 + i] >> b & 1) << 4;
            *out = scale * f32::from(code) - least;
        }
    }
}

/// 128 bytes of lower halves, 64 bytes of upper bits, 16 int8 scales, d.
pub fn q6(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = half(block, 208);
    for (run, out) in runs(out) {
        let scale = d * f32::from(block[192 + run] as i8);
        let (n, j, from) = (run / 8, run / 2 % 4, RUN * (run % 2));
        let lows = &block[64 * n + 32 * (j % 2) + from..][..RUN];
        let highs = &block[128 + 32 * n + from..][..RUN];
        for ((out, low), high) in out.iter_mut().zip(lows).zip(highs) {
            let code = low >> (4 * (j / 2)) & 15 | (high >> (2 * j) & 3) << 4;
            *out = scale * f32::from(code as i8 - 32);
        }
    }
}

/// Elements that share a scale in Q2_K, Q3_K and Q6_K.
const RUN: usize = 16;

/// The elements of a block in runs with a scale each.
fn runs(out: &mut [f32; 256]) -> impl Iterator<Item = (usize, &mut [f32; RUN])> {
    out.as_chunks_mut::<RUN>().0.iter_mut().enumerate()
}

/// The bytes with the two bits of a run, and where these stand: four times 32 codes in each 32 bytes.
fn two(bytes: &[u8], run: usize) -> (&[u8], usize) {
    (&bytes[32 * (run / 8) + RUN * (run % 2)..][..RUN], 2 * (run / 2 % 4))
}

/// The four bits of code `i` of sub-block `b`: two sub-blocks in each 32 bytes.
fn four(bytes: &[u8], b: usize, i: usize) -> u8 {
    bytes[32 * (b / 2) + i] >> (4 * (b % 2)) & 15
}

/// The 6-bit scale and minimum of sub-block `b` of 8, out of 12 bytes.
fn scale_and_least(bytes: &[u8], b: usize) -> (u8, u8) {
    match b {
        0..4 => (bytes[b] & 63, bytes[b + 4] & 63),
        _ => (bytes[b + 4] & 15 | bytes[b - 4] >> 6 << 4, bytes[b + 4] >> 4 | bytes[b] >> 6 << 4),
    }
}
