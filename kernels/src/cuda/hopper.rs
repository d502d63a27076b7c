//! Kernels of the Hopper class: where they apply, and what they read through tensor maps.

use zoetrope_model_spec::lang::Dtype;

use super::{Cuda, Part, View};
use crate::{Kernel, Meaning};

/// A declaration's kernel for Hopper, beside its portable one.
#[derive(Clone, Copy)]
pub struct Hopper {
    pub cuda: Cuda,
    /// Whether the kernel computes such a part: a function of attributes and of what is baked alone. What tensor maps
    /// ask of their operands is asked apart.
    pub fits: fn(&Meaning, &Part) -> bool,
    /// The operands that are read through tensor maps, where the kernel fits; as `fits` a function of what is baked.
    pub maps: fn(&Meaning, &Part) -> Vec<MappedOperand>,
}

/// An operand that is read through a tensor map, box by box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedOperand {
    pub operand: usize,
    /// Extents of a box, the innermost last. An operand with more axes than these has its outer ones joined.
    pub tile: Vec<usize>,
}

/// Extents of a box and bytes of its rows, at most: limits of tensor maps with 128 bytes of swizzle.
const LARGEST_BOX: usize = 256;
const BOX_ROW_BYTES: usize = 128;

impl MappedOperand {
    /// Whether a tensor map can describe the operand: the rules of `cuTensorMapEncodeTiled`.
    pub(super) fn can_describe(&self, view: &View) -> bool {
        let (axes, bytes) = (self.tile.len(), view.dtype.bytes());
        let row_bytes = self.tile.last().map_or(0, |n| n * bytes);
        view.dtype == Dtype::Bf16
            && (2..=5).contains(&axes)
            && view.shape.len() >= axes
            && view.shape.iter().all(|n| *n > 0)
            && view.rows() < 1 << 31
            && view.address % 16 == 0
            && (view.row_stride * bytes).is_multiple_of(16)
            && row_bytes.is_multiple_of(16)
            && row_bytes <= BOX_ROW_BYTES
            && self.tile.iter().all(|n| (1..=LARGEST_BOX).contains(n))
    }
}

impl Hopper {
    /// Whether the kernel computes all of `parts`.
    pub(super) fn takes(&self, meaning: &Meaning, parts: &[Part]) -> bool {
        parts.iter().all(|part| {
            (self.fits)(meaning, part)
                && (self.maps)(meaning, part).iter().all(|map| map.can_describe(&part.reads[map.operand]))
        })
    }
}

impl Kernel {
    /// Gives the declaration a kernel for Hopper, which is taken where it fits.
    #[must_use]
    pub fn hopper(self, hopper: Hopper) -> Kernel {
        Kernel { hopper: Some(hopper), ..self }
    }
}
