//! Codes times the scales of their blocks: fp8, int8, MXFP8, NVFP4.

use crate::number::{Code, Number, e2m1_value, e4m3, e8m0};
use crate::tiles::TileRow;
use crate::{Blocks, Matrix};

impl Matrix<'_> {
    /// Codes of 8 bits times an f32 scale, rounded once.
    #[inline(always)]
    pub(crate) fn scaled(&self, code: Code, blocks: Blocks, first: usize, out: &mut [f32]) {
        let place = |row, column| blocks.place(row, column, self.columns());
        self.runs(
            first,
            out,
            place,
            #[inline(always)]
            |number, at, out: &mut [f32]| {
                code.scaled(&self.codes()[at..at + out.len()], self.f32_scale(number), out);
            },
        );
    }

    /// E4M3 times 2^(e - 127) of 32 columns.
    #[inline(always)]
    pub(crate) fn mxfp8(&self, first: usize, out: &mut [f32]) {
        self.rows_of(
            first,
            out,
            #[inline(always)]
            |row, column, out: &mut [f32]| {
                let scales = TileRow::new(row, self.columns() / 32);
                let codes = &self.codes()[row * self.columns() + column..][..out.len()];
                Number::E4m3.decode(codes, out);
                for (block, out) in (column / 32..).zip(out.as_chunks_mut::<32>().0) {
                    let scale = e8m0(self.scales()[scales.place(block)]);
                    out.iter_mut().for_each(|out| *out *= scale);
                }
            },
        );
    }

    /// E2M1, two to a byte and the first of them in the upper half, times (the tensor's scale times E4M3 of 16 columns).
    #[inline(always)]
    pub(crate) fn nvfp4(&self, first: usize, out: &mut [f32]) {
        self.rows_of(
            first,
            out,
            #[inline(always)]
            |row, column, out: &mut [f32]| {
                let scales = TileRow::new(row, self.columns() / 16);
                let codes = &self.codes()[(row * self.columns() + column) / 2..][..out.len() / 2];
                for (pair, byte) in out.as_chunks_mut::<2>().0.iter_mut().zip(codes) {
                    *pair = [e2m1_value(byte >> 4), e2m1_value(*byte)];
                }
                for (block, out) in (column / 16..).zip(out.as_chunks_mut::<16>().0) {
                    let scale = self.tensor_scale() * e4m3(self.scales()[scales.place(block)]);
                    out.iter_mut().for_each(|out| *out *= scale);
                }
            },
        );
    }

    /// Goes through the elements from `first` on in pieces of rows: `piece` gets where one begins, and its place.
    #[inline(always)]
    fn rows_of(&self, first: usize, mut out: &mut [f32], piece: impl Fn(usize, usize, &mut [f32])) {
        let (mut row, mut column) = (first / self.columns(), first % self.columns());
        while !out.is_empty() {
            let (here, rest) = out.split_at_mut((self.columns() - column).min(out.len()));
            piece(row, column, here);
            (row, column, out) = (row + 1, 0, rest);
        }
    }

    /// As [`Matrix::rows_of`], in runs that share a scale. `place` is the number of the scale at (row, column), and how many
    /// columns share it; `run` gets it, where the run begins, and its place.
    #[inline(always)]
    fn runs(
        &self,
        first: usize,
        out: &mut [f32],
        place: impl Fn(usize, usize) -> (usize, usize),
        run: impl Fn(usize, usize, &mut [f32]),
    ) {
        self.rows_of(
            first,
            out,
            #[inline(always)]
            |row, mut column, mut out: &mut [f32]| {
                while !out.is_empty() {
                    let (number, shared) = place(row, column);
                    let length = shared.min(out.len());
                    let (here, rest) = out.split_at_mut(length);
                    run(number, row * self.columns() + column, here);
                    (column, out) = (column + length, rest);
                }
            },
        );
    }
}
