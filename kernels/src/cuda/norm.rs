//! How many blocks the teams of `kernels/cuda/norm.cuh` need.

use super::{Grid, View};

/// Slices longer than this are a block's, shorter ones a warp's; `WARP_SLICE` in `norm.cuh`.
const WARP_SLICE: usize = 1024;

impl Grid {
    /// A team for every one of `slices` equal slices of the rows of x.
    pub fn of_slices(x: &View, slices: usize) -> Grid {
        let threads = 256;
        let teams = if x.width() / slices > WARP_SLICE { 1 } else { threads / 32 };
        // A float for every warp.
        Grid { blocks: (x.rows() * slices).div_ceil(teams), threads, shared: threads / 32 * 4 }
    }
}
