//! What values are made of: a code of each element in a byte, and a scale and a minimum for each run of elements.
//!
//! A block type says where they are ([`Parts`]). Each kind is gathered from many blocks before the next one, into memory that
//! stays in a core's first cache: the loops are then long, and compilers turn them into the widest instructions that a machine
//! has.

use std::array::from_fn;
use std::hint::black_box;

use crate::lanes::barrier;
pub use crate::lanes::{LANES, lanes};
use crate::number::f16_value;

/// Elements whose parts are gathered together.
const ELEMENTS: usize = 2048;

/// The fewest elements of a block, and of a run.
const SHORTEST_BLOCK: usize = 32;
const SHORTEST_RUN: usize = 16;

/// A block type of so many bytes and runs.
pub trait Parts<const BYTES: usize, const RUNS: usize> {
    /// Where a block has its f16: what its scales are multiples of, and what its minima are. Both are the same one where there
    /// are no minima.
    const UNITS: [usize; 2];

    /// What the codes of each run are multiplied by, and what is then subtracted.
    fn scales(block: &[u8; BYTES], units: [f32; 2], scales: &mut [f32; RUNS], minima: &mut [f32; RUNS]);

    /// The codes from element `LANES * at` on: all of their bits, or the lower ones.
    fn codes(block: &[u8; BYTES], at: usize) -> [u8; LANES];

    /// By how many bits the upper bits of codes are moved, where a block has them elsewhere.
    const UPPER: Option<usize> = None;

    /// These bits.
    #[inline(always)]
    fn upper(_: &[u8; BYTES], _: usize) -> [u8; LANES] {
        [0; LANES]
    }
}

/// As many whole blocks as `out` has room for. `values` makes values of codes, scales and minima.
#[inline(always)]
pub fn decode<P: Parts<BYTES, RUNS>, const OF_BLOCK: usize, const BYTES: usize, const RUNS: usize>(
    bytes: &[u8],
    out: &mut [f32],
    values: impl Fn(&mut [u8], &[f32], &[f32], &mut [f32]),
) {
    let mut units = [[0.0; ELEMENTS / SHORTEST_BLOCK]; 2];
    let mut scales = [0.0; ELEMENTS / SHORTEST_RUN];
    let mut minima = [0.0; ELEMENTS / SHORTEST_RUN];
    let mut codes = [0; ELEMENTS];
    let mut blocks = bytes.as_chunks::<BYTES>().0;
    let mut out = out.as_chunks_mut::<OF_BLOCK>().0;
    while !out.is_empty() {
        let count = out.len().min(ELEMENTS / OF_BLOCK);
        let (here, rest) = blocks.split_at(count);
        let (out_here, out_rest) = out.split_at_mut(count);
        let kinds = if P::UNITS[0] == P::UNITS[1] { 1 } else { 2 };
        for (units, at) in units.iter_mut().zip(P::UNITS).take(kinds) {
            halves(here, at, units);
        }
        let runs = scales.as_chunks_mut().0.iter_mut().zip(minima.as_chunks_mut().0);
        for ((block, (scales, minima)), i) in here.iter().zip(runs).zip(0..) {
            barrier();
            P::scales(block, [units[0][i], units[1][i]], scales, minima);
        }
        let places = codes.as_chunks_mut::<OF_BLOCK>().0;
        in_lanes(
            here,
            places,
            #[inline(always)]
            |block, at, codes| *codes = P::codes(block, at),
        );
        if let Some(by) = P::UPPER {
            in_lanes(
                here,
                places,
                #[inline(always)]
                |block, at, codes| {
                    let upper = P::upper(block, at);
                    *codes = from_fn(|i| codes[i] | upper[i] << by);
                },
            );
        }
        values(&mut codes, &scales, &minima, out_here.as_flattened_mut());
        (blocks, out) = (rest, out_rest);
    }
}

