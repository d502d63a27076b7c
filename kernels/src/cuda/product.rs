//! How many blocks the tiles of `kernels/cuda/product.cuh` need.

use zoetrope_model_spec::lang::Dtype;

use super::{Grid, View};

impl Grid {
    /// A block for every tile of a product's result: of `TensorTile` where both operands are bf16, else of `PlainTile`.
    pub fn of_tiles(left: &View, right: &View, result: &View) -> Grid {
        let tensor = left.dtype == Dtype::Bf16 && right.dtype == Dtype::Bf16;
        let (side, shared) = if tensor { (128, 3 * 2 * 128 * 32 * 2) } else { (64, 2 * 16 * 68 * 4) };
        let blocks = result.rows().div_ceil(side) * result.width().div_ceil(side);
        Grid { blocks, threads: 256, shared }
    }
}
