//! The innermost loop: one tile of a product, held in registers.

use std::sync::LazyLock;

use pulp::{Arch, Simd, WithSimd};

/// Columns of a tile.
pub(crate) const LANES: usize = 32;

/// Rows of a tile. With 512-bit vectors 12×32 sums fill 24 of the 32 registers.
pub(crate) const HEIGHT: usize = 12;

/// Rows of the smallest tile that holds `rows` rows: 4, 8 or 12.
pub(crate) fn height(rows: usize) -> usize {
    rows.next_multiple_of(4).clamp(4, HEIGHT)
}

/// What the machine's vectors can do, asked once.
static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// One tile of a product: `out[r·stride + c] (+)= Σ_k a[k·height + r]·b[k·32 + c]`, each element a chain of fused
/// multiply-adds from 0, in the order of k.
pub(crate) struct Tile<'a> {
    /// 4, 8 or 12; all these rows are written.
    pub height: usize,
    /// `[k, height]`.
    pub a: &'a [f32],
    /// `[k, LANES]`.
    pub b: &'a [f32],
    pub out: &'a mut [f32],
    pub stride: usize,
    /// Columns that are wanted; up to the next multiple of 16 are written.
    pub width: usize,
    /// Adds to `out` what would else replace it.
    pub add: bool,
}

impl Tile<'_> {
    pub fn compute(self) {
        ARCH.dispatch(self);
    }
}

impl WithSimd for Tile<'_> {
    type Output = ();

    /// The tile is made in pieces whose sums fit the registers: 32 of 512 bits, 16 of 256 bits, or 32 of 128 bits.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (S::F32_LANES, self.height, self.width > 16) {
            (16, 4, true) => pieces::<S, 4, 4, 2>(simd, self),
            (16, 8, true) => pieces::<S, 8, 8, 2>(simd, self),
            (16, _, true) => pieces::<S, 12, 12, 2>(simd, self),
            (16, 4, false) => pieces::<S, 4, 4, 1>(simd, self),
            (16, 8, false) => pieces::<S, 8, 8, 1>(simd, self),
            (16, _, false) => pieces::<S, 12, 12, 1>(simd, self),
            (8, 4, _) => pieces::<S, 4, 4, 2>(simd, self),
            (8, 8, _) => pieces::<S, 8, 4, 2>(simd, self),
            (8, _, _) => pieces::<S, 12, 6, 2>(simd, self),
            (_, 4, _) => pieces::<S, 4, 4, 4>(simd, self),
            (_, 8, _) => pieces::<S, 8, 4, 4>(simd, self),
            (_, _, _) => pieces::<S, 12, 6, 4>(simd, self),
        }
    }
}

/// A tile of `H` rows as pieces of `R` rows and `V` vectors.
#[inline(always)]
fn pieces<S: Simd, const H: usize, const R: usize, const V: usize>(simd: S, tile: Tile<'_>) {
    let columns = V * S::F32_LANES;
    for column in (0..tile.width).step_by(columns) {
        for row in (0..H).step_by(R) {
            let sums = piece::<S, H, R, V>(simd, tile.a, tile.b, row, column);
            for (r, sums) in sums.iter().enumerate() {
                let out = &mut tile.out[(row + r) * tile.stride + column..][..columns];
                let out = S::as_mut_simd_f32s(out).0;
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = if tile.add { simd.add_f32s(*out, *sum) } else { *sum };
                }
            }
        }
    }
}

#[inline(always)]
fn piece<S: Simd, const H: usize, const R: usize, const V: usize>(
    simd: S,
    a: &[f32],
    b: &[f32],
    row: usize,
    column: usize,
) -> [[S::f32s; V]; R] {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    for (a, b) in a.as_chunks::<H>().0.iter().zip(b.as_chunks::<LANES>().0) {
        let b = S::as_simd_f32s(&b[column..column + V * S::F32_LANES]).0;
        let b: [S::f32s; V] = std::array::from_fn(|v| b[v]);
        for r in 0..R {
            let a = simd.splat_f32s(a[row + r]);
            for v in 0..V {
                sums[r][v] = simd.mul_add_f32s(a, b[v], sums[r][v]);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<S: Simd>(simd: S, tile: Tile<'_>) {
        Simd::vectorize(simd, tile);
    }

    /// The definition of an element, one at a time, and every width of vectors that the machine has.
    #[test]
    fn every_element_is_its_chain() {
        let k = 37;
        let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 37.0 - 1.3;
        for height in [4, 8, 12] {
            let a: Vec<f32> = (0..k * height).map(value).collect();
            let b: Vec<f32> = (0..k * LANES).map(|i| value(i + 5)).collect();
            for (width, add) in [(32, false), (32, true), (16, true), (3, false)] {
                let compute = |by: &dyn Fn(Tile<'_>)| {
                    let mut out = vec![0.25; height * LANES];
                    by(Tile { height, a: &a, b: &b, out: &mut out, stride: LANES, width, add });
                    out
                };
                let out = compute(&|tile| tile.compute());
                assert_eq!(out[..width], compute(&|tile| with(pulp::Scalar::new(), tile))[..width]);
                #[cfg(target_arch = "x86_64")]
                if let Some(v3) = pulp::x86::V3::try_new() {
                    assert_eq!(out[..width], compute(&|tile| with(v3, tile))[..width]);
                }
                for r in 0..height {
                    for c in 0..width {
                        let chain =
                            (0..k).fold(0.0f32, |s, k| a[k * height + r].mul_add(b[k * LANES + c], s));
                        let want = if add { 0.25 + chain } else { chain };
                        assert_eq!(out[r * LANES + c].to_bits(), want.to_bits());
                    }
                }
            }
        }
    }
}
