//! Blocks of 32 with one scale.

use super::{half, nibbles, part};

/// d, then 32 int8.
#[inline(always)]
pub fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let (d, codes) = (half(block, 0), part::<32>(block, 2));
    for (out, code) in out.iter_mut().zip(codes) {
        *out = d * f32::from(*code as i8);
    }
}

/// d, then 16 bytes of codes.
#[inline(always)]
pub fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half(block, 0);
    nibbles(part(block, 2), out, |_, code| d * f32::from(code as i8 - 8));
}

/// d, the minimum, then 16 bytes of codes.
#[inline(always)]
pub fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, least) = (half(block, 0), half(block, 2));
    nibbles(part(block, 4), out, |_, code| d * f32::from(code) + least);
}

/// d, the fifth bits, then 16 bytes of codes.
#[inline(always)]
pub fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let (d, fifth) = (half(block, 0), u32::from_le_bytes(*part(block, 2)));
    nibbles(part(block, 6), out, |i, code| d * f32::from((code | bit(fifth, i)) as i8 - 16));
}

/// d, the minimum, the fifth bits, then 16 bytes of codes.
#[inline(always)]
pub fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, least, fifth) = (half(block, 0), half(block, 2), u32::from_le_bytes(*part(block, 4)));
    nibbles(part(block, 8), out, |i, code| d * f32::from(code | bit(fifth, i)) + least);
}

/// The fifth bit of code `i`, where it belongs.
#[inline(always)]
fn bit(fifth: u32, i: usize) -> u8 {
    ((fifth >> i & 1) << 4) as u8
}
