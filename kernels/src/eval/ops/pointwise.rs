//! Ops on elements where they lie.

use multiversion::multiversion;
use zoetrope_model_spec::lang::{BinaryFn, Dtype, UnaryFn};

use crate::eval::math;
use crate::eval::row_op::{Prepared, Setup, fresh, in_place};
use crate::eval::rows::cols;

/// The activations are polynomials of [`math`]. Sine, cosine, exponential and logarithm, which appear in tables and
/// embeddings, are those of libm in f64, rounded once: arguments reach 2e4 and more (docs/model/transformer.md 4).
pub(crate) fn unary<'a>(f: UnaryFn) -> Prepared<'a> {
    let through_f64 =
        |x: &mut [f32], f: fn(f64) -> f64| x.iter_mut().for_each(|x| *x = f(f64::from(*x)) as f32);
    in_place(move |_, x| match f {
        UnaryFn::Silu => silu(x),
        UnaryFn::Gelu => gelu(x),
        UnaryFn::Sigmoid => sigmoid(x),
        UnaryFn::Exp => through_f64(x, libm::exp),
        UnaryFn::Log => through_f64(x, libm::log),
        UnaryFn::Sin => through_f64(x, libm::sin),
        UnaryFn::Cos => through_f64(x, libm::cos),
        UnaryFn::Sqrt => x.iter_mut().for_each(|x| *x = x.sqrt()),
    })
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn silu(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = math::silu(*x));
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn gelu(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = math::gelu(*x));
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn sigmoid(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = math::sigmoid(*x));
}

/// x·scale + offset, each rounded.
pub(crate) fn affine<'a>(scale: f32, offset: f32) -> Prepared<'a> {
    in_place(move |_, x| x.iter_mut().for_each(|x| *x = *x * scale + offset))
}

/// Every row of x plus every row of y.
pub(crate) fn outer_add<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let (x, y, n) = (setup.input(0).tensor()?, setup.input(1).values()?, setup.cols());
    let rows = setup.input(1).rows();
    fresh(move |panel, out| {
        for (row, out) in panel.rows.clone().zip(out.chunks_exact_mut(n)) {
            x.load(row / rows, 0..n, out);
            out.iter_mut().zip(&y[row % rows * n..][..n]).for_each(|(out, y)| *out += y);
        }
    })
}

/// lo where x < lo, hi where x > hi; a NaN stays one.
pub(crate) fn clamp<'a>(lo: f32, hi: f32) -> Prepared<'a> {
    in_place(move |_, x| {
        for x in x {
            let raised = if *x < lo { lo } else { *x };
            *x = if raised > hi { hi } else { raised };
        }
    })
}

/// Nothing between real numbers: only what a kernel writes is rounded. To an integer, towards zero, and to the nearest
/// that there is; a NaN becomes 0.
pub(crate) fn cast<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let (from, to) = (setup.input(0).dtype, setup.dtype);
    in_place(move |_, x| match (from, to) {
        (Dtype::I32 | Dtype::U8, Dtype::F32 | Dtype::Bf16) => {
            x.iter_mut().for_each(|x| *x = x.to_bits() as i32 as f32)
        }
        (Dtype::F32 | Dtype::Bf16, Dtype::I32) => {
            x.iter_mut().for_each(|x| *x = f32::from_bits(*x as i32 as u32))
        }
        (Dtype::F32 | Dtype::Bf16, Dtype::U8) => {
            x.iter_mut().for_each(|x| *x = f32::from_bits(u32::from(*x as u8)))
        }
        _ => {}
    })
}

pub(crate) fn copy<'a>() -> Prepared<'a> {
    in_place(|_, _| {})
}

/// The right operand has the shape of the left one, or one row, one column or one element.
pub(crate) fn binary<'a>(setup: &Setup<'a, '_>, f: BinaryFn) -> Prepared<'a> {
    let (n, y) = (setup.cols(), setup.input(1));
    let one_column = y.cols() == 1;
    let row = y.whole.map(|t| t.to_f32());
    in_place(move |panel, x| match (&row, one_column) {
        (Some(y), true) => with_number(f, x, y[0]),
        (Some(y), false) => x.chunks_exact_mut(n).for_each(|x| with_row(f, x, y)),
        (None, true) => {
            x.chunks_exact_mut(n).enumerate().for_each(|(i, x)| with_number(f, x, panel.row(1, i, 1)[0]))
        }
        (None, false) => {
            x.chunks_exact_mut(n).enumerate().for_each(|(i, x)| with_row(f, x, panel.row(1, i, n)))
        }
    })
}

fn with_row(f: BinaryFn, x: &mut [f32], y: &[f32]) {
    let pairs = x.iter_mut().zip(y);
    match f {
        BinaryFn::Add => pairs.for_each(|(x, y)| *x += y),
        BinaryFn::Sub => pairs.for_each(|(x, y)| *x -= y),
        BinaryFn::Mul => pairs.for_each(|(x, y)| *x *= y),
        BinaryFn::Div => pairs.for_each(|(x, y)| *x /= y),
    }
}

fn with_number(f: BinaryFn, x: &mut [f32], y: f32) {
    let x = x.iter_mut();
    match f {
        BinaryFn::Add => x.for_each(|x| *x += y),
        BinaryFn::Sub => x.for_each(|x| *x -= y),
        BinaryFn::Mul => x.for_each(|x| *x *= y),
        BinaryFn::Div => x.for_each(|x| *x /= y),
    }
}

/// x + sin²(x·e^α)/(e^β + 1e-9) per channel (docs/model/audio.md 8).
pub(crate) fn snake<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let n = setup.cols();
    let exp = |x: &f32| libm::exp(f64::from(*x));
    let rate: Vec<f32> = setup.input(1).values()?.iter().map(|a| exp(a) as f32).collect();
    let gain: Vec<f32> = setup.input(2).values()?.iter().map(|b| (1.0 / (exp(b) + 1e-9)) as f32).collect();
    in_place(move |_, x| x.chunks_exact_mut(n).for_each(|x| snake_row(x, &rate, &gain)))
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn snake_row(x: &mut [f32], rate: &[f32], gain: &[f32]) {
    for ((x, rate), gain) in x.iter_mut().zip(rate).zip(gain) {
        *x = math::sin_squared(*x * rate).mul_add(*gain, *x);
    }
}

/// Each head's slice of a row multiplied by its factor.
pub(crate) fn head_scale<'a>(setup: &Setup<'a, '_>, heads: usize) -> Prepared<'a> {
    let (n, g) = (setup.cols(), setup.input(1));
    if setup.shape.len() != 2 {
        return Err(crate::eval::EvalError::Shape(format!(
            "{:?} are not rows of {heads} heads",
            setup.shape
        )));
    }
    let head = n / g.cols();
    in_place(move |panel, x| {
        for (i, x) in x.chunks_exact_mut(n).enumerate() {
            for (x, g) in x.chunks_exact_mut(head).zip(panel.row(1, i, heads)) {
                x.iter_mut().for_each(|x| *x *= g);
            }
        }
    })
}

/// Rows (of the first axis) with mask 0 become zeros.
pub(crate) fn mask_rows<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let mask = setup.input(1).ints()?;
    let n = cols(setup.shape);
    let inner = setup.input(0).rows() / mask.len();
    in_place(move |panel, x| {
        for (row, x) in panel.rows.clone().zip(x.chunks_exact_mut(n)) {
            if mask[row / inner] == 0 {
                x.fill(0.0);
            }
        }
    })
}
