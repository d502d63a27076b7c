//! The square of the sine.

use std::f32::consts::FRAC_1_PI;

/// π in three parts, the first two with trailing zeros.
const PI_A: f32 = 3.140_625;
const PI_B: f32 = 9.675_026e-4;
const PI_C: f32 = 1.509_958e-7;

const MAGIC: f32 = 12_582_912.0;

/// sin²x, absolute error below 3e-7 for |x| < 1e5.
///
/// The square has period π: x = n·π + r with |r| ≤ π/2, and sin r is its Taylor polynomial of degree 13.
#[inline(always)]
pub(crate) fn sin_squared(x: f32) -> f32 {
    let n = x.mul_add(FRAC_1_PI, MAGIC) - MAGIC;
    let r = n.mul_add(-PI_C, n.mul_add(-PI_B, n.mul_add(-PI_A, x)));
    let q = r * r;
    let mut p: f32 = 1.0 / 6_227_020_800.0;
    p = q.mul_add(p, -1.0 / 39_916_800.0);
    p = q.mul_add(p, 1.0 / 362_880.0);
    p = q.mul_add(p, -1.0 / 5_040.0);
    p = q.mul_add(p, 1.0 / 120.0);
    p = q.mul_add(p, -1.0 / 6.0);
    let s = (q * r).mul_add(p, r);
    s * s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_the_true_value() {
        let (mut near, mut far) = (0.0f64, 0.0f64);
        for i in 0..1_000_000 {
            let error = |x: f32| (f64::from(sin_squared(x)) - libm::sin(f64::from(x)).powi(2)).abs();
            near = near.max(error(i as f32 * 1e-4 - 50.0));
            far = far.max(error(i as f32 * 0.1 - 5e4));
        }
        assert!(near < 3e-7 && far < 3e-7, "{near:e} {far:e}");
    }

    #[test]
    fn the_relative_error_is_small_near_zero() {
        for i in 1..1000 {
            let x = i as f32 * 1e-5;
            let want = libm::sin(f64::from(x)).powi(2);
            assert!((f64::from(sin_squared(x)) / want - 1.0).abs() < 4e-7);
        }
    }
}
