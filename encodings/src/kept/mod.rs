//! Encodings that weights stay in while a card multiplies them: rows of bytes, each of which stands for itself.
//!
//! A row has its codes and its scales, so rows of several matrices may lie one behind the other. It begins and ends at
//! multiples of [`ALIGN`] bytes, and its codes come in whole pieces of 8 or 16 columns at places that are aligned as well:
//!
//! | kept | a row of k columns |
//! |---|---|
//! | fp8 | k E4M3 codes, then their scale (f32), then 12 zeros |
//! | q8_0 | k int8 codes, then the scales (f16) of every 32, then zeros |
//! | q4_k | blocks of Q4_K as a file has them |
//!
//! Values are those of the [`Encoding`] that a row is in: there is no second formula.

mod round;

use half::f16;
use multiversion::multiversion;

use crate::number::TOP_E4M3;
use crate::{Blocks, Code, Encoding, GgufBlock, Matrix, Number};

/// What rows begin and end at a multiple of, in bytes: what a card loads at once.
pub const ALIGN: usize = 16;

/// An encoding that weights stay in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(non_camel_case_types)]
pub enum Kept {
    /// E4M3 with a scale for each row.
    Fp8,
    /// Q8_0 of GGUF.
    Q8_0,
    /// Q4_K of GGUF.
    Q4_K,
}

/// Elements of a block of Q8_0, and of its scale and its codes the bytes.
const Q8: usize = GgufBlock::Q8_0.elements();
const Q8_BYTES: usize = GgufBlock::Q8_0.bytes();
const HALF: usize = 2;

/// Elements and bytes of a block of Q4_K.
const Q4: usize = GgufBlock::Q4_K.elements();
const Q4_BYTES: usize = GgufBlock::Q4_K.bytes();

impl Kept {
    pub const ALL: [Kept; 3] = [Kept::Fp8, Kept::Q8_0, Kept::Q4_K];

    /// As targets and listings name it.
    pub const fn name(self) -> &'static str {
        match self {
            Kept::Fp8 => "fp8",
            Kept::Q8_0 => "q8_0",
            Kept::Q4_K => "q4_k",
        }
    }

    /// The inverse of [`Kept::name`].
    pub fn from_name(name: &str) -> Option<Kept> {
        Self::ALL.into_iter().find(|kept| kept.name() == name)
    }

    /// What the bytes of a row mean.
    pub const fn encoding(self) -> Encoding {
        match self {
            Kept::Fp8 => Encoding::Scaled { code: Code::E4m3, blocks: Blocks::Row },
            Kept::Q8_0 => Encoding::Gguf(GgufBlock::Q8_0),
            Kept::Q4_K => Encoding::Gguf(GgufBlock::Q4_K),
        }
    }

    /// What the columns of a row are a multiple of.
    pub const fn granule(self) -> usize {
        match self {
            Kept::Fp8 => ALIGN,
            Kept::Q8_0 => Q8,
            Kept::Q4_K => Q4,
        }
    }

    /// Bytes of a row; `None` where its columns are no whole number of granules, or too many for a machine.
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        if columns == 0 || !columns.is_multiple_of(self.granule()) {
            return None;
        }
        match self {
            Kept::Fp8 => columns.checked_add(ALIGN),
            Kept::Q8_0 => (columns / Q8).checked_mul(Q8_BYTES)?.checked_next_multiple_of(ALIGN),
            Kept::Q4_K => (columns / Q4).checked_mul(Q4_BYTES),
        }
    }

    /// The values of a row, as many as `out` has room for.
    ///
    /// # Panics
    /// The row is not as long as [`Kept::row_bytes`] says.
    pub fn decode(self, row: &[u8], out: &mut [f32]) {
        let columns = out.len();
        assert_eq!(self.row_bytes(columns), Some(row.len()), "a row of {columns} columns in {}", self.name());
        match self {
            Kept::Fp8 => {
                let (codes, scale) = row.split_at(columns);
                let matrix =
                    Matrix::new(self.encoding(), [1, columns], codes, &scale[..size_of::<f32>()], 1.0);
                matrix.expect("as many bytes as the encoding says").decode(0, out);
            }
            Kept::Q8_0 => {
                let (codes, scales) = row.split_at(columns);
                let blocks = codes.as_chunks::<Q8>().0.iter().zip(scales.as_chunks::<HALF>().0);
                for ((codes, scale), out) in blocks.zip(out.as_chunks_mut::<Q8>().0) {
                    let mut block = [0; Q8_BYTES];
                    block[..HALF].copy_from_slice(scale);
                    block[HALF..].copy_from_slice(codes);
                    GgufBlock::Q8_0.decode(&block, out);
                }
            }
            Kept::Q4_K => GgufBlock::Q4_K.decode(row, out),
        }
    }

    /// Whether rows of a matrix in this encoding are kept as they are stored, as long as they are whole.
    pub fn takes(self, stored: Encoding) -> bool {
        match self {
            Kept::Fp8 => matches!(
                stored,
                Encoding::Plain(Number::E4m3)
                    | Encoding::Scaled { code: Code::E4m3, blocks: Blocks::Tensor | Blocks::Row }
            ),
            Kept::Q8_0 | Kept::Q4_K => stored == self.encoding(),
        }
    }

    /// Writes the row of the matrix that begins at element `first` as it is kept, where the matrix is stored so: codes
    /// and scales are copied. False, and nothing is written, where it is stored otherwise.
    ///
    /// # Panics
    /// The row is not in the matrix, or `row` is not as long as [`Kept::row_bytes`] says.
    pub fn take(self, matrix: &Matrix<'_>, first: usize, columns: usize, row: &mut [u8]) -> bool {
        assert_eq!(self.row_bytes(columns), Some(row.len()), "a row of {columns} columns in {}", self.name());
        assert!(first + columns <= matrix.rows() * matrix.columns(), "a row outside of the matrix");
        if !self.takes(matrix.encoding()) {
            return false;
        }
        let codes = matrix.codes();
        match self {
            Kept::Fp8 => {
                let scale = match matrix.encoding() {
                    Encoding::Scaled { blocks, .. } => {
                        let (number, shared) = blocks.place(
                            first / matrix.columns(),
                            first % matrix.columns(),
                            matrix.columns(),
                        );
                        if shared < columns {
                            return false;
                        }
                        matrix.f32_scale(number)
                    }
                    _ => 1.0,
                };
                fp8(row, &codes[first..first + columns], scale);
            }
            Kept::Q8_0 => {
                let blocks = codes.as_chunks::<Q8_BYTES>().0[first / Q8..][..columns / Q8].iter();
                q8_0(row, columns, blocks);
            }
            Kept::Q4_K => {
                row.copy_from_slice(&codes[first / Q4 * Q4_BYTES..][..row.len()]);
            }
        }
        true
    }

    /// Writes numbers as a row: each becomes the code nearest to it, with scales that are as small as the largest
    /// numbers allow.
    ///
    /// # Panics
    /// The row is not as long as [`Kept::row_bytes`] says.
    pub fn encode(self, values: &[f32], row: &mut [u8]) {
        let columns = values.len();
        assert_eq!(self.row_bytes(columns), Some(row.len()), "a row of {columns} columns in {}", self.name());
        encode(self, values, row);
    }

    /// Whether all values of a row of so many columns are finite.
    pub fn is_finite(self, row: &[u8], columns: usize) -> bool {
        let half = |bytes: &[u8; HALF]| f16::from_le_bytes(*bytes).is_finite();
        match self {
            Kept::Fp8 => {
                let (codes, scale) = row.split_at(columns);
                let scale = f32::from_le_bytes([scale[0], scale[1], scale[2], scale[3]]);
                // A code times a scale may overflow where the scale is near the largest number.
                !has_nan(codes) && (scale * TOP_E4M3).is_finite()
            }
            Kept::Q8_0 => row[columns..].as_chunks::<HALF>().0.iter().all(half),
            Kept::Q4_K => {
                let scales = row.as_chunks::<Q4_BYTES>().0.iter();
                scales.flat_map(|block| block[..2 * HALF].as_chunks::<HALF>().0).all(half)
            }
        }
    }
}

