//! Rows that stay encoded, in f64, from the descriptions of their formats (docs/model-files.md, encodings/src/kept).

use zoetrope_model_spec::lang::Kept;

/// The numbers of a row.
pub fn row(kept: Kept, bytes: &[u8], columns: usize) -> Vec<f64> {
    match kept {
        Kept::Fp8 => {
            let scale = f32::from_le_bytes(bytes[columns..columns + 4].try_into().unwrap());
            bytes[..columns].iter().map(|code| e4m3(*code) * f64::from(scale)).collect()
        }
        Kept::Q8_0 => {
            let scale = |i: usize| half(&bytes[columns + i / 32 * 2..]);
            (0..columns).map(|i| scale(i) * f64::from(bytes[i] as i8)).collect()
        }
        Kept::Q4_K => bytes.chunks(144).flat_map(q4_k).collect(),
    }
}

fn e4m3(code: u8) -> f64 {
    let sign = if code & 0x80 != 0 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(code >> 3 & 15), f64::from(code & 7) / 8.0);
    match exponent {
        0 => sign * fraction * 2f64.powi(-6),
        _ => sign * (1.0 + fraction) * 2f64.powi(exponent - 7),
    }
}

fn half(bytes: &[u8]) -> f64 {
    half::f16::from_le_bytes([bytes[0], bytes[1]]).to_f64()
}

fn q4_k(block: &[u8]) -> Vec<f64> {
    let (d, least, a) = (half(block), half(&block[2..]), &block[4..16]);
    let value = |i: usize| {
        let b = i / 32;
        let (scale, minimum) = match b {
            0..4 => (a[b] & 63, a[b + 4] & 63),
            _ => ((a[b + 4] & 15) + 16 * (a[b - 4] >> 6), (a[b + 4] >> 4) + 16 * (a[b] >> 6)),
        };
        let byte = block[16 + b / 2 * 32 + i % 32];
        let code = if b.is_multiple_of(2) { byte & 15 } else { byte >> 4 };
        d * f64::from(scale) * f64::from(code) - least * f64::from(minimum)
    };
    (0..256).map(value).collect()
}
