//! Numbers that stand for themselves.

use half::bf16;

/// A number that is stored without a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Number {
    F32,
    F16,
    Bf16,
    E4m3,
    E5m2,
}

impl Number {
    /// Bytes of one.
    pub const fn bytes(self) -> usize {
        match self {
            Number::F32 => 4,
            Number::F16 | Number::Bf16 => 2,
            Number::E4m3 | Number::E5m2 => 1,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Number::F32 => "f32",
            Number::F16 => "f16",
            Number::Bf16 => "bf16",
            Number::E4m3 => "e4m3",
            Number::E5m2 => "e5m2",
        }
    }

    /// The numbers in `bytes`, as many as `out` has room for.
    #[inline(always)]
    pub(crate) fn decode(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Number::F32 => each(bytes, out, f32::from_le_bytes),
            Number::F16 => each(
                bytes,
                out,
                #[inline(always)]
                |b| f16_value(u16::from_le_bytes(b)),
            ),
            Number::Bf16 => each(
                bytes,
                out,
                #[inline(always)]
                |b| bf16::from_le_bytes(b).to_f32(),
            ),
            Number::E4m3 => each(
                bytes,
                out,
                #[inline(always)]
                |[b]| e4m3_value(b),
            ),
            Number::E5m2 => each(
                bytes,
                out,
                #[inline(always)]
                |[b]| e5m2_value(b),
            ),
        }
    }
}

#[inline(always)]
fn each<const N: usize>(bytes: &[u8], out: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *out = number(*bytes);
    }
}

/// The value of an f16, without a branch.
#[inline(always)]
pub(crate) fn f16_value(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7fff);
    let value = widened(magnitude << 13, 15);
    // The largest exponent is that of infinity and of NaN, which stays quiet.
    let top = (value + (112 << 23)) | (u32::from(magnitude > 0x7c00) << 22);
    f32::from_bits(if magnitude >= 0x7c00 { top } else { value } | u32::from(bits & 0x8000) << 16)
}

/// As [`e5m2`], without a table, so that many are made at once.
#[inline(always)]
pub(crate) fn e5m2_value(code: u8) -> f32 {
    f16_value(u16::from(code) << 8)
}

/// As [`e4m3`], in the same way.
#[inline(always)]
pub(crate) fn e4m3_value(code: u8) -> f32 {
    let magnitude = u32::from(code & 0x7f);
    let value = widened(magnitude << 20, 7);
    f32::from_bits(if magnitude == 0x7f { f32::NAN.to_bits() } else { value } | u32::from(code & 0x80) << 24)
}

/// As [`e2m1`], in the same way.
#[inline(always)]
pub(crate) fn e2m1_value(code: u8) -> f32 {
    f32::from_bits(widened(u32::from(code & 7) << 22, 1) | u32::from(code & 8) << 28)
}

/// The bits of the f32 of a smaller number: `bits` has its exponent, which counts from `bias`, and its fraction where those of
/// an f32 are. A subnormal one is made as if a one stood before its point, which is then taken away.
#[inline(always)]
const fn widened(bits: u32, bias: u32) -> u32 {
    let least = (128 - bias) << 23;
    let subnormal = f32::from_bits(bits + least) - f32::from_bits(least);
    if bits < 1 << 23 { subnormal.to_bits() } else { bits + ((127 - bias) << 23) }
}

/// An 8-bit number that stands beside a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    E4m3,
    E5m2,
    I8,
}

impl Code {
    pub const fn name(self) -> &'static str {
        match self {
            Code::E4m3 => "e4m3",
            Code::E5m2 => "e5m2",
            Code::I8 => "int8",
        }
    }

    /// The values of codes times a scale.
    #[inline(always)]
    pub(crate) fn scaled(self, codes: &[u8], scale: f32, out: &mut [f32]) {
        match self {
            Code::E4m3 => each(
                codes,
                out,
                #[inline(always)]
                |[b]| e4m3_value(b) * scale,
            ),
            Code::E5m2 => each(
                codes,
                out,
                #[inline(always)]
                |[b]| e5m2_value(b) * scale,
            ),
            Code::I8 => each(
                codes,
                out,
                #[inline(always)]
                |[b]| f32::from(b as i8) * scale,
            ),
        }
    }
}

/// The largest number that has an E4M3 code.
pub(crate) const TOP_E4M3: f32 = 448.0;

/// The value of an E4M3 code: 4 bits of exponent with bias 7, no infinities, NaN where all others are set.
pub fn e4m3(code: u8) -> f32 {
    E4M3[code as usize]
}

/// The value of an E5M2 code: the upper half of an f16.
pub fn e5m2(code: u8) -> f32 {
    E5M2[code as usize]
}

/// The value of a 4-bit E2M1 code; the upper bits do not count.
pub fn e2m1(code: u8) -> f32 {
    const VALUES: [f32; 16] =
        [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];
    VALUES[(code & 15) as usize]
}

/// The value of an E8M0 code: a power of two from 2^-127 on; 255 is NaN.
pub fn e8m0(code: u8) -> f32 {
    match code {
        0 => f32::from_bits(1 << 22),
        255 => f32::NAN,
        code => f32::from_bits(u32::from(code) << 23),
    }
}

static E4M3: [f32; 256] = small(4, 3, 7, Top::NanAlone);
static E5M2: [f32; 256] = small(5, 2, 15, Top::AsIeee);

/// What the largest exponent means.
#[derive(Clone, Copy)]
enum Top {
    /// Numbers, but for a fraction of ones, which is NaN.
    NanAlone,
    /// An infinity, and NaN.
    AsIeee,
}

const fn small(exponent_bits: u32, fraction_bits: u32, bias: u32, top: Top) -> [f32; 256] {
    let mut values = [0.0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = code as u32;
        let exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1);
        let fraction = bits & ((1 << fraction_bits) - 1);
        let last = exponent == (1 << exponent_bits) - 1;
        let magnitude = match top {
            Top::NanAlone if last && fraction == (1 << fraction_bits) - 1 => f32::NAN,
            Top::AsIeee if last && fraction != 0 => f32::NAN,
            Top::AsIeee if last => f32::INFINITY,
            _ if exponent == 0 => {
                // 2^(1 - bias - fraction_bits), as often as the fraction says.
                fraction as f32 * f32::from_bits((128 - bias - fraction_bits) << 23)
            }
            _ => f32::from_bits((exponent + 127 - bias) << 23 | fraction << (23 - fraction_bits)),
        };
        values[code] = if bits >> 7 == 1 { -magnitude } else { magnitude };
        code += 1;
    }
    values
}
