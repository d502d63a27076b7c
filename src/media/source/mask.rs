//! A video as weights of latent cells (docs/model/pipelines.md 2.5).

use super::Footage;
use crate::media::image::fit_rgb;

impl Footage {
    /// Of each latent cell [frames, rows, columns] how bright the video is there, 0 to 1: the mean of its pixels, where the
    /// video is scaled to cover `width` x `height`. Frame 0 is a latent frame of its own; the `frames` - 1 behind it fall
    /// into as many equal parts as there are others. A video of fewer frames stays as its last one is.
    pub fn brightness(
        &self,
        frames: usize,
        (width, height): (usize, usize),
        [cells, rows, columns]: [usize; 3],
    ) -> Vec<f32> {
        let each = frames.saturating_sub(1) / cells.saturating_sub(1).max(1);
        let plane = rows * columns;
        let mut out = vec![0.0f32; cells * plane];
        let mut last: Option<(usize, Vec<f32>)> = None;
        for (cell, out) in out.chunks_exact_mut(plane).enumerate() {
            let covered = if cell == 0 { 0..1 } else { 1 + (cell - 1) * each..1 + cell * each };
            let share = 1.0 / covered.len().max(1) as f32;
            for frame in covered {
                let frame = frame.min(self.frames.len() - 1);
                if last.as_ref().is_none_or(|(known, _)| *known != frame) {
                    let fitted = fit_rgb(&self.frames[frame], (self.width, self.height), (width, height));
                    last = Some((frame, averaged(&fitted, (width, height), (rows, columns))));
                }
                let Some((_, averaged)) = &last else { continue };
                out.iter_mut().zip(averaged).for_each(|(out, x)| *out += share * x);
            }
        }
        out
    }
}

/// Means of the parts of a frame [3, height, width] in -1..1, which `rows` and `columns` divide, as 0 to 1.
fn averaged(rgb: &[f32], (width, height): (usize, usize), (rows, columns): (usize, usize)) -> Vec<f32> {
    let (high, wide) = (height / rows, width / columns);
    let mut sums = vec![0.0f64; rows * columns];
    for (i, line) in rgb.chunks_exact(width).enumerate() {
        let row = i % height / high;
        for (column, pixels) in line.chunks_exact(wide).enumerate() {
            sums[row * columns + column] += pixels.iter().map(|x| f64::from(*x)).sum::<f64>();
        }
    }
    let count = (3 * high * wide) as f64;
    sums.into_iter().map(|sum| ((sum / count + 1.0) / 2.0).clamp(0.0, 1.0) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each cell is the mean of its pixels and frames; the first frame stands alone, and the last one stays.
    #[test]
    fn cells_are_means_of_what_they_cover() {
        let (width, height) = (8, 4);
        // Frame f is white in its first f columns.
        let frame = |f: usize| {
            let pixel = |i: usize| [if i % width < f { 255u8 } else { 0 }; 3];
            (0..width * height).flat_map(pixel).collect::<Vec<_>>()
        };
        let footage = Footage {
            width,
            height,
            fps: 25.0,
            frames: (0..7).map(|number| frame(number).into()).collect(),
            total: None,
            notes: Vec::new(),
        };
        let cells = footage.brightness(9, (width, height), [3, 2, 2]);
        let want = |first: usize, last: usize, columns: std::ops::Range<usize>| {
            let white = |f: usize| columns.clone().filter(|c| *c < f.min(6)).count() as f32;
            (first..=last).map(white).sum::<f32>() / ((last + 1 - first) * columns.len()) as f32
        };
        for (t, (first, last)) in [(0, 0), (1, 4), (5, 8)].into_iter().enumerate() {
            for row in 0..2 {
                for (column, columns) in [0..4, 4..8].into_iter().enumerate() {
                    let made = cells[t * 4 + row * 2 + column];
                    let want = want(first, last, columns);
                    assert!((made - want).abs() < 1e-6, "{t} {row} {column}: {made} for {want}");
                }
            }
        }
        assert_eq!(footage.brightness(1, (width, height), [1, 1, 1]), [0.0]);
    }
}
