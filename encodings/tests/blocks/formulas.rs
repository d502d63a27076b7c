//! Every formula element by element, with nothing made at once: the decoders give its bits for all codes and for random blocks.

use half::f16;
use zoetrope_encodings::{Blocks, Code, Encoding, GgufBlock, Matrix, Number};
use zoetrope_encodings::{e2m1, e4m3, e5m2, e8m0, tile_place};

use crate::{decoded, same};

/// Bytes of every value, without an order.
fn random(count: usize, mut state: u64) -> Vec<u8> {
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Element `i` of a block.
fn element(block: GgufBlock, bytes: &[u8], i: usize) -> f32 {
    let half = |at: usize| f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32();
    // In blocks of 32 elements, and in parts of 32: the lower halves of 16 bytes, then the upper ones.
    let nibble = |at: usize| bytes[at + i % 16] >> (i % 32 / 16 * 4) & 15;
    let fifth = |at: usize| (bytes[at + i / 8] >> (i % 8) & 1) << 4;
    // In blocks of 256: 32 bytes for each part of 64 or of 128.
    let bits = |at: usize, of: usize, width: usize, mask: u8| {
        bytes[at + i / of * 32 + i % 32] >> (i % of / 32 * width) & mask
    };
    let (part, run) = (i / 32, i / 16);
    let six = |at: usize| match part {
        0..4 => [bytes[at + part] & 63, bytes[at + 4 + part] & 63],
        _ => {
            let (low, high) = (bytes[at + 4 + part], |from: usize| bytes[from] >> 6 << 4);
            [low & 15 | high(at + part - 4), low >> 4 | high(at + part)]
        }
    };
    let of_table = |code: u8| {
        [-127., -104., -83., -65., -49., -35., -22., -10., 1., 13., 25., 38., 53., 69., 89., 113.]
            [code as usize]
    };
    match block {
        GgufBlock::Q8_0 => half(0) * f32::from(bytes[2 + i] as i8),
        GgufBlock::Q4_0 => half(0) * (f32::from(nibble(2)) - 8.0),
        GgufBlock::Q4_1 => half(0) * f32::from(nibble(4)) + half(2),
        GgufBlock::Q5_0 => half(0) * (f32::from(nibble(6) | fifth(2)) - 16.0),
        GgufBlock::Q5_1 => half(0) * f32::from(nibble(8) | fifth(4)) + half(2),
        GgufBlock::Q2_K => {
            let scale = half(80) * f32::from(bytes[run] & 15);
            scale * f32::from(bits(16, 128, 2, 3)) - half(82) * f32::from(bytes[run] >> 4)
        }
        GgufBlock::Q3_K => {
            let scale = bytes[96 + run % 8] >> (run / 8 * 4) & 15;
            let high = bytes[104 + run % 4] >> (run / 4 * 2) & 3;
            let upper = bytes[i % 32] >> part & 1;
            let code = f32::from(bits(32, 128, 2, 3)) + f32::from(upper) * 4.0 - 4.0;
            half(108) * (f32::from(scale) + f32::from(high) * 16.0 - 32.0) * code
        }
        GgufBlock::Q4_K | GgufBlock::Q5_K => {
            let [scale, least] = six(4).map(f32::from);
            let code = match block {
                GgufBlock::Q4_K => bits(16, 64, 4, 15),
                _ => bits(48, 64, 4, 15) | (bytes[16 + i % 32] >> part & 1) << 4,
            };
            half(0) * scale * f32::from(code) - half(2) * least
        }
        GgufBlock::Q6_K => {
            let low = bytes[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4) & 15;
            let code = f32::from(low | bits(128, 128, 2, 3) << 4) - 32.0;
            half(208) * f32::from(bytes[192 + run] as i8) * code
        }
        GgufBlock::IQ4_NL => half(0) * of_table(nibble(2)),
        GgufBlock::IQ4_XS => {
            let high = u16::from_le_bytes([bytes[2], bytes[3]]) >> (2 * part) & 3;
            let scale = f32::from(bytes[4 + part / 2] >> (part % 2 * 4) & 15) + f32::from(high) * 16.0 - 32.0;
            half(0) * scale * of_table(nibble(8 + 16 * part))
        }
    }
}

#[test]
fn gguf_element_by_element() {
    const BLOCKS: usize = 3000;
    for &block in GgufBlock::ALL {
        let bytes = random(BLOCKS * block.bytes(), u64::from(block.id()) + 1);
        let shape = [BLOCKS, block.elements()];
        let matrix = Matrix::new(Encoding::Gguf(block), shape, &bytes, &[], 1.0).unwrap();
        let blocks = bytes.chunks(block.bytes());
        let want: Vec<f32> =
            blocks.flat_map(|bytes| (0..block.elements()).map(|i| element(block, bytes, i))).collect();
        same(block.name(), &decoded(&matrix), &want);
    }
}

/// All codes with all scales of a byte, and with scales in f32 of every kind.
#[test]
fn codes_times_scales() {
    let codes: Vec<u8> = (0..=255).collect();
    let scales = [1.0f32, 0.37, -3.3e-5, 1e-41, 1.7e38, 0.0, f32::INFINITY];
    for (code, value) in
        [(Code::E4m3, e4m3 as fn(u8) -> f32), (Code::E5m2, e5m2), (Code::I8, |code| f32::from(code as i8))]
    {
        for scale in scales {
            let (encoding, bytes) = (Encoding::Scaled { code, blocks: Blocks::Tensor }, scale.to_le_bytes());
            let matrix = Matrix::new(encoding, [1, 256], &codes, &bytes, 1.0).unwrap();
            let want: Vec<f32> = codes.iter().map(|code| value(*code) * scale).collect();
            same(&encoding.to_string(), &decoded(&matrix), &want);
        }
    }
    let bf16: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let matrix = Matrix::new(Encoding::Plain(Number::Bf16), [256, 256], &bf16, &[], 1.0).unwrap();
    let want: Vec<f32> = (0..=u16::MAX).map(|bits| f32::from_bits(u32::from(bits) << 16)).collect();
    same("bf16", &decoded(&matrix), &want);

    // Row r has scale r everywhere, and all codes in its columns.
    let (rows, tensor_scale) = (256, 0.0123f32);
    for (encoding, columns, in_scale) in [(Encoding::Mxfp8, 256, 32), (Encoding::Nvfp4, 512, 16)] {
        let codes: Vec<u8> = codes.iter().copied().cycle().take(rows * 256).collect();
        let mut scales = vec![0; encoding.scale_bytes(rows, columns).unwrap()];
        for (row, block) in (0..rows).flat_map(|row| (0..columns / in_scale).map(move |block| (row, block))) {
            scales[tile_place(row, block, columns / in_scale)] = row as u8;
        }
        let matrix = Matrix::new(encoding, [rows, columns], &codes, &scales, tensor_scale).unwrap();
        let value = |row: usize, column: usize| match encoding {
            Encoding::Mxfp8 => e4m3(column as u8) * e8m0(row as u8),
            _ => e2m1((column / 2) as u8 >> (4 - column % 2 * 4)) * (tensor_scale * e4m3(row as u8)),
        };
        let want: Vec<f32> = (0..rows * columns).map(|i| value(i / columns, i % columns)).collect();
        same(&encoding.to_string(), &decoded(&matrix), &want);
    }
}

/// Every rotated value is a sum of all of its group, as the definition has it.
#[test]
fn rotations_sum_by_sum() {
    for group in [4usize, 16, 64, 256] {
        let codes = random(8 * group, group as u64);
        let scale = 0.0371f32;
        let bytes = scale.to_le_bytes();
        let encoding = Encoding::Rotated { blocks: Blocks::Tensor, group };
        let matrix = Matrix::new(encoding, [8, group], &codes, &bytes, 1.0).unwrap();
        // -1 for every digit in base 4 that, together with that of the other place, is 3.
        let sign = |a: usize, b: usize| {
            let digit = |of: usize, power: u32| of / 4usize.pow(power) % 4;
            let minus = (0..4).filter(|p| 4usize.pow(*p) < group && digit(a, *p) + digit(b, *p) == 3).count();
            if minus % 2 == 1 { -1.0 } else { 1.0 }
        };
        let value = |i: usize| {
            let row = &codes[i / group * group..][..group];
            let stored = |b: usize| f64::from(f32::from(row[b] as i8) * scale);
            let sum: f64 = (0..group).map(|b| sign(i % group, b) * stored(b)).sum();
            (sum / (group as f64).sqrt()) as f32
        };
        let want: Vec<f32> = (0..codes.len()).map(value).collect();
        same(&encoding.to_string(), &decoded(&matrix), &want);
    }
}
