//! The exponential function.

/// log2(e).
const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// ln 2 in two parts: the high one has trailing zeros, so that n times it is exact.
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;

/// Adding 1.5·2²³ rounds to an integer, which then stands in the low bits.
const MAGIC: f32 = 12_582_912.0;

/// e^x, relative error below 1.5e-7; 0 below −104, ∞ above 89; a NaN stays one.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; e^r is its Taylor polynomial of degree 7, whose rest is below 6e-9.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Written as selections that let a NaN through.
    let x = if x > 89.0 { 89.0 } else { x };
    let (p, n) = split(x);
    // 2^n in two factors: n = 128 and the subnormal results have no power of two of their own.
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// [`exp`] of what is not above 0, to the same bits.
#[inline(always)]
pub(crate) fn exp_down(x: f32) -> f32 {
    let (p, n) = split(x);
    // 2^(n + 64) is a number for all n from −150 to 0, so only the last product rounds, where the result is subnormal.
    p * power_of_two(n.wrapping_add(64)) * power_of_two(-64)
}

/// e^r and n.
#[inline(always)]
fn split(x: f32) -> (f32, i32) {
    let x = if x < -104.0 { -104.0 } else { x };
    let shifted = x.mul_add(LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = n.mul_add(-LN2_LO, n.mul_add(-LN2_HI, x));
    let mut p = 1.0 / 5040.0;
    p = r.mul_add(p, 1.0 / 720.0);
    p = r.mul_add(p, 1.0 / 120.0);
    p = r.mul_add(p, 1.0 / 24.0);
    p = r.mul_add(p, 1.0 / 6.0);
    p = r.mul_add(p, 0.5);
    p = r.mul_add(r * p, r) + 1.0;
    (p, (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32))
}

/// 2^n for −126 ≤ n ≤ 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_the_true_value_everywhere() {
        let mut worst = 0.0f64;
        for i in -870_000..887_000 {
            let x = i as f32 * 1e-4;
            let want = libm::exp(f64::from(x));
            worst = worst.max((f64::from(exp(x)) / want - 1.0).abs());
        }
        assert!(worst < 1.5e-7, "{worst:e}");
    }

    #[test]
    fn the_same_bits_below_zero() {
        let all = (0..1_060_000).map(|i| i as f32 * -1e-4);
        let edges = [-0.0, -87.336_54, -87.336_55, -103.97, -103.98, -104.0, -1e30, f32::NEG_INFINITY];
        for x in all.chain(edges) {
            assert_eq!(exp_down(x).to_bits(), exp(x).to_bits(), "{x}");
        }
        assert!(exp_down(f32::NAN).is_nan());
    }

    #[test]
    fn the_edges() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-200.0), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(88.7).is_finite());
        assert!(exp(f32::NAN).is_nan());
        // Subnormal results keep an absolute accuracy of one step.
        assert!((f64::from(exp(-100.0)) - libm::exp(-100.0)).abs() < 3e-45);
    }
}
