//! Codes that are places in a table.

use super::{half, nibbles, part};

const TABLE: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0,
];

/// d, then 16 bytes of codes.
#[inline(always)]
pub fn nl(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half(block, 0);
    nibbles(part(block, 2), out, |_, code| d * TABLE[usize::from(code & 15)]);
}

/// d, the upper and the lower bits of eight scales, then 128 bytes of codes.
#[inline(always)]
pub fn xs(block: &[u8; 136], out: &mut [f32; 256]) {
    let d = half(block, 0);
    let high = u16::from_le_bytes([block[2], block[3]]);
    for (b, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let low = block[4 + b / 2] >> (4 * (b % 2)) & 15;
        let scale = (low | ((high >> (2 * b) & 3) as u8) << 4) as i8 - 32;
        let scale = d * f32::from(scale);
        nibbles(part(block, 8 + 16 * b), out, |_, code| scale * TABLE[usize::from(code & 15)]);
    }
}
