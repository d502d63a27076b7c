//! Channels to space and back, and nearest-neighbour growth.

use crate::eval::row_op::{Prepared, Setup, fresh};
use crate::eval::scratch::Scratch;

/// Channel ((c·st + a)·sh + b)·sw + d of a position goes to its offset (a, b, d); the first `drop` frames are left out
/// (docs/model/video-vae.md 4).
pub(crate) fn depth_to_space<'a>(
    setup: &Setup<'a, '_>,
    [st, sh, sw]: [usize; 3],
    drop: usize,
) -> Prepared<'a> {
    let offset = move |t: usize, h: usize, w: usize| ((t % st) * sh + h % sh) * sw + w % sw;
    unfold(setup, [st, sh, sw], drop, offset)
}

/// Channel c·p² + column·p + row goes to offset (row, column): the column offset is the slower one
/// (docs/model/video-vae.md 4).
pub(crate) fn unpatchify<'a>(setup: &Setup<'a, '_>, patch: usize) -> Prepared<'a> {
    unfold(setup, [1, patch, patch], 0, move |_, h, w| (w % patch) * patch + h % patch)
}

/// Row (t, h, w) of the result takes every `st·sh·sw`-th channel of position (t/st, h/sh, w/sw), from `offset` on.
fn unfold<'a>(
    setup: &Setup<'a, '_>,
    [st, sh, sw]: [usize; 3],
    drop: usize,
    offset: impl Fn(usize, usize, usize) -> usize + Send + Sync + 'a,
) -> Prepared<'a> {
    let x = setup.input(0).tensor()?;
    let ([height, width], c) = ([setup.shape[1], setup.shape[2]], setup.cols());
    let step = st * sh * sw;
    fresh(move |panel, out| {
        let mut channels = Scratch::new(x.cols());
        let mut loaded = usize::MAX;
        for (row, out) in panel.rows.clone().zip(out.chunks_exact_mut(c)) {
            let (t, h, w) = (row / (width * height) + drop, row / width % height, row % width);
            let from = ((t / st) * x.shape[1] + h / sh) * x.shape[2] + w / sw;
            if from != loaded {
                x.load(from, 0..x.cols(), &mut channels);
                loaded = from;
            }
            let taken = channels[offset(t, h, w)..].iter().step_by(step);
            out.iter_mut().zip(taken).for_each(|(out, x)| *out = *x);
        }
    })
}

/// Offset (a, b, d) goes to channel ((c·st + a)·sh + b)·sw + d; the first frame stands `repeat` more times in front
/// (docs/model/video-vae.md 4).
pub(crate) fn space_to_depth<'a>(
    setup: &Setup<'a, '_>,
    [st, sh, sw]: [usize; 3],
    repeat: usize,
) -> Prepared<'a> {
    let x = setup.input(0).tensor()?;
    let (width, height, n) = (setup.shape[2], setup.shape[1], setup.cols());
    let step = st * sh * sw;
    fresh(move |panel, out| {
        let mut channels = Scratch::new(x.cols());
        for (row, out) in panel.rows.clone().zip(out.chunks_exact_mut(n)) {
            let (t, h, w) = (row / (width * height), row / width % height, row % width);
            for offset in 0..step {
                let (a, b, d) = (offset / (sh * sw), offset / sw % sh, offset % sw);
                let frame = (t * st + a).saturating_sub(repeat);
                let from = (frame * x.shape[1] + h * sh + b) * x.shape[2] + w * sw + d;
                x.load(from, 0..x.cols(), &mut channels);
                out[offset..].iter_mut().step_by(step).zip(&channels[..]).for_each(|(out, x)| *out = *x);
            }
        }
    })
}

/// Planes to patches: pixel (row, column) of channel c goes to channel c·p² + column·p + row (docs/model/video-vae.md 4).
pub(crate) fn patchify<'a>(setup: &Setup<'a, '_>, patch: usize) -> Prepared<'a> {
    let x = setup.input(0).tensor()?;
    let (frames, height, width, n) = (setup.shape[0], setup.shape[1], setup.shape[2], setup.cols());
    fresh(move |panel, out| {
        let mut line = Scratch::new(patch);
        for (at, out) in panel.rows.clone().zip(out.chunks_exact_mut(n)) {
            let (t, h, w) = (at / (width * height), at / width % height, at % width);
            for (i, out) in out.chunks_exact_mut(patch * patch).enumerate() {
                for row in 0..patch {
                    let from = ((i * frames + t) * height + h) * patch + row;
                    x.load(from, w * patch..(w + 1) * patch, &mut line);
                    out[row..].iter_mut().step_by(patch).zip(&line[..]).for_each(|(out, x)| *out = *x);
                }
            }
        }
    })
}

/// The mean of every `size` channels in a row.
pub(crate) fn group_mean<'a>(setup: &Setup<'a, '_>, size: usize) -> Prepared<'a> {
    let n = setup.cols();
    fresh(move |panel, out| {
        for (i, out) in out.chunks_exact_mut(n).enumerate() {
            let groups = panel.row(0, i, n * size).chunks_exact(size);
            out.iter_mut()
                .zip(groups)
                .for_each(|(out, group)| *out = group.iter().sum::<f32>() / size as f32);
        }
    })
}

/// Every position four times.
pub(crate) fn upsample<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let x = setup.input(0).tensor()?;
    let (width, c) = (setup.shape[1], setup.cols());
    fresh(move |panel, out| {
        for (row, out) in panel.rows.clone().zip(out.chunks_exact_mut(c)) {
            x.load(row / width / 2 * x.shape[1] + row % width / 2, 0..c, out);
        }
    })
}
