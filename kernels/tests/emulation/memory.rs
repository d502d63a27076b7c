//! Values, and the memory that they lie in: rows apart, with NaN between and around them.

use half::bf16;
use zoetrope_kernels::eval::Data;
use zoetrope_model_spec::lang::Dtype;

/// NaN in every storage.
const NOTHING: u8 = 0xFF;

/// Elements as the evaluator takes them.
#[derive(Clone, Debug)]
pub enum Values {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
    I32(Vec<i32>),
    U8(Vec<u8>),
}

impl Values {
    pub fn reals(dtype: Dtype, values: impl Iterator<Item = f32>) -> Values {
        match dtype {
            Dtype::Bf16 => Values::Bf16(values.map(bf16::from_f32).collect()),
            _ => Values::F32(values.collect()),
        }
    }

    pub fn data(&self) -> Data<'_> {
        match self {
            Values::F32(d) => Data::F32(d),
            Values::Bf16(d) => Data::Bf16(d),
            Values::I32(d) => Data::I32(d),
            Values::U8(d) => Data::U8(d),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Values::F32(d) => d.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::Bf16(d) => d.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::I32(d) => d.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::U8(d) => d.clone(),
        }
    }
}

/// Memory of one operand. The program that runs kernels has its bytes in `pieces` that begin `apart` bytes from each
/// other, or in one piece where that is 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    pub bytes: Vec<u8>,
    pub pieces: usize,
    pub apart: usize,
}

/// How an operand lies in a buffer of its own.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub dtype: Dtype,
    pub rows: usize,
    pub width: usize,
    pub row_stride: usize,
    /// Every row is a piece of the buffer, between guards of its own.
    pub far: bool,
    /// Bytes of NaN before and behind it.
    pub guard: usize,
}

impl Place {
    /// Memory of nothing but NaN.
    pub fn empty(&self) -> Buffer {
        let size = self.dtype.bytes();
        if self.far {
            let bytes = vec![NOTHING; self.rows * self.piece()];
            return Buffer { bytes, pieces: self.rows, apart: self.row_stride * size };
        }
        let span = if self.rows == 0 { 0 } else { (self.rows - 1) * self.row_stride + self.width };
        Buffer { bytes: vec![NOTHING; 2 * self.guard + span * size], pieces: 1, apart: 0 }
    }

    /// Memory with `values` in it.
    pub fn filled(&self, values: &Values) -> Buffer {
        let mut memory = self.empty();
        let (bytes, row) = (values.bytes(), self.width * self.dtype.bytes());
        for (i, from) in bytes.chunks(row.max(1)).enumerate() {
            memory.bytes[self.row(i)..][..from.len()].copy_from_slice(from);
        }
        memory
    }

    /// Bytes of a row that is a piece.
    fn piece(&self) -> usize {
        2 * self.guard + self.width * self.dtype.bytes()
    }

    fn row(&self, row: usize) -> usize {
        let apart = if self.far { self.piece() } else { self.row_stride * self.dtype.bytes() };
        self.guard + row * apart
    }

    /// The elements of a result.
    pub fn read(&self, memory: &Buffer) -> Vec<f32> {
        let size = self.dtype.bytes();
        let rows =
            (0..self.rows).flat_map(|row| memory.bytes[self.row(row)..][..self.width * size].chunks(size));
        rows.map(|b| match self.dtype {
            Dtype::Bf16 => bf16::from_le_bytes([b[0], b[1]]).to_f32(),
            Dtype::U8 => f32::from(b[0]),
            Dtype::I32 => i32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32,
            _ => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
        })
        .collect()
    }

    /// The first byte outside the elements that is no longer NaN, from the first element on.
    pub fn touched(&self, memory: &Buffer) -> Option<i64> {
        let mut outside = vec![true; memory.bytes.len()];
        for row in 0..self.rows {
            outside[self.row(row)..][..self.width * self.dtype.bytes()].fill(false);
        }
        let touched =
            memory.bytes.iter().zip(outside).position(|(byte, outside)| outside && *byte != NOTHING);
        touched.map(|at| at as i64 - self.guard as i64)
    }
}
