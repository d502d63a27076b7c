//! The sinusoidal embedding of numbers.

use crate::eval::row_op::{Prepared, Setup, fresh};

/// cos then sin of t·exp(−ln(10000)·i/half) (docs/model/transformer.md 5). Exponents, frequencies and products are
/// f32 numbers, as in the reference: at t = 1000 their last bits move the angle by 1e-5 and more. Functions are taken
/// in f64 and rounded once.
pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>, half: usize) -> Prepared<'a> {
    let t = setup.input(0).values()?;
    let rate = -libm::log(10000.0) as f32;
    let exponent = |i: usize| rate * i as f32 / half as f32;
    let frequencies: Vec<f32> = (0..half).map(|i| libm::exp(f64::from(exponent(i))) as f32).collect();
    fresh(move |panel, out| {
        for (row, out) in panel.rows.clone().zip(out.chunks_exact_mut(2 * half)) {
            for (i, f) in frequencies.iter().enumerate() {
                let angle = f64::from(t[row] * f);
                out[i] = libm::cos(angle) as f32;
                out[half + i] = libm::sin(angle) as f32;
            }
        }
    })
}