/// Numbers as a row. What this calls is inlined, so that it has the instructions of the machine.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2", "x86_64+avx2"))]
fn encode(kept: Kept, values: &[f32], row: &mut [u8]) {
    match kept {
        Kept::Fp8 => {
            let (codes, behind) = row.split_at_mut(values.len());
            behind.fill(0);
            behind[..size_of::<f32>()].copy_from_slice(&round::fp8(values, codes).to_le_bytes());
        }
        Kept::Q8_0 => {
            let (codes, scales) = row.split_at_mut(values.len());
            scales.fill(0);
            let places = codes.as_chunks_mut().0.iter_mut().zip(scales.as_chunks_mut().0);
            for (values, (codes, scale)) in values.as_chunks().0.iter().zip(places) {
                apart(&round::q8_0(values), codes, scale);
            }
        }
        Kept::Q4_K => {
            for (values, block) in values.as_chunks().0.iter().zip(row.as_chunks_mut().0) {
                *block = round::q4_k(values);
            }
        }
    }
}

/// Whether one of E4M3 codes stands for no number.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2", "x86_64+avx2"))]
fn has_nan(codes: &[u8]) -> bool {
    codes.iter().fold(0, |any, code| any | u8::from(code & 0x7f == 0x7f)) != 0
}

/// A block of Q8_0 as a row has it: its codes among codes, its scale among scales.
#[inline(always)]
fn apart(block: &[u8; Q8_BYTES], codes: &mut [u8; Q8], scale: &mut [u8; HALF]) {
    scale.copy_from_slice(&block[..HALF]);
    codes.copy_from_slice(&block[HALF..]);
}

/// A row of fp8.
fn fp8(row: &mut [u8], codes: &[u8], scale: f32) {
    let (to, behind) = row.split_at_mut(codes.len());
    to.copy_from_slice(codes);
    behind.fill(0);
    behind[..size_of::<f32>()].copy_from_slice(&scale.to_le_bytes());
}

/// A row of Q8_0, of blocks as files have them.
fn q8_0<'b>(row: &mut [u8], columns: usize, blocks: impl Iterator<Item = &'b [u8; Q8_BYTES]>) {
    let (codes, scales) = row.split_at_mut(columns);
    scales.fill(0);
    let places = codes.as_chunks_mut::<Q8>().0.iter_mut().zip(scales.as_chunks_mut::<HALF>().0);
    blocks.zip(places).for_each(|(block, (codes, scale))| apart(block, codes, scale));
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
