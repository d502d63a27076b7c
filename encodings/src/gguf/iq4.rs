//! Codes that are places in a table.

use super::{half, nibble};

const TABLE: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// d, then 16 bytes of codes.
pub fn nl(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half(block, 0);
    for (i, out) in out.iter_mut().enumerate() {
        *out = d * f32::from(TABLE[nibble(&block[2..], i) as usize]);
    }
}

/// d, the upper and the lower bits of eight scales, then 128 bytes of codes.
pub fn xs(block: &[u8; 136], out: &mut [f32; 256]) {
    let d = half(block, 0);
    let high = u16::from_le_bytes([block[2], block[3]]);
    for (b, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let low = block[4 + b / 2] >> (4 * (b % 2)) & 15;
        let scale = (low | ((high >> (2 * b) & 3) as u8) << 4) as i8 - 32;
        let scale = d * f32::from(scale);
        for (i, out) in out.iter_mut().enumerate() {
            *out = scale * f32::from(TABLE[nibble(&block[8 + 16 * b..], i) as usize]);
        }
    }
}
