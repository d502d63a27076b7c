//! Codes times the scales of their blocks: fp8, int8, MXFP8, NVFP4.

use crate::number::{Code, e2m1, e4m3, e8m0};
use crate::tiles::tile_place;
use crate::{Blocks, Matrix};

impl Matrix<'_> {
    /// Codes of 8 bits times an f32 scale, rounded once.
    pub(crate) fn scaled(&self, code: Code, blocks: Blocks, first: usize, out: &mut [f32]) {
        self.runs(
            first,
            out,
            |row, column| blocks.place(row, column, self.columns()),
            |number, at, out| {
                let scale = self.f32_scale(number);
                let codes = &self.codes()[at..at + out.len()];
                out.iter_mut().zip(codes).for_each(|(out, byte)| *out = code.value(*byte) * scale);
            },
        );
    }

    /// E4M3 times 2^(e - 127) of 32 columns.
    pub(crate) fn mxfp8(&self, first: usize, out: &mut [f32]) {
        let blocks = self.columns() / 32;
        let place = |row, column: usize| (tile_place(row, column / 32, blocks), 32 - column % 32);
        self.runs(first, out, place, |number, at, out| {
            let scale = e8m0(self.scales()[number]);
            let codes = &self.codes()[at..at + out.len()];
            out.iter_mut().zip(codes).for_each(|(out, byte)| *out = e4m3(*byte) * scale);
        });
    }

    /// E2M1, two to a byte and the first of them in the upper half, times (the tensor's scale times E4M3 of 16 columns).
    pub(crate) fn nvfp4(&self, first: usize, out: &mut [f32]) {
        let blocks = self.columns() / 16;
        let place = |row, column: usize| (tile_place(row, column / 16, blocks), 16 - column % 16);
        self.runs(first, out, place, |number, at, out| {
            let scale = self.tensor_scale() * e4m3(self.scales()[number]);
            let codes = &self.codes()[at / 2..(at + out.len()) / 2];
            for (pair, byte) in out.as_chunks_mut::<2>().0.iter_mut().zip(codes) {
                *pair = [e2m1(byte >> 4) * scale, e2m1(*byte) * scale];
            }
        });
    }

    /// Goes through the elements from `first` on in runs that share a scale. `place` is the number of the scale at (row,
    /// column), and how many columns share it; `run` gets it, where the run begins, and its place.
    fn runs(
        &self,
        first: usize,
        mut out: &mut [f32],
        place: impl Fn(usize, usize) -> (usize, usize),
        run: impl Fn(usize, usize, &mut [f32]),
    ) {
        let mut at = first;
        while !out.is_empty() {
            let (row, column) = (at / self.columns(), at % self.columns());
            let (number, shared) = place(row, column);
            let length = shared.min(self.columns() - column).min(out.len());
            let (here, rest) = out.split_at_mut(length);
            run(number, at, here);
            (at, out) = (at + length, rest);
        }
    }
}
