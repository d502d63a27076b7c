//! The one argument of every kernel, byte by byte, as `kernels/cuda/tensor.cuh` declares it.
//!
//! ```text
//!  0  parts: i32
//!  4  end of each part's blocks: 8 × i32
//! 36  (padding)
//! 40  parts, each a tensor for every operand and one for the result:
//!     address: u64, row stride: i64, extents of all axes but the last: 4 × i32
//! ```

use super::View;

/// Parts of a launch, at most.
pub const MAX_PARTS: usize = 8;

/// Axes of an operand, at most: four extents and the baked last one.
pub const MAX_AXES: usize = 5;

pub(super) const HEADER_BYTES: usize = 40;
pub(super) const TENSOR_BYTES: usize = 32;

/// The first bytes: how many parts there are, and where the blocks of each end.
pub(super) fn header(ends: &[i32]) -> Vec<u8> {
    let mut bytes = (ends.len() as i32).to_le_bytes().to_vec();
    for part in 0..MAX_PARTS {
        bytes.extend(ends.get(part).or(ends.last()).copied().unwrap_or(0).to_le_bytes());
    }
    bytes.resize(HEADER_BYTES, 0);
    bytes
}

/// One operand or result.
pub(super) fn tensor(view: &View, bytes: &mut Vec<u8>) {
    bytes.extend(view.address.to_le_bytes());
    bytes.extend((view.row_stride as i64).to_le_bytes());
    for axis in 0..MAX_AXES - 1 {
        let leading = &view.shape[..view.shape.len().max(1) - 1];
        bytes.extend((leading.get(axis).copied().unwrap_or(1) as i32).to_le_bytes());
    }
}
