//! Activations.

use super::exp;

/// 1 / (1 + e^−x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// x·sigmoid(x).
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// The tanh approximation of GELU: x/2·(1 + tanh u) with u = √(2/π)·(x + 0.044715·x³), written as x·sigmoid(2u).
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    // 2·√(2/π), and the same times 0.044715.
    const A: f32 = 1.595_769_2;
    const B: f32 = 0.071_354_81;
    x / (1.0 + exp(-x * (x * x).mul_add(B, A)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(f: fn(f32) -> f32, want: fn(f64) -> f64) -> f64 {
        let relative = |x: f32| (f64::from(f(x)) / want(f64::from(x)) - 1.0).abs();
        (1..400_000).map(|i| i as f32 * 5e-5).flat_map(|x| [x, -x]).map(relative).fold(0.0, f64::max)
    }

    #[test]
    fn near_the_true_values() {
        let e = worst(sigmoid, |x| 1.0 / (1.0 + libm::exp(-x)));
        assert!(e < 3e-7, "sigmoid {e:e}");
        let e = worst(silu, |x| x / (1.0 + libm::exp(-x)));
        assert!(e < 3e-7, "silu {e:e}");
    }

    #[test]
    fn gelu_is_the_tanh_form() {
        for i in -80_000..80_000 {
            let x = i as f32 * 1e-4;
            let y = f64::from(x);
            let u = (2.0 / std::f64::consts::PI).sqrt() * (y + 0.044715 * y * y * y);
            let want = 0.5 * y * (1.0 + libm::tanh(u));
            let error = (f64::from(gelu(x)) - want).abs();
            // The argument 2u of the exponential is rounded, and its relative error becomes 2u times that.
            assert!(error <= (3e-7 + 4e-7 * u.abs()) * want.abs() + 1e-15, "{x}: {error:e} of {want:e}");
        }
        assert_eq!((gelu(-30.0), gelu(0.0), gelu(30.0)), (0.0, 0.0, 30.0));
    }
}
