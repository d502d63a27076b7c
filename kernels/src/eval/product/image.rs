//! The left operand of a convolution: patches of an image.

use std::borrow::Cow;
use std::ops::Range;

use super::{Left, Matrix};
use crate::eval::scratch::Scratch;

/// An image `[t, h, w, channels]` (leading axes 1 where there are fewer) and how a kernel goes over it.
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
    /// Of the last axis.
    pub stride: usize,
    /// Of the last axis.
    pub dilation: usize,
}

/// Places of k that lie side by side in a padded image: those of the taps along the last axis, or of one tap.
pub(crate) fn unit(channels: usize, across: usize, dilation: usize) -> usize {
    if dilation == 1 { across * channels } else { channels }
}

/// Numbers under the kernel at positions of one frame: a piece of the padded image, in which the patch of a position
/// begins a fixed distance after that of the one before. Between the rows of the image this makes patches which
/// belong to no position.
pub(crate) struct Patches<'i, 'a> {
    image: &'i Image<'a>,
    /// `[kernel t, rows, width, channels]`.
    padded: Scratch,
    rows: usize,
    width: usize,
    /// First and last row of the result, and columns: of the first and after the last position.
    down: Range<usize>,
    across: Range<usize>,
    /// Patches from the start of the padded rows to the first position.
    skip: usize,
}

impl<'a> Image<'a> {
    /// The pieces of the positions `range` (row-major) that lie in one frame: frame, and positions in it.
    pub fn frames(&self, range: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let size = self.result[1].saturating_mul(self.result[2]).max(1);
        (range.start / size..range.end.div_ceil(size)).map(move |t| {
            let first = t * size;
            (t, range.start.max(first) - first..range.end.min(first.saturating_add(size)) - first)
        })
    }

    /// The place on `axis` of a place of the padded image, or nothing where zeros are.
    fn place(&self, axis: usize, padded: usize) -> Option<usize> {
        let last = self.extent[axis] - 1;
        if self.replicate == Some(axis) {
            return Some(padded.saturating_sub(self.before[axis]).min(last));
        }
        padded.checked_sub(self.before[axis]).filter(|p| *p <= last)
    }

    /// The patches of `positions` of frame `t`.
    pub fn patches(&self, t: usize, positions: Range<usize>) -> Patches<'_, 'a> {
        let [deep, high, wide] = self.kernel;
        let width = self.result[2];
        let down = positions.start / width..(positions.end - 1) / width + 1;
        let (first, last) = (positions.start % width, (positions.end - 1) % width);
        // Of a single row only what is under the kernel.
        let columns = if down.len() == 1 { first..last + 1 } else { 0..width };
        let needed = (columns.len() - 1) * self.stride + (wide - 1) * self.dilation + 1;
        let (rows, width) = (down.len() + high - 1, needed.next_multiple_of(self.stride));
        let mut padded = Scratch::new(deep * rows * width * self.channels);
        for (i, out) in padded.chunks_exact_mut((width * self.channels).max(1)).enumerate() {
            self.pad(t + i / rows, down.start + i % rows, columns.start * self.stride, out);
        }
        let skip = first - columns.start;
        Patches { image: self, padded, rows, width, down, across: first..last + 1, skip }
    }

    /// A row of the padded image from column `first`.
    fn pad(&self, t: usize, row: usize, first: usize, out: &mut [f32]) {
        let c = self.channels;
        let (Some(t), Some(row)) = (self.place(0, t), self.place(1, row)) else { return out.fill(0.0) };
        let [_, height, width] = self.extent;
        let from = &self.x[(t * height + row) * width * c..][..width * c];
        let columns = out.len() / c.max(1);
        let inside = |column: usize| column.clamp(first, first + columns) - first;
        let middle = inside(self.before[2])..inside(self.before[2] + width);
        for (column, out) in out.chunks_exact_mut(c.max(1)).enumerate() {
            if !middle.contains(&column) {
                match self.place(2, first + column) {
                    Some(place) => out.copy_from_slice(&from[place * c..][..c]),
                    None => out.fill(0.0),
                }
            }
        }
        if !middle.is_empty() {
            let start = first + middle.start - self.before[2];
            out[middle.start * c..middle.end * c].copy_from_slice(&from[start * c..][..middle.len() * c]);
        }
    }
}

impl Patches<'_, '_> {
    /// Patches from one row of the image to the next.
    fn pitch(&self) -> usize {
        self.width / self.image.stride
    }

    /// Patches from that of the first position to that of the last, those of no position among them.
    fn count(&self) -> usize {
        (self.down.len() - 1) * self.pitch() + self.across.end - self.across.start
    }

    /// The product of the patches and a weight `[kernel, channels, n]`.
    pub fn multiply(&self, weight: &Matrix, out: &mut [f32], wide: bool) {
        let image = self.image;
        let (channels, [_, high, across]) = (image.channels, image.kernel);
        let left = |k: &Range<usize>| {
            let (tap, channel) = (k.start / channels, k.start % channels);
            let (a, b, j) = (tap / across / high, tap / across % high, tap % across);
            let row = (a * self.rows + b) * self.width + self.skip * image.stride;
            let column = j * image.dilation;
            let data = &self.padded[(row + column) * channels + channel..];
            Left { data, row: image.stride * channels, depth: 1 }
        };
        let (n, pitch) = (weight.n, self.pitch());
        if self.down.len() == 1 || pitch == image.result[2] {
            return weight.multiply(&left, self.count(), out, wide);
        }
        let mut all = Scratch::new(self.count() * n);
        weight.multiply(&left, self.count(), &mut all, wide);
        let (mut done, width) = (0, image.result[2]);
        for row in 0..self.down.len() {
            let first = if row == 0 { self.across.start } else { 0 };
            let end = if row + 1 == self.down.len() { self.across.end } else { width };
            let from = (row * pitch + first - self.across.start) * n;
            let len = (end - first) * n;
            out[done..done + len].copy_from_slice(&all[from..from + len]);
            done += len;
        }
    }
}
