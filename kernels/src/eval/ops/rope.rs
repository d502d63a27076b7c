//! Rotary position embedding.

use multiversion::multiversion;

use crate::eval::EvalError;
use crate::eval::row_op::{Prepared, Setup, in_place};
use crate::eval::scratch::Scratch;

/// Split rotary embedding (docs/model/transformer.md 4): u'ⱼ = uⱼ·c − uⱼ₊ₙ·s and u'ⱼ₊ₙ = uⱼ₊ₙ·c + uⱼ·s in every head,
/// n half its size. The pairs in front that no frequency reaches are not rotated.
pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>, heads: usize, shared: bool) -> Prepared<'a> {
    let n = setup.cols();
    let half = n / (2 * heads);
    let pairs = if shared { half } else { n / 2 };
    let (cos, sin, index) = (setup.input(1), setup.input(2), setup.input(3));
    let (frequencies, axes) = (cos.cols(), index.cols());
    if setup.shape.len() != 2 {
        return Err(EvalError::Shape(format!("{:?} are not rows of {heads} heads", setup.shape)));
    }
    let (cos, sin, places) = (cos.values()?, sin.values()?, index.ints()?);
    setup.check_index(&places, setup.input(1).rows())?;
    let front = pairs - axes * frequencies;
    in_place(move |panel, x| {
        let mut tables = Scratch::new(2 * pairs);
        let (c, s) = tables.split_at_mut(pairs);
        c[..front].fill(1.0);
        s[..front].fill(0.0);
        for (token, x) in panel.rows.clone().zip(x.chunks_exact_mut(n)) {
            for axis in 0..axes {
                let row = places[token * axes + axis] as usize * frequencies;
                let (from_c, from_s) = (&cos[row..row + frequencies], &sin[row..row + frequencies]);
                c[front + axis..].iter_mut().step_by(axes).zip(from_c).for_each(|(c, from)| *c = *from);
                s[front + axis..].iter_mut().step_by(axes).zip(from_s).for_each(|(s, from)| *s = *from);
            }
            for (head, x) in x.chunks_exact_mut(2 * half).enumerate() {
                let at = if shared { 0 } else { head * half };
                rotate(x, &c[at..at + half], &s[at..at + half]);
            }
        }
    })
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn rotate(x: &mut [f32], c: &[f32], s: &[f32]) {
    let (a, b) = x.split_at_mut(c.len());
    for (((a, b), c), s) in a.iter_mut().zip(b).zip(c).zip(s) {
        (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
    }
}
