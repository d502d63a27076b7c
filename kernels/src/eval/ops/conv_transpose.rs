//! Transposed convolutions of one axis.

use crate::eval::Tensor;
use crate::eval::product::{Image, Matrix, Packed, unit};
use crate::eval::row_op::{Prepared, Setup, fresh};
use crate::eval::scratch::Scratch;

use super::linear::{Weight, add_bias, elements};

/// Taps of a phase: those of the `k` that are `phase` modulo the stride.
fn taps(k: usize, stride: usize, phase: usize) -> usize {
    (k + stride - 1 - phase) / stride
}

/// `[cin, cout, k]` as one matrix for each phase: output samples p with (p + pad) % stride = φ see the taps φ,
/// φ + stride, .. only. Within a phase the taps run backwards, so that the samples they meet run forwards.
pub(crate) fn pack(weight: &Tensor<'_>, stride: usize) -> Option<Packed> {
    let &[channels, n, k] = weight.shape else { return None };
    let data = elements(weight)?;
    let matrices = (0..stride).map(|phase| {
        let tap = |t: usize| phase + (taps(k, stride, phase) - 1 - t) * stride;
        let count = taps(k, stride, phase);
        let order: Vec<usize> = (0..count)
            .flat_map(|t| (0..channels).map(move |c| (c, t)))
            .map(|(c, t)| c * n * k + tap(t))
            .collect();
        Matrix::pack(&data, n, k, &order, unit(channels, count, 1))
    });
    Some(Packed { matrices: matrices.collect() })
}

/// y\[p\] = Σ x\[i\]·w[p + pad − i·stride]: for each phase an ordinary convolution.
pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>, stride: usize, pad: usize) -> Prepared<'a> {
    let (x, w, n) = (setup.input(0), setup.input(1), setup.cols());
    let (length, channels, k) = (x.rows(), x.cols(), w.cols());
    let unit = |phase| unit(channels, taps(k, stride, phase), 1);
    let weight = Weight::of(setup, (stride, k * channels, n), unit, |w| pack(w, stride))?;
    let bias = setup.input(2).values()?;
    let x = x.values()?;
    fresh(move |panel, out| {
        // Output p of phase φ, with q = (p + pad) / stride, sees samples q − taps + 1 ..= q.
        let padded = panel.rows.start + pad..panel.rows.end + pad;
        for (phase, matrix) in weight.matrices().iter().enumerate() {
            let first = (padded.start + stride - 1 - phase) / stride;
            let last = (padded.end + stride - 1 - phase) / stride;
            let count = taps(k, stride, phase);
            let image = Image {
                x: (&*x).into(),
                extent: [1, 1, length],
                channels,
                kernel: [1, 1, count.max(1)],
                before: [0, 0, count.saturating_sub(1)],
                result: [1, 1, usize::MAX],
                replicate: None,
                stride: 1,
                dilation: 1,
            };
            let mut phase_rows = Scratch::new((last - first) * n);
            if first < last {
                image.patches(0, first..last).multiply(matrix, &mut phase_rows, panel.wide);
            }
            for (q, phase_rows) in (first..last).zip(phase_rows.chunks_exact(n.max(1))) {
                let row = q * stride + phase - padded.start;
                out[row * n..][..n].copy_from_slice(phase_rows);
            }
        }
        add_bias(out, Some(&bias));
    })
}
