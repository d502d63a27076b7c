//! The left operand of a convolution: patches of an image.

use std::borrow::Cow;
use std::ops::Range;

use super::Source;

/// With fewer channels than this, the numbers under all taps are gathered for the product; with more, every tap is a
/// product of its own, of the image where it lies.
const FEW: usize = 64;

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

/// Places of k that stay together when the weight of a convolution falls into blocks.
pub(crate) fn unit(channels: usize, taps: usize) -> usize {
    if channels < FEW { channels * taps } else { channels }
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

    fn taps(&self, tap: usize) -> [usize; 3] {
        let [_, b, j] = self.kernel;
        [tap / j / b, tap / j % b, tap % j]
    }

    /// Output positions from row `first` on.
    fn positions(&self, first: usize) -> impl Iterator<Item = [usize; 3]> {
        let [_, height, width] = self.result;
        let start = [first / width / height, first / width % height, first % width];
        std::iter::successors(Some(start), move |[t, h, w]| {
            Some(match (h + 1 < height, w + 1 < width) {
                (_, true) => [*t, *h, w + 1],
                (true, false) => [*t, h + 1, 0],
                (false, false) => [t + 1, 0, 0],
            })
        })
    }

    /// Places `k` of one row, copied to `out`.
    fn gather(&self, position: [usize; 3], k: Range<usize>, out: &mut [f32]) {
        let across = if self.inside(position[2]) { self.kernel[2] } else { 1 };
        let run = across * self.channels;
        let mut at = k.start;
        while at < k.end {
            let within = at % run;
            let len = (run - within).min(k.end - at);
            let from = self.run(position, self.taps(at / run * across), within, len);
            out[at - k.start..][..len].copy_from_slice(from);
            at += len;
        }
    }
}

impl Source for Image<'_> {
    fn rows<'a>(
        &'a self,
        first: usize,
        count: usize,
        k: Range<usize>,
        scratch: &'a mut [f32],
    ) -> Vec<&'a [f32]> {
        let positions = self.positions(first).take(count);
        if self.channels < FEW {
            let copy = |(position, out): ([usize; 3], &'a mut [f32])| {
                self.gather(position, k.clone(), out);
                &*out
            };
            return positions.zip(scratch.chunks_exact_mut(k.len())).map(copy).collect();
        }
        let (taps, channel) = (self.taps(k.start / self.channels), k.start % self.channels);
        positions.map(|position| self.run(position, taps, channel, k.len())).collect()
    }
}
