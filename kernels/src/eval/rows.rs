//! Rows between storage and f32: conversion on load, rounding on store.
//!
//! An integer travels through f32 buffers as its bits ([`f32::from_bits`]); only casts and moves ever touch it.

use std::borrow::Cow;
use std::ops::Range;

use half::bf16;
use multiversion::multiversion;
use rayon::prelude::*;
use zoetrope_model_spec::lang::Dtype;

use super::{Data, DataMut, Tensor};

/// Rows as f32: row i begins at `i·stride`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub data: &'a [f32],
    pub stride: usize,
}

/// Length of the last axis.
pub(crate) fn cols(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1)
}

/// Product of all axes but the last.
pub(crate) fn rows(shape: &[usize]) -> usize {
    shape[..shape.len().saturating_sub(1)].iter().product()
}

impl<'a> Data<'a> {
    pub(crate) fn dtype(&self) -> Dtype {
        match self {
            Data::F32(_) => Dtype::F32,
            Data::Bf16(_) => Dtype::Bf16,
            Data::I32(_) => Dtype::I32,
            Data::U8(_) => Dtype::U8,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Data::F32(d) => d.len(),
            Data::Bf16(d) => d.len(),
            Data::I32(d) => d.len(),
            Data::U8(d) => d.len(),
        }
    }
}

impl<'a> Tensor<'a> {
    pub(crate) fn rows(&self) -> usize {
        rows(self.shape)
    }

    pub(crate) fn cols(&self) -> usize {
        cols(self.shape)
    }

    /// Elements `cols` of row `row`, converted.
    pub(crate) fn load(&self, row: usize, cols: Range<usize>, out: &mut [f32]) {
        let at = row * self.row_stride;
        let range = at + cols.start..at + cols.end;
        match self.data {
            Data::F32(d) => out.copy_from_slice(&d[range]),
            Data::Bf16(d) => widen(&d[range], out),
            Data::I32(d) => out.iter_mut().zip(&d[range]).for_each(|(o, x)| *o = f32::from_bits(*x as u32)),
            Data::U8(d) => {
                out.iter_mut().zip(&d[range]).for_each(|(o, x)| *o = f32::from_bits(u32::from(*x)))
            }
        }
    }

    /// Whole rows, one after the other, converted.
    pub(crate) fn load_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        let cols = self.cols();
        if self.row_stride == cols {
            // One long run: rows may be only a few elements.
            let joined = Tensor { row_stride: 0, ..*self };
            joined.load(0, rows.start * cols..rows.end * cols, out);
        } else {
            rows.zip(out.chunks_exact_mut(cols)).for_each(|(row, out)| self.load(row, 0..cols, out));
        }
    }

    /// Rows without a copy, where they are stored as f32.
    pub(crate) fn borrow_rows(&self, rows: Range<usize>) -> Option<Rows<'a>> {
        let Data::F32(data) = self.data else { return None };
        let end = if rows.is_empty() { rows.start } else { (rows.end - 1) * self.row_stride + self.cols() };
        Some(Rows { data: &data[(rows.start * self.row_stride).min(end)..end], stride: self.row_stride })
    }

    /// All elements, contiguous, as f32.
    pub(crate) fn to_f32(self) -> Cow<'a, [f32]> {
        let (rows, cols) = (self.rows(), self.cols());
        if let (Data::F32(data), true) = (self.data, self.row_stride == cols || rows <= 1) {
            return Cow::Borrowed(&data[..rows * cols]);
        }
        let mut out = vec![0.0; rows * cols];
        // A run of rows that is worth a task.
        let run = (1_usize << 16).div_ceil(cols);
        out.par_chunks_mut(run * cols).enumerate().for_each(|(i, chunk)| {
            self.load_rows(i * run..(i * run + run).min(rows), chunk);
        });
        Cow::Owned(out)
    }

    /// All elements of a tensor of integers; nothing when it holds real numbers.
    pub(crate) fn to_ints(self) -> Vec<i32> {
        let Data::I32(data) = self.data else { return Vec::new() };
        let cols = self.cols();
        (0..self.rows()).flat_map(|r| &data[r * self.row_stride..][..cols]).copied().collect()
    }
}

impl<'a> DataMut<'a> {
    pub(crate) fn dtype(&self) -> Dtype {
        match self {
            DataMut::F32(_) => Dtype::F32,
            DataMut::Bf16(_) => Dtype::Bf16,
            DataMut::I32(_) => Dtype::I32,
            DataMut::U8(_) => Dtype::U8,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.as_data().len()
    }

    /// The same elements, to be read.
    pub(crate) fn as_data(&self) -> Data<'_> {
        match self {
            DataMut::F32(d) => Data::F32(d),
            DataMut::Bf16(d) => Data::Bf16(d),
            DataMut::I32(d) => Data::I32(d),
            DataMut::U8(d) => Data::U8(d),
        }
    }

    /// The same elements, for a shorter time.
    pub(crate) fn reborrow(&mut self) -> DataMut<'_> {
        match self {
            DataMut::F32(d) => DataMut::F32(d),
            DataMut::Bf16(d) => DataMut::Bf16(d),
            DataMut::I32(d) => DataMut::I32(d),
            DataMut::U8(d) => DataMut::U8(d),
        }
    }

    /// Cut into pieces of `len` elements, the last one what is left.
    pub(crate) fn chunks(self, len: usize) -> Vec<DataMut<'a>> {
        match self {
            DataMut::F32(d) => d.chunks_mut(len).map(DataMut::F32).collect(),
            DataMut::Bf16(d) => d.chunks_mut(len).map(DataMut::Bf16).collect(),
            DataMut::I32(d) => d.chunks_mut(len).map(DataMut::I32).collect(),
            DataMut::U8(d) => d.chunks_mut(len).map(DataMut::U8).collect(),
        }
    }

    /// Writes all elements; bf16 is rounded to nearest even.
    pub(crate) fn store(&mut self, from: &[f32]) {
        match self {
            DataMut::F32(d) => d.copy_from_slice(from),
            DataMut::Bf16(d) => narrow(from, d),
            DataMut::I32(d) => d.iter_mut().zip(from).for_each(|(o, x)| *o = x.to_bits() as i32),
            DataMut::U8(d) => d.iter_mut().zip(from).for_each(|(o, x)| *o = x.to_bits() as u8),
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn widen(from: &[bf16], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = f32::from_bits(u32::from(from.to_bits()) << 16);
    }
}

/// Round to nearest even. A NaN stays one: its quiet bit is set, since rounding could otherwise carry into the sign.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn narrow(from: &[f32], to: &mut [bf16]) {
    for (to, from) in to.iter_mut().zip(from) {
        let bits = from.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let quiet = (bits >> 16) | 0x40;
        *to = bf16::from_bits(if from.is_nan() { quiet } else { rounded } as u16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_half() {
        let samples = (0..=u16::MAX).flat_map(|hi| [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff].map(|lo| (hi, lo)));
        let from: Vec<f32> = samples.map(|(hi, lo)| f32::from_bits(u32::from(hi) << 16 | lo)).collect();
        let mut to = vec![bf16::ZERO; from.len()];
        narrow(&from, &mut to);
        for (x, y) in from.iter().zip(&to) {
            assert_eq!(y.to_bits(), bf16::from_f32(*x).to_bits(), "{:08x}", x.to_bits());
        }
        let mut back = vec![0.0; to.len()];
        widen(&to, &mut back);
        assert!(back.iter().zip(&to).all(|(b, t)| b.to_bits() == t.to_f32().to_bits()));
    }
}
