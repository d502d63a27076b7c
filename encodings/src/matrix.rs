//! A stored matrix, and its values.

use multiversion::multiversion;

use crate::rotation::{is_group, rotate};
use crate::{Code, Encoding};

/// The longest granule.
const LONGEST: usize = 256;

/// A matrix as it is stored. Its bytes are as long as its encoding says.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    encoding: Encoding,
    rows: usize,
    columns: usize,
    codes: &'a [u8],
    scales: &'a [u8],
    tensor_scale: f32,
}

impl<'a> Matrix<'a> {
    /// A matrix of `codes`. `scales` are those that stand beside them, as f32 in little-endian or as one byte each;
    /// `tensor_scale` is the second one of NVFP4. `None` where the bytes are not as many as the encoding says.
    pub fn new(
        encoding: Encoding,
        [rows, columns]: [usize; 2],
        codes: &'a [u8],
        scales: &'a [u8],
        tensor_scale: f32,
    ) -> Option<Matrix<'a>> {
        let rotated = !matches!(encoding, Encoding::Rotated { group, .. } if !is_group(group));
        let fits = rotated
            && encoding.code_bytes(rows, columns) == Some(codes.len())
            && encoding.scale_bytes(rows, columns) == Some(scales.len());
        fits.then_some(Matrix { encoding, rows, columns, codes, scales, tensor_scale })
    }

    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn codes(&self) -> &'a [u8] {
        self.codes
    }

    pub(crate) fn scales(&self) -> &'a [u8] {
        self.scales
    }

    pub(crate) fn tensor_scale(&self) -> f32 {
        self.tensor_scale
    }

    /// The f32 scale of this number.
    pub(crate) fn f32_scale(&self, number: usize) -> f32 {
        self.scales.as_chunks::<4>().0.get(number).map_or(f32::NAN, |bytes| f32::from_le_bytes(*bytes))
    }

    /// The values of the elements from `first` on, row by row, as many as `out` has room for. Each is rounded to f32 as the
    /// formula of its encoding says, and its bits do not depend on what else is asked for with it.
    ///
    /// # Panics
    /// There are not so many elements.
    pub fn decode(&self, first: usize, out: &mut [f32]) {
        let end = first.checked_add(out.len());
        assert!(end.is_some_and(|end| end <= self.rows * self.columns), "elements outside of the matrix");
        let granule = self.encoding.granule();
        let mut spare = [0f32; LONGEST];
        let (mut at, mut out) = (first, out);
        // What begins or ends inside a granule is taken out of the whole one.
        while !out.is_empty() {
            let inside = at % granule;
            let whole = out.len() / granule * granule;
            let length = if inside == 0 && whole > 0 { whole } else { (granule - inside).min(out.len()) };
            let (here, rest) = out.split_at_mut(length);
            if inside == 0 && length.is_multiple_of(granule) {
                granules(self, at, here);
            } else {
                let spare = &mut spare[..granule];
                granules(self, at - inside, spare);
                here.copy_from_slice(&spare[inside..inside + length]);
            }
            (at, out) = (at + length, rest);
        }
    }
}

/// Whole granules. What this calls is inlined, so that it has the instructions of the machine; none of these joins a product
/// and a sum, so the bits are the same on all.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2", "x86_64+avx2"))]
fn granules(matrix: &Matrix<'_>, first: usize, out: &mut [f32]) {
    match matrix.encoding {
        Encoding::Plain(number) => number.decode(&matrix.codes[first * number.bytes()..], out),
        Encoding::Scaled { code, blocks } => matrix.scaled(code, blocks, first, out),
        Encoding::Rotated { blocks, group } => {
            matrix.scaled(Code::I8, blocks, first, out);
            for group in out.chunks_exact_mut(group) {
                rotate(group);
            }
        }
        Encoding::Mxfp8 => matrix.mxfp8(first, out),
        Encoding::Nvfp4 => matrix.nvfp4(first, out),
        Encoding::Gguf(block) => {
            block.decode(&matrix.codes[first / block.elements() * block.bytes()..], out);
        }
    }
}
