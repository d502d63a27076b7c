//! Codes times the scales of their blocks: fp8, int8, MXFP8, NVFP4.

use crate::number::{Code, e2m1_value, e4m3, e4m3_value, e8m0};
use crate::tiles::tile_place;
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
        let blocks = self.columns() / 32;
        let place = |row, column: usize| (tile_place(row, column / 32, blocks), 32 - column % 32);
        self.runs(
            first,
            out,
            place,
            #[inline(always)]
            |number, at, out: &mut [f32]| {
                let scale = e8m0(self.scales()[number]);
                let codes = &self.codes()[at..at + out.len()];
                // Whole blocks, whose length the compiler knows.
                for (out, codes) in out.as_chunks_mut::<32>().0.iter_mut().zip(codes.as_chunks::<32>().0) {
                    for (out, byte) in out.iter_mut().zip(codes) {
                        *out = e4m3_value(*byte) * scale;
                    }
                }
            },
        );
    }

    /// E2M1, two to a byte and the first of them in the upper half, times (the tensor's scale times E4M3 of 16 columns).
    #[inline(always)]
    pub(crate) fn nvfp4(&self, first: usize, out: &mut [f32]) {
        let blocks = self.columns() / 16;
        let place = |row, column: usize| (tile_place(row, column / 16, blocks), 16 - column % 16);
        self.runs(
            first,
            out,
            place,
            #[inline(always)]
            |number, at, out: &mut [f32]| {
                let scale = self.tensor_scale() * e4m3(self.scales()[number]);
                let codes = &self.codes()[at / 2..(at + out.len()) / 2];
                for (out, codes) in out.as_chunks_mut::<16>().0.iter_mut().zip(codes.as_chunks::<8>().0) {
                    for (pair, byte) in out.as_chunks_mut::<2>().0.iter_mut().zip(codes) {
                        *pair = [e2m1_value(byte >> 4) * scale, e2m1_value(*byte) * scale];
                    }
                }
            },
        );
    }

    /// Goes through the elements from `first` on in runs that share a scale. `place` is the number of the scale at (row,
    /// column), and how many columns share it; `run` gets it, where the run begins, and its place.
    #[inline(always)]
    fn runs(
        &self,
        first: usize,
        mut out: &mut [f32],
        place: impl Fn(usize, usize) -> (usize, usize),
        run: impl Fn(usize, usize, &mut [f32]),
    ) {
        let (mut row, mut column) = (first / self.columns(), first % self.columns());
        while !out.is_empty() {
            let (number, shared) = place(row, column);
            let length = shared.min(self.columns() - column).min(out.len());
            let (here, rest) = out.split_at_mut(length);
            run(number, row * self.columns() + column, here);
            (column, out) = (column + length, rest);
            if column == self.columns() {
                (row, column) = (row + 1, 0);
            }
        }
    }
}
