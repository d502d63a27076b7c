//! Blocks of 256 whose scales are codes themselves.

use super::{half, part};

/// Elements that share a scale in Q2_K, Q3_K and Q6_K.
const RUN: usize = 16;

/// 16 bytes of scales and minima, 64 bytes of codes, d, the minima's d.
#[inline(always)]
pub fn q2(block: &[u8; 84], out: &mut [f32; 256]) {
    let (d, d_least) = (half(block, 80), half(block, 82));
    quarters(out, Two { block, d, d_least });
}

struct Two<'a> {
    block: &'a [u8; 84],
    d: f32,
    d_least: f32,
}

impl Quarters for Two<'_> {
    #[inline(always)]
    fn run<const J: usize>(&self, n: usize, half: usize, out: &mut [f32; RUN]) {
        let scale = self.block[8 * n + 2 * J + half];
        let (scale, least) = (self.d * f32::from(scale & 15), self.d_least * f32::from(scale >> 4));
        let codes = part::<RUN>(self.block, 16 + 32 * n + RUN * half);
        for (out, byte) in out.iter_mut().zip(codes) {
            *out = scale * f32::from(byte >> (2 * J) & 3) - least;
        }
    }
}

/// 32 bytes of upper bits, 64 bytes of codes, 12 bytes of scales, d.
#[inline(always)]
pub fn q3(block: &[u8; 110], out: &mut [f32; 256]) {
    quarters(out, Three { block, d: half(block, 108) });
}

struct Three<'a> {
    block: &'a [u8; 110],
    d: f32,
}

impl Quarters for Three<'_> {
    #[inline(always)]
    fn run<const J: usize>(&self, n: usize, half: usize, out: &mut [f32; RUN]) {
        let (run, scales) = (8 * n + 2 * J + half, part::<12>(self.block, 96));
        let low = scales[run % 8] >> (4 * n) & 15;
        let high = scales[8 + run % 4] >> (2 * (run / 4)) & 3;
        let scale = self.d * f32::from((low | high << 4) as i8 - 32);
        let codes = part::<RUN>(self.block, 32 + 32 * n + RUN * half);
        let uppers = part::<RUN>(self.block, RUN * half);
        for ((out, byte), upper) in out.iter_mut().zip(codes).zip(uppers) {
            let code = byte >> (2 * J) & 3 | (upper >> (4 * n) >> J & 1) << 2;
            *out = scale * f32::from(code as i8 - 4);
        }
    }
}

/// d, the minima's d, 12 bytes of scales and minima, 128 bytes of codes.
#[inline(always)]
pub fn q4(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, d_least) = (half(block, 0), half(block, 2));
    for (b, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, least) = scale_and_least(part(block, 4), b);
        let (scale, least) = (d * f32::from(scale), d_least * f32::from(least));
        let (codes, shift) = four(&block[16..], b);
        for (out, byte) in out.iter_mut().zip(codes) {
            *out = scale * f32::from(byte >> shift & 15) - least;
        }
    }
}

/// As [`q4`], with 32 bytes of upper bits before the codes.
#[inline(always)]
pub fn q5(block: &[u8; 176], out: &mut [f32; 256]) {
    let (d, d_least) = (half(block, 0), half(block, 2));
    for (b, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, least) = scale_and_least(part(block, 4), b);
        let (scale, least) = (d * f32::from(scale), d_least * f32::from(least));
        let ((codes, shift), uppers) = (four(&block[48..], b), part::<32>(block, 16));
        for ((out, byte), upper) in out.iter_mut().zip(codes).zip(uppers) {
            let code = byte >> shift & 15 | (upper >> b & 1) << 4;
            *out = scale * f32::from(code) - least;
        }
    }
}

/// 128 bytes of lower halves, 64 bytes of upper bits, 16 int8 scales, d.
#[inline(always)]
pub fn q6(block: &[u8; 210], out: &mut [f32; 256]) {
    quarters(out, Six { block, d: half(block, 208) });
}

struct Six<'a> {
    block: &'a [u8; 210],
    d: f32,
}

impl Quarters for Six<'_> {
    #[inline(always)]
    fn run<const J: usize>(&self, n: usize, half: usize, out: &mut [f32; RUN]) {
        let scale = self.d * f32::from(self.block[192 + 8 * n + 2 * J + half] as i8);
        let lows = part::<RUN>(self.block, 64 * n + 32 * (J % 2) + RUN * half);
        let highs = part::<RUN>(self.block, 128 + 32 * n + RUN * half);
        for ((out, low), high) in out.iter_mut().zip(lows).zip(highs) {
            let code = low >> (4 * (J / 2)) & 15 | (high >> (2 * J) & 3) << 4;
            *out = scale * f32::from(code as i8 - 32);
        }
    }
}

/// Makes a block whose halves hold four times 32 codes in the same bytes: number J of these four, so that the compiler knows
/// by how many bits it shifts.
trait Quarters {
    /// Half (0 or 1) of the 32 codes of quarter J of half `n` of the block.
    fn run<const J: usize>(&self, n: usize, half: usize, out: &mut [f32; RUN]);
}

#[inline(always)]
fn quarters(out: &mut [f32; 256], make: impl Quarters) {
    for (i, run) in out.as_chunks_mut::<RUN>().0.iter_mut().enumerate() {
        let (n, half) = (i / 8, i % 2);
        match i / 2 % 4 {
            0 => make.run::<0>(n, half, run),
            1 => make.run::<1>(n, half, run),
            2 => make.run::<2>(n, half, run),
            _ => make.run::<3>(n, half, run),
        }
    }
}

/// The bytes with the four bits of a sub-block, and where these stand: two sub-blocks in each 32 bytes.
#[inline(always)]
fn four(bytes: &[u8], b: usize) -> (&[u8; 32], usize) {
    (part(bytes, 32 * (b / 2)), 4 * (b % 2))
}

/// The 6-bit scale and minimum of sub-block `b` of 8.
#[inline(always)]
fn scale_and_least(bytes: &[u8; 12], b: usize) -> (u8, u8) {
    match b {
        0..4 => (bytes[b] & 63, bytes[b + 4] & 63),
        _ => (bytes[b + 4] & 15 | bytes[b - 4] >> 6 << 4, bytes[b + 4] >> 4 | bytes[b] >> 6 << 4),
    }
}
