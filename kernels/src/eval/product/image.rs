//! The left operand of a convolution: patches of an image, gathered while they are packed.

use std::borrow::Cow;
use std::ops::Range;

use super::{HEIGHT, Source, interleave};

/// Patches of an image `[t, h, w, channels]` (leading axes 1 where there are fewer): row r is output position r in
/// row-major order, and place k of it is channel k % channels under tap k / channels in row-major order.
pub(crate) struct Image<'a> {
    pub x: Cow<'a, [f32]>,
    pub extent: [usize; 3],
    pub channels: usize,
    pub kernel: [usize; 3],
    pub before: [usize; 3],
    /// Extents of the result; of the last two the positions are made.
    pub result: [usize; 3],
    /// The axis that repeats its edges; all else is zeros.
    pub replicate: Option<usize>,
    pub stride: usize,
    pub dilation: usize,
    /// As many zeros as a run of taps along the last axis has numbers.
    pub zeros: Vec<f32>,
}

impl Image<'_> {
    /// The place on `axis` under a tap, or nothing where zeros are.
    fn place(&self, axis: usize, position: usize, tap: usize) -> Option<usize> {
        let (stride, dilation) = if axis == 2 { (self.stride, self.dilation) } else { (1, 1) };
        let padded = position * stride + tap * dilation;
        let last = self.extent[axis] - 1;
        if self.replicate == Some(axis) {
            return Some(padded.saturating_sub(self.before[axis]).min(last));
        }
        padded.checked_sub(self.before[axis]).filter(|p| *p <= last)
    }

    /// True when all taps along the last axis lie side by side inside the image.
    fn inside(&self, position: usize) -> bool {
        let start = position * self.stride;
        self.dilation == 1
            && start >= self.before[2]
            && start - self.before[2] + self.kernel[2] <= self.extent[2]
    }

    /// `len` numbers from channel `c` on under tap (a, b, j) of an output position.
    fn run(&self, [t, h, w]: [usize; 3], [a, b, j]: [usize; 3], c: usize, len: usize) -> &[f32] {
        let place = || Some((self.place(0, t, a)?, self.place(1, h, b)?, self.place(2, w, j)?));
        match place() {
            Some((t, h, w)) => {
                let at = ((t * self.extent[1] + h) * self.extent[2] + w) * self.channels + c;
                &self.x[at..at + len]
            }
            None => &self.zeros[..len],
        }
    }
}

impl Source for Image<'_> {
    fn pack(&self, row: usize, count: usize, k: Range<usize>, height: usize, out: &mut [f32]) {
        let [_, rows, columns] = self.result;
        let position = |r: usize| [r / columns / rows, r / columns % rows, r % columns];
        let mut positions = [[0; 3]; HEIGHT];
        positions[..count].iter_mut().enumerate().for_each(|(r, p)| *p = position(row + r));
        let positions = &positions[..count];
        let across = if positions.iter().all(|p| self.inside(p[2])) { self.kernel[2] } else { 1 };
        let run = across * self.channels;
        let empty: &[f32] = &[];
        let mut slices = [empty; HEIGHT];
        let mut at = k.start;
        while at < k.end {
            let (tap, within) = (at / run * across, at % run);
            let len = (run - within).min(k.end - at);
            let taps = [
                tap / self.kernel[2] / self.kernel[1],
                tap / self.kernel[2] % self.kernel[1],
                tap % self.kernel[2],
            ];
            for (slice, position) in slices.iter_mut().zip(positions) {
                *slice = self.run(*position, taps, within, len);
            }
            interleave(&slices[..count], len, height, &mut out[(at - k.start) * height..][..len * height]);
            at += len;
        }
    }
}
