//! Numbers to the nearest codes.

use half::f16;

use crate::number::TOP_E4M3;

/// The E4M3 code nearest to a number, halves to even; beyond the largest the largest.
pub fn e4m3_code(value: f32) -> u8 {
    let sign = if value.is_sign_negative() { 0x80 } else { 0 };
    let size = value.abs().min(TOP_E4M3);
    // Numbers below 2^-6 are multiples of 2^-9; the eighth one is the code of 2^-6.
    if size < 1.0 / 64.0 {
        return sign | (size * 512.0).round_ties_even() as u8;
    }
    let bits = size.to_bits();
    let rounded = bits + (1 << 19) - 1 + (bits >> 20 & 1);
    // The exponent's bias is 127 in f32, and 7 in the code.
    sign | ((rounded >> 20) - (120 << 3)) as u8
}

/// A row of E4M3: its scale makes the largest number the largest code.
pub fn fp8(values: &[f32], codes: &mut [u8]) -> f32 {
    let most = values.iter().fold(0f32, |most, value| most.max(value.abs()));
    let scale = if most > 0.0 { (most / TOP_E4M3).max(f32::MIN_POSITIVE) } else { 1.0 };
    codes.iter_mut().zip(values).for_each(|(code, value)| *code = e4m3_code(value / scale));
    scale
}

/// A block of Q8_0 as its makers round: the largest number becomes 127, halves go away from zero.
pub fn q8_0(values: &[f32; 32]) -> [u8; 34] {
    let most = values.iter().fold(0f32, |most, value| most.max(value.abs()));
    let scale = most / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut block = [0; 34];
    block[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    for (code, value) in block[2..].iter_mut().zip(values) {
        *code = (value * inverse).round() as i8 as u8;
    }
    block
}

/// A block of Q4_K: of every 32 numbers the least and the largest become codes 0 and 15, as far as the 6 bits of their
/// scale and their minimum go. Makers of files search for better ones.
pub fn q4_k(values: &[f32; 256]) -> [u8; 144] {
    let parts = values.as_chunks::<32>().0;
    // What is subtracted is never negative, so zero is always among the values.
    let least = |part: &[f32; 32]| part.iter().fold(0f32, |least, value| least.min(*value));
    let span = |part: &[f32; 32]| part.iter().fold(0f32, |most, value| most.max(*value)) - least(part);
    let mut scales = [0f32; 8];
    let mut minima = [0f32; 8];
    for (part, (scale, minimum)) in parts.iter().zip(scales.iter_mut().zip(&mut minima)) {
        (*scale, *minimum) = (span(part) / 15.0, -least(part));
    }
    let (d, scales) = six_bits(&scales);
    let (d_least, minima) = six_bits(&minima);
    let mut block = [0; 144];
    block[..2].copy_from_slice(&d.to_le_bytes());
    block[2..4].copy_from_slice(&d_least.to_le_bytes());
    for b in 0..4 {
        block[4 + b] = scales[b] | scales[b + 4] >> 4 << 6;
        block[8 + b] = minima[b] | minima[b + 4] >> 4 << 6;
        block[12 + b] = scales[b + 4] & 15 | (minima[b + 4] & 15) << 4;
    }
    for (b, part) in parts.iter().enumerate() {
        let scale = d.to_f32() * f32::from(scales[b]);
        let minimum = d_least.to_f32() * f32::from(minima[b]);
        for (i, value) in part.iter().enumerate() {
            let code =
                if scale > 0.0 { ((value + minimum) / scale).round().clamp(0.0, 15.0) as u8 } else { 0 };
            block[16 + 32 * (b / 2) + i] |= code << (4 * (b % 2));
        }
    }
    block
}

/// Numbers that are not negative as multiples of one, up to 63.
fn six_bits(values: &[f32; 8]) -> (f16, [u8; 8]) {
    let most = values.iter().fold(0f32, |most, value| most.max(*value));
    let unit = f16::from_f32(most / 63.0);
    let of = |value: f32| if unit > f16::ZERO { (value / unit.to_f32()).round().min(63.0) as u8 } else { 0 };
    (unit, values.map(of))
}
