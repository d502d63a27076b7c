//! What values are made of: codes in bytes, eight of them in a word, and a scale and a minimum for each.
//!
//! A block says where its codes and scales are. Values are made of those of several blocks in one long loop, which compilers
//! turn into the widest instructions that a machine has.
//!
//! `black_box` stands where a compiler would otherwise turn loops over blocks or runs into instructions, which gather single
//! bytes from far apart, in place of the loops inside them.

use std::array::from_fn;
use std::hint::black_box;

/// Elements that are made together: those of the longest block.
pub const ELEMENTS: usize = 256;

/// A code of each element, and what the codes of a run are multiplied by; and what is then subtracted.
pub struct Parts<'a, const ELEMENTS: usize, const RUNS: usize> {
    pub codes: &'a mut [u8; ELEMENTS],
    pub scales: &'a mut [f32; RUNS],
    pub minima: &'a mut [f32; RUNS],
}

impl<const ELEMENTS: usize, const RUNS: usize> Parts<'_, ELEMENTS, RUNS> {
    /// The codes from a place on, one for each byte of `from`: its bits from `shift` on, as far as `mask` has them.
    #[inline(always)]
    pub fn codes(&mut self, at: usize, from: &[u8], shift: usize, mask: u8) {
        let shift = black_box(shift);
        for (to, from) in words(&mut self.codes[at..][..from.len()]).iter_mut().zip(from.as_chunks::<8>().0) {
            *to = (word(from) >> shift & all(mask)).to_le_bytes();
        }
    }

    /// The codes from a place on: the lower halves of the bytes, then the upper ones.
    #[inline(always)]
    pub fn nibbles(&mut self, at: usize, from: &[u8]) {
        self.codes(at, from, 0, 15);
        self.codes(at + from.len(), from, 4, 15);
    }

    /// As [`Parts::codes`], with further bits above those: the bits of `upper`, in the same way, moved by `to` bits.
    #[inline(always)]
    pub fn codes_with(
        &mut self,
        at: usize,
        [lower, upper]: [&[u8]; 2],
        [shift, upper_shift]: [usize; 2],
        [mask, upper_mask]: [u8; 2],
        by: usize,
    ) {
        let shift = black_box(shift);
        let sources = lower.as_chunks::<8>().0.iter().zip(upper.as_chunks::<8>().0);
        for (out, (lower, upper)) in words(&mut self.codes[at..][..lower.len()]).iter_mut().zip(sources) {
            let lower = word(lower) >> shift & all(mask);
            let upper = word(upper) >> upper_shift & all(upper_mask);
            *out = (lower | upper << by).to_le_bytes();
        }
    }
}

#[inline(always)]
fn words(bytes: &mut [u8]) -> &mut [[u8; 8]] {
    bytes.as_chunks_mut().0
}

#[inline(always)]
pub fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

/// A byte eight times.
#[inline(always)]
pub const fn all(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The bits of a byte as bytes of 0 or 1, the lowest first.
#[inline(always)]
pub const fn bits(byte: u8) -> u64 {
    // Every byte keeps the bit of its place, and becomes 0 or that bit; what is not 0 carries into the highest bit.
    let places = all(byte) & 0x8040_2010_0804_0201;
    (places + all(0x7f)) >> 7 & all(1)
}

/// The number around which int8 codes lie when their highest bit is turned.
pub const MIDDLE: u8 = 0x80;

/// The values `scale * (code - ZERO)`.
#[inline(always)]
pub fn around<const ZERO: u8, const RUN: usize>(codes: &[u8], scales: &[f32], _: &[f32], out: &mut [f32]) {
    let runs = codes.as_chunks::<RUN>().0.iter().zip(scales);
    for (out, (codes, scale)) in out.as_chunks_mut::<RUN>().0.iter_mut().zip(runs) {
        let scale = black_box(*scale);
        for (out, codes) in lanes(codes, out) {
            *out = from_fn(|i| scale * (f32::from(codes[i]) - f32::from(ZERO)));
        }
    }
}

/// The values `scale * code - minimum`.
#[inline(always)]
pub fn from_minima<const RUN: usize>(codes: &[u8], scales: &[f32], minima: &[f32], out: &mut [f32]) {
    let runs = codes.as_chunks::<RUN>().0.iter().zip(scales.iter().zip(minima));
    for (out, (codes, (scale, minimum))) in out.as_chunks_mut::<RUN>().0.iter_mut().zip(runs) {
        let (scale, minimum) = (black_box(*scale), *minimum);
        for (out, codes) in lanes(codes, out) {
            *out = from_fn(|i| scale * f32::from(codes[i]) - minimum);
        }
    }
}

/// Codes and values of a run, as many at a time as the widest instructions make.
#[inline(always)]
fn lanes<'a>(codes: &'a [u8], out: &'a mut [f32]) -> impl Iterator<Item = (&'a mut [f32; 16], &'a [u8; 16])> {
    out.as_chunks_mut().0.iter_mut().zip(codes.as_chunks().0)
}
