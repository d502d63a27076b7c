//! Blocks of 256 whose scales are codes themselves.

use super::half;

/// 16 bytes of scales and minima, 64 bytes of codes, d, the minima's d.
pub fn q2(block: &[u8; 84], out: &mut [f32; 256]) {
    let (d, d_least) = (half(block, 80), half(block, 82));
    for (i, out) in out.iter_mut().enumerate() {
        let scale = block[i / 16];
        *out = (d * f32::from(scale & 15)) * f32::from(two(&block[16..80], i))
            - (d_least * f32::from(scale >> 4));
    }
}

/// 32 bytes of upper bits, 64 bytes of codes, 12 bytes of scales, d.
pub fn q3(block: &[u8; 110], out: &mut [f32; 256]) {
    let d = half(block, 108);
    let scales = &block[96..108];
    for (i, out) in out.iter_mut().enumerate() {
        let j = i / 16;
        let low = scales[j % 8] >> (4 * (j / 8)) & 15;
        let high = scales[8 + j % 4] >> (2 * (j / 4)) & 3;
        let upper = block[i % 32] >> (i / 32) & 1;
        let code = two(&block[32..96], i) as i8 - if upper == 1 { 0 } else { 4 };
        *out = (d * f32::from((low | high << 4) as i8 - 32)) * f32::from(code);
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
    for (i, out) in out.iter_mut().enumerate() {
        let (n, j, inside) = (i / 128, i / 32 % 4, i % 32);
        let low = block[64 * n + 32 * (j % 2) + inside] >> (4 * (j / 2)) & 15;
        let high = block[128 + 32 * n + inside] >> (2 * j) & 3;
        let scale = f32::from(block[192 + i / 16] as i8);
        *out = (d * scale) * f32::from((low | high << 4) as i8 - 32);
    }
}

/// The two bits of code `i` of 256: four runs of 32 in each 32 bytes.
fn two(bytes: &[u8], i: usize) -> u8 {
    bytes[32 * (i / 128) + i % 32] >> (2 * (i / 32 % 4)) & 3
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
