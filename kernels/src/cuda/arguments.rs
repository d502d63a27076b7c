//! The one argument of every kernel, byte by byte, as `kernels/cuda/tensor.cuh` declares it.
//!
//! ```text
//!  0  parts: i32
//!  4  end of each part's blocks: 8 × i32
//! 36  (padding)
//! 40  parts, each a tensor for every operand and one for the result:
//!     address: u64, row stride: i64, extents of all axes but the last: 4 × i32
//!     (room for eight parts, also where there are fewer)
//!     (padding to a multiple of 128; only where the kernel has tensor maps)
//!     tensor maps of the first part, of the second..: 128 bytes each
//! ```
//!
//! A tensor map holds an address in a form that the driver's `cuTensorMapEncodeTiled` makes; here its bytes are zeros,
//! and whoever launches writes them when addresses are known, from the list of [`Map`]s beside the argument.

use super::{MappedOperand, View};

/// Parts of a launch, at most.
pub const MAX_PARTS: usize = 8;

/// Axes of an operand, at most: four extents and the baked last one.
pub const MAX_AXES: usize = 5;

/// Bytes in front of the first operand of the first part.
pub const HEADER_BYTES: usize = 40;

/// Bytes of an operand; the first eight are its address.
pub const TENSOR_BYTES: usize = 32;

/// Bytes of a tensor map, which lies at a multiple of as many: CUDA 13 aligns `CUtensorMap` so.
pub const MAP_BYTES: usize = 128;

/// An operand that a kernel reads through a tensor map, in the terms of `cuTensorMapEncodeTiled`.
///
/// All maps have two axes, elements of type `BFLOAT16` with strides of 1, `INTERLEAVE_NONE`, `SWIZZLE_128B`, and
/// `FLOAT_OOB_FILL_NONE`: what a box has outside of the operand is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Where the map's [`MAP_BYTES`] bytes begin in the argument.
    pub at: usize,
    pub part: usize,
    /// The operand of the part.
    pub operand: usize,
    /// Where the operand's address lies in the argument.
    pub address_at: usize,
    /// Elements along both axes, the innermost first: columns and rows.
    pub extents: [u64; 2],
    /// Bytes from one row to the next.
    pub stride: u64,
    /// Elements of a box along both axes.
    pub tile: [u32; 2],
}

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

/// Where the first tensor map of a kernel with `tensors` operands and results lies.
pub(super) fn maps_at(tensors: usize) -> usize {
    (HEADER_BYTES + MAX_PARTS * tensors * TENSOR_BYTES).next_multiple_of(MAP_BYTES)
}

/// The map of an operand of part `part`, one of `tensors` operands and results; `number` among all maps of the launch.
pub(super) fn map(mapped: &MappedOperand, view: &View, part: usize, tensors: usize, number: usize) -> Map {
    Map {
        at: maps_at(tensors) + number * MAP_BYTES,
        part,
        operand: mapped.operand,
        address_at: HEADER_BYTES + (part * tensors + mapped.operand) * TENSOR_BYTES,
        extents: [view.width() as u64, view.rows() as u64],
        stride: (view.row_stride * view.dtype.bytes()) as u64,
        tile: [mapped.tile[1] as u32, mapped.tile[0] as u32],
    }
}
