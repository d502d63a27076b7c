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
    /// Rows and columns of a box; all axes of the operand but the last are joined to rows.
    pub tile: [usize; 2],
}

/// Rows of a box, at most.
const LARGEST_BOX: usize = 256;

/// A box is as wide as its swizzle.
const BOX_ROW_BYTES: usize = 128;

impl MappedOperand {
    /// Whether a tensor map can describe the operand: the rules of `cuTensorMapEncodeTiled`.
    pub(super) fn can_describe(&self, view: &View) -> bool {
        let (bytes, [rows, columns]) = (view.dtype.bytes(), self.tile);
        view.dtype == Dtype::Bf16
            && view.shape.iter().all(|n| *n > 0)
            && view.rows() < 1 << 31
            && view.address.is_multiple_of(16)
            && (view.row_stride * bytes).is_multiple_of(16)
            && columns * bytes == BOX_ROW_BYTES
            && (1..=LARGEST_BOX).contains(&rows)
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
