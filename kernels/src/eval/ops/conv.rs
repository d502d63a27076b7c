//! Convolutions.

use crate::eval::Tensor;
use crate::eval::product::{Image, Matrix, Packed, unit};
use crate::eval::row_op::{Prepared, Setup, fresh};

use super::linear::{Weight, add_bias, elements};

/// `[cout, k.., cin]` laid out as `[k.., cin, cout]`.
pub(crate) fn pack(weight: &Tensor<'_>, dilation: usize) -> Option<Packed> {
    let [n, taps @ .., channels] = weight.shape else { return None };
    let unit = unit(*channels, *taps.last()?, dilation);
    let order: Vec<usize> = (0..taps.iter().product::<usize>() * channels).collect();
    let matrix = Matrix::pack(&elements(weight)?, *n, order.len(), &order, unit);
    Some(Packed { matrices: vec![matrix] })
}

/// The last three of `values`, with `fill` in front where there are fewer.
fn three(values: &[usize], fill: usize) -> [usize; 3] {
    let mut out = [fill; 3];
    out[3 - values.len()..].copy_from_slice(values);
    out
}

/// Products of the patches and the weight; the sum of an element runs over taps, and in a tap over channels.
pub(crate) fn prepare<'a>(
    setup: &Setup<'a, '_>,
    pads: &[usize],
    replicate: bool,
    stride: usize,
    dilation: usize,
) -> Prepared<'a> {
    let (x, w, n) = (setup.input(0), setup.input(1), setup.cols());
    let axes = x.shape.len() - 1;
    let channels = x.cols();
    let kernel = three(&w.shape[1..=axes], 1);
    let k = channels * kernel.iter().product::<usize>();
    let unit = unit(channels, kernel[2], dilation);
    let weight = Weight::of(setup, (1, k, n), |_| unit, |w| pack(w, dilation))?;
    let bias = setup.inputs.get(2).map(|b| b.values()).transpose()?;
    let before: Vec<usize> = pads.iter().step_by(2).copied().collect();
    let image = Image {
        x: x.values()?,
        extent: three(&x.shape[..axes], 1),
        channels,
        kernel,
        before: three(&before, 0),
        result: three(&setup.shape[..axes], 1),
        replicate: replicate.then_some(3 - axes),
        stride,
        dilation,
    };
    fresh(move |panel, out| {
        let mut rest = &mut out[..];
        for (frame, positions) in image.frames(panel.rows.clone()) {
            let (here, after) = rest.split_at_mut(positions.len() * n);
            rest = after;
            image.patches(frame, positions).multiply(&weight.matrices()[0], here, panel.wide);
        }
        add_bias(out, bias.as_deref());
    })
}