/// The f16 at a place of each block.
#[inline(always)]
fn halves<const BYTES: usize>(blocks: &[[u8; BYTES]], at: usize, out: &mut [f32; ELEMENTS / SHORTEST_BLOCK]) {
    let mut halves = [0; ELEMENTS / SHORTEST_BLOCK];
    for (half, block) in halves.iter_mut().zip(blocks) {
        barrier();
        *half = u16::from_le_bytes([block[at], block[at + 1]]);
    }
    out[..blocks.len()].iter_mut().zip(&halves).for_each(|(out, half)| *out = f16_value(*half));
}

/// Makes the codes of blocks, some at a time.
#[inline(always)]
fn in_lanes<const BYTES: usize, const OF_BLOCK: usize>(
    blocks: &[[u8; BYTES]],
    codes: &mut [[u8; OF_BLOCK]],
    make: impl Fn(&[u8; BYTES], usize, &mut [u8; LANES]),
) {
    for (block, codes) in blocks.iter().zip(codes) {
        // A loop whose length is not known is not written out.
        let pairs = if OF_BLOCK > 2 * LANES { black_box(OF_BLOCK / (2 * LANES)) } else { 1 };
        for (pair, codes) in codes.as_chunks_mut::<{ 2 * LANES }>().0.iter_mut().take(pairs).enumerate() {
            barrier();
            for (one, codes) in codes.as_chunks_mut().0.iter_mut().enumerate() {
                make(block, 2 * pair + one, codes);
            }
        }
    }
}

/// The codes in bytes: their bits from `shift` on, as far as `mask` has them.
#[inline(always)]
pub fn bits(from: &[u8; LANES], shift: usize, mask: u8) -> [u8; LANES] {
    // Machines have no instruction that shifts many bytes, each for itself.
    from_fn(|i| (u16::from(from[i]) >> shift) as u8 & mask)
}

/// Two bytes as 16 bits, each in a byte of its own, the lowest first.
#[inline(always)]
pub fn single_bits(bytes: [u8; 2]) -> [u8; LANES] {
    // Every byte keeps the bit of its place, and becomes 0 or that bit; what is not 0 carries into the highest bit.
    let places = |byte: u8| all(byte) & 0x8040_2010_0804_0201;
    let words = bytes.map(|byte| (places(byte) + all(0x7f)) >> 7 & all(1));
    let mut bits = [0; LANES];
    bits.as_chunks_mut().0.iter_mut().zip(words).for_each(|(bits, word)| *bits = word.to_le_bytes());
    // Kept as words: compilers would make it byte by byte.
    black_box(bits)
}

/// A byte eight times.
#[inline(always)]
pub const fn all(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The number around which int8 codes lie when their highest bit is turned.
pub const MIDDLE: u8 = 0x80;

/// The values `scale * (code - ZERO)`.
#[inline(always)]
pub fn around<const ZERO: u8, const RUN: usize>(codes: &[u8], scales: &[f32], _: &[f32], out: &mut [f32]) {
    let runs = codes.as_chunks::<RUN>().0.iter().zip(scales);
    for (out, (codes, scale)) in out.as_chunks_mut::<RUN>().0.iter_mut().zip(runs) {
        barrier();
        for (out, codes) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(codes.as_chunks::<LANES>().0) {
            *out = from_fn(|i| scale * (f32::from(codes[i]) - f32::from(ZERO)));
        }
    }
}

/// The values `scale * code - minimum`.
#[inline(always)]
pub fn from_minima<const RUN: usize>(codes: &[u8], scales: &[f32], minima: &[f32], out: &mut [f32]) {
    let runs = codes.as_chunks::<RUN>().0.iter().zip(scales.iter().zip(minima));
    for (out, (codes, (scale, minimum))) in out.as_chunks_mut::<RUN>().0.iter_mut().zip(runs) {
        barrier();
        for (out, codes) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(codes.as_chunks::<LANES>().0) {
            *out = from_fn(|i| scale * f32::from(codes[i]) - minimum);
        }
    }
}
