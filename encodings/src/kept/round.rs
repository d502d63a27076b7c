//! Numbers to the nearest codes. Numbers are finite: what is none has some code.

use std::array::from_fn;
use std::hint::black_box;

use half::f16;

use crate::lanes::{LANES, barrier};
use crate::number::TOP_E4M3;

/// The E4M3 code nearest to a number, halves to even; beyond the largest the largest. Without a branch.
#[inline(always)]
fn e4m3_code(value: f32) -> u8 {
    let sign = (value.to_bits() >> 24) as u8 & 0x80;
    let size = value.abs().min(TOP_E4M3);
    // Numbers below 2^-6 are multiples of 2^-9; the eighth one is the code of 2^-6. The sum is rounded to whole numbers.
    let small = (size * 512.0 + (1 << 23) as f32).to_bits();
    let bits = size.to_bits();
    let rounded = bits + (1 << 19) - 1 + (bits >> 20 & 1);
    // The exponent's bias is 127 in f32, and 7 in the code.
    let normal = (rounded >> 20).wrapping_sub(120 << 3);
    sign | if size < 1.0 / 64.0 { small as u8 } else { normal as u8 }
}

/// The largest size of numbers.
#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    // Sizes are in the order of their bits.
    f32::from_bits(values.iter().fold(0, |most, value| most.max(value.to_bits() & 0x7fff_ffff)))
}

/// A row of E4M3: its scale makes the largest number the largest code.
#[inline(always)]
pub fn fp8(values: &[f32], codes: &mut [u8]) -> f32 {
    let most = largest(values);
    let scale = if most > 0.0 { (most / TOP_E4M3).max(f32::MIN_POSITIVE) } else { 1.0 };
    for (code, value) in codes.iter_mut().zip(values) {
        *code = e4m3_code(value / scale);
    }
    scale
}

/// A block of Q8_0 as its makers round: the largest number becomes 127, halves go away from zero.
#[inline(always)]
pub fn q8_0(values: &[f32; 32]) -> [u8; 34] {
    let scale = largest(values) / 127.0;
    let inverse = black_box(if scale > 0.0 { 1.0 / scale } else { 0.0 });
    let mut block = [0; 34];
    block[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    let lanes = block[2..].as_chunks_mut::<LANES>().0.iter_mut();
    for (codes, values) in lanes.zip(values.as_chunks::<LANES>().0) {
        *codes = from_fn(|i| low_byte(rounded(values[i] * inverse)));
    }
    block
}

/// A block of Q4_K: of every 32 numbers the least and the largest become codes 0 and 15, as far as the 6 bits of their
/// scale and their minimum go. Makers of files search for better ones.
#[inline(always)]
pub fn q4_k(values: &[f32; 256]) -> [u8; 144] {
    let parts = values.as_chunks::<32>().0;
    let mut scales = [0f32; 8];
    let mut minima = [0f32; 8];
    for (part, (scale, minimum)) in parts.iter().zip(scales.iter_mut().zip(&mut minima)) {
        barrier();
        // What is subtracted is never negative, so zero is always among the values.
        let [a, b] = [part.first_chunk::<LANES>(), part.last_chunk::<LANES>()];
        let (Some(a), Some(b)) = (a, b) else { continue };
        let least = chosen(from_fn(|i| lesser(lesser(a[i], b[i]), 0.0)), lesser);
        let most = chosen(from_fn(|i| greater(greater(a[i], b[i]), 0.0)), greater);
        (*scale, *minimum) = ((most - least) / 15.0, -least);
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
    let (d, d_least) = (d.to_f32(), d_least.to_f32());
    let mut codes = [[0u8; LANES]; 256 / LANES];
    for (part, (values, codes)) in values.as_chunks::<LANES>().0.iter().zip(&mut codes).enumerate() {
        barrier();
        let (scale, minimum) = (d * f32::from(scales[part / 2]), d_least * f32::from(minima[part / 2]));
        if scale > 0.0 {
            let wholes: [f32; LANES] = from_fn(|i| rounded((values[i] + minimum) / scale));
            *codes = from_fn(|i| low_byte(lesser(greater(wholes[i], 0.0), 15.0)));
        }
    }
    for (block, codes) in block[16..].as_chunks_mut::<32>().0.iter_mut().zip(codes.as_chunks::<4>().0) {
        for (half, block) in block.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            barrier();
            *block = from_fn(|i| codes[half][i] | codes[half + 2][i] << 4);
        }
    }
    block
}

/// The nearest whole number, halves away from zero, of a number below 2^22: what is added is less than a half, so that what lies
/// just below one stays there, and a half becomes one when the sum is rounded.
#[inline(always)]
fn rounded(value: f32) -> f32 {
    (value + 0.5f32.next_down().copysign(value)).trunc()
}

/// The lowest byte of a small whole number.
#[inline(always)]
fn low_byte(whole: f32) -> u8 {
    (whole + 1.5 * (1 << 23) as f32).to_bits() as u8
}

/// The lesser and the greater of two numbers as instructions have them.
#[inline(always)]
fn lesser(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The one of all numbers that `of_two` chooses.
#[inline(always)]
fn chosen(numbers: [f32; LANES], of_two: impl Fn(f32, f32) -> f32) -> f32 {
    let eight: [f32; 8] = from_fn(|i| of_two(numbers[i], numbers[i + 8]));
    let four: [f32; 4] = from_fn(|i| of_two(eight[i], eight[i + 4]));
    of_two(of_two(four[0], four[2]), of_two(four[1], four[3]))
}

/// Numbers that are not negative as multiples of one, up to 63.
#[inline(always)]
fn six_bits(values: &[f32; 8]) -> (f16, [u8; 8]) {
    let most = values.iter().fold(0f32, |most, value| greater(*value, most));
    let unit = f16::from_f32(most / 63.0);
    if unit == f16::ZERO {
        return (unit, [0; 8]);
    }
    let divisor = unit.to_f32();
    (unit, from_fn(|i| low_byte(lesser(rounded(values[i] / divisor), 63.0))))
}
