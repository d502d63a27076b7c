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

/// The left operand of a tile.
#[derive(Clone, Copy)]
pub(crate) enum Left<'a> {
    /// 4, 8 or 12 rows, each with its places of k together.
    Rows(&'a [&'a [f32]]),
    /// Place k of row r is at `k·stride + r`; the number of rows is 4, 8 or 12.
    Columns { data: &'a [f32], stride: usize, rows: usize },
}

/// One tile of a product: `out[r·stride + c] (+)= Σ_k left(r, k)·right[k·32 + c]`, each element a chain of fused
/// multiply-adds from 0, in the order of k.
pub(crate) struct Tile<'a> {
    pub left: Left<'a>,
    /// `[k, LANES]`.
    pub right: &'a [f32],
    pub out: &'a mut [f32],
    pub stride: usize,
    /// Columns that are wanted; up to the next multiple of 16 are written, and all rows.
    pub width: usize,
    /// Adds to `out` what would else replace it.
    pub add: bool,
}

impl Tile<'_> {
    pub fn compute(self) {
        ARCH.dispatch(self);
    }

    fn height(&self) -> usize {
        match self.left {
            Left::Rows(rows) => rows.len(),
            Left::Columns { rows, .. } => rows,
        }
    }
}

impl WithSimd for Tile<'_> {
    type Output = ();

    /// The tile is made in pieces whose sums fit the registers: 32 of 512 bits, 16 of 256 bits, or 32 of 128 bits.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (S::F32_LANES, self.height(), self.width > 16) {
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
            let sums = match tile.left {
                Left::Rows(rows) => by_rows::<S, R, V>(simd, &rows[row..row + R], tile.right, column),
                Left::Columns { data, stride, .. } => {
                    by_columns::<S, R, V>(simd, &data[row..], stride, tile.right, column)
                }
            };
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
fn by_rows<S: Simd, const R: usize, const V: usize>(
    simd: S,
    rows: &[&[f32]],
    right: &[f32],
    column: usize,
) -> [[S::f32s; V]; R] {
    let right = right.as_chunks::<LANES>().0;
    let rows: [&[f32]; R] = std::array::from_fn(|r| &rows[r][..right.len()]);
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    for (k, right) in right.iter().enumerate() {
        let right = vectors::<S, V>(right, column);
        for r in 0..R {
            let left = simd.splat_f32s(rows[r][k]);
            for v in 0..V {
                sums[r][v] = simd.mul_add_f32s(left, right[v], sums[r][v]);
            }
        }
    }
    sums
}

#[inline(always)]
fn by_columns<S: Simd, const R: usize, const V: usize>(
    simd: S,
    data: &[f32],
    stride: usize,
    right: &[f32],
    column: usize,
) -> [[S::f32s; V]; R] {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    for (left, right) in data.chunks(stride).zip(right.as_chunks::<LANES>().0) {
        let right = vectors::<S, V>(right, column);
        let left = &left[..R];
        for r in 0..R {
            let left = simd.splat_f32s(left[r]);
            for v in 0..V {
                sums[r][v] = simd.mul_add_f32s(left, right[v], sums[r][v]);
            }
        }
    }
    sums
}

#[inline(always)]
fn vectors<S: Simd, const V: usize>(row: &[f32; LANES], column: usize) -> [S::f32s; V] {
    let vectors = S::as_simd_f32s(&row[column..column + V * S::F32_LANES]).0;
    std::array::from_fn(|v| vectors[v])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of an element, one at a time, and every width of vectors that the machine has.
    #[test]
    fn every_element_is_its_chain() {
        let k = 37;
        let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 37.0 - 1.3;
        let right: Vec<f32> = (0..k * LANES).map(|i| value(i + 5)).collect();
        for height in [4, 8, 12] {
            let rows: Vec<f32> = (0..height * k).map(value).collect();
            let slices: Vec<&[f32]> = rows.chunks(k).collect();
            let stride = height + 3;
            let columns: Vec<f32> =
                (0..k * stride).map(|i| rows[i % stride % height * k + i / stride]).collect();
            let lefts = [Left::Rows(&slices), Left::Columns { data: &columns, stride, rows: height }];
            for (width, add) in [(32, false), (32, true), (16, true), (3, false)] {
                let chain = |r: usize, c: usize| {
                    let sum = slices[r]
                        .iter()
                        .zip(right.chunks(LANES))
                        .fold(0.0f32, |s, (l, r)| l.mul_add(r[c], s));
                    if add { 0.25 + sum } else { sum }
                };
                let compute = |left: Left<'_>, by: &dyn Fn(Tile<'_>)| {
                    let mut out = vec![0.25; height * LANES];
                    by(Tile { left, right: &right, out: &mut out, stride: LANES, width, add });
                    for r in 0..height {
                        for c in 0..width {
                            assert_eq!(out[r * LANES + c].to_bits(), chain(r, c).to_bits());
                        }
                    }
                };
                for left in lefts {
                    compute(left, &|tile| tile.compute());
                    compute(left, &|tile| Simd::vectorize(pulp::Scalar::new(), tile));
                    #[cfg(target_arch = "x86_64")]
                    if let Some(v3) = pulp::x86::V3::try_new() {
                        compute(left, &|tile| Simd::vectorize(v3, tile));
                    }
                }
            }
        }
    }
}
