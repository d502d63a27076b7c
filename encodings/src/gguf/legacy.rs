//! Blocks of 32 with one scale.

use super::{half, nibble};

/// d, then 32 int8.
pub fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half(block, 0);
    for (i, out) in out.iter_mut().enumerate() {
        *out = d * f32::from(block[2 + i] as i8);
    }
}

/// d, then 16 bytes of codes.
pub fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half(block, 0);
    for (i, out) in out.iter_mut().enumerate() {
        *out = d * f32::from(nibble(&block[2..], i) as i8 - 8);
    }
}

/// d, the minimum, then 16 bytes of codes.
pub fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, least) = (half(block, 0), half(block, 2));
    for (i, out) in out.iter_mut().enumerate() {
        *out = d * f32::from(nibble(&block[4..], i)) + least;
    }
}

/// d, the fifth bits, then 16 bytes of codes.
pub fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let d = half(block, 0);
    for (i, out) in out.iter_mut().enumerate() {
        *out = d * f32::from(five(&block[2..], i) as i8 - 16);
    }
}

/// d, the minimum, the fifth bits, then 16 bytes of codes.
pub fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, least) = (half(block, 0), half(block, 2));
    for (i, out) in out.iter_mut().enumerate() {
        *out = d * f32::from(five(&block[4..], i)) + least;
    }
}

/// Code `i` of 32: its upper bit in 4 bytes, the others behind them.
fn five(bytes: &[u8], i: usize) -> u8 {
    nibble(&bytes[4..], i) | (bytes[i / 8] >> (i % 8) & 1) << 4
}
