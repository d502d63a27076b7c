//! How many blocks the tiles of `kernels/cuda/product.cuh` and of `kernels/cuda/hopper/product.cuh` need.

use zoetrope_model_spec::lang::Dtype;

use super::{Grid, MappedOperand, Part, View};
use crate::Meaning;

/// Whether the first two operands are factors of a product on tensor cores.
pub fn two_factors(_: &Meaning, part: &Part) -> bool {
    part.starts_with_bf16(2)
}

impl Grid {
    /// A block for every tile of a product's result: of `TensorTile` where both operands are bf16, or the right one bytes
    /// that are decoded; else of `PlainTile`.
    pub fn of_tiles(left: &View, right: &View, result: &View) -> Grid {
        let tensor = left.dtype == Dtype::Bf16 && matches!(right.dtype, Dtype::Bf16 | Dtype::U8);
        let (side, shared) = if tensor { (128, 3 * 2 * 128 * 32 * 2) } else { (64, 2 * 16 * 68 * 4) };
        let blocks = result.rows().div_ceil(side) * result.width().div_ceil(side);
        Grid { blocks, threads: 256, shared }
    }

    /// A block for every tile of a product by warpgroups: of `WarpgroupTile`, which goes through them in strides.
    pub fn of_warpgroup_tiles(result: &View) -> Grid {
        let blocks = result.rows().div_ceil(128) * result.width().div_ceil(warpgroup_columns(result));
        Grid { blocks, threads: 3 * 128, shared: 192 * 1024 + 128 }
    }
}

/// Columns of a tile of `WarpgroupTile`; `WARPGROUP_COLUMNS`.
fn warpgroup_columns(result: &View) -> usize {
    if result.width() > 2048 { 256 } else { 128 }
}

impl MappedOperand {
    /// The boxes of a tile's operands: the first one's rows times the second one's, by 64 columns of both.
    pub fn of_warpgroup_tiles(result: &View) -> Vec<MappedOperand> {
        let boxes = [128, warpgroup_columns(result)].into_iter().enumerate();
        boxes.map(|(operand, rows)| MappedOperand { operand, tile: [rows, 64] }).collect()
    }
}
