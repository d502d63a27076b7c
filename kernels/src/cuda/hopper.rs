//! Kernels of the Hopper class: where they apply, and what they read through tensor maps.

use zoetrope_model_spec::lang::Dtype;

use super::{Cuda, Part, View};
use crate::{Kernel, Meaning};

/// A declaration's kernel for Hopper, beside its portable one.
#[derive(Clone, Copy)]
pub struct Hopper {
    pub cuda: Cuda,
    /// Whether the kernel computes such a part: a function of attributes and of what is baked alone. How operands lie is
    /// asked apart: real numbers are in rows at multiples of 16 bytes, and as tensor maps want theirs.
    pub fits: fn(&Meaning, &Part) -> bool,
    /// The operands that are read through tensor maps, where the kernel fits; as `fits` a function of what is baked.
    pub maps: fn(&Meaning, &Part) -> Vec<MappedOperand>,
    /// Whether blocks go through their part's work in strides: then any number of them does all of it, and no more are
    /// launched than a card runs at a time.
    pub strides: bool,
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
            && view.has_aligned_rows()
            && columns * bytes == BOX_ROW_BYTES
            && (1..=LARGEST_BOX).contains(&rows)
    }
}

impl Hopper {
    /// Whether the kernel computes all of `parts`.
    pub(super) fn takes(&self, meaning: &Meaning, parts: &[Part]) -> bool {
        parts.iter().all(|part| (self.fits)(meaning, part) && lies_well(part, &(self.maps)(meaning, part)))
    }
}

/// Whether operands and result of a part lie as kernels of the class want it.
pub(super) fn lies_well(part: &Part, maps: &[MappedOperand]) -> bool {
    let mut views = part.reads.iter().chain([&part.write]);
    views.all(|view| view.dtype == Dtype::I32 || view.has_aligned_rows())
        && maps.iter().all(|map| map.can_describe(&part.reads[map.operand]))
}

impl Kernel {
    /// Gives the declaration a kernel for Hopper, which is taken where it fits.
    #[must_use]
    pub fn hopper(self, hopper: Hopper) -> Kernel {
        Kernel { hopper: Some(hopper), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use crate::cuda::{Class, LaunchError, MAP_BYTES, Variant};

    fn view(dtype: Dtype, shape: [usize; 2], row_stride: usize, address: u64) -> View {
        View { dtype, shape: shape.to_vec(), row_stride, address }
    }

    /// x·wᵀ of 5 rows.
    fn part(dtype: Dtype, row_stride: usize, address: u64) -> Part {
        let reads = vec![view(dtype, [5, 32], row_stride, address), view(dtype, [48, 32], 32, 512)];
        Part { reads, write: view(dtype, [5, 48], 48, 1024) }
    }

    fn variant(class: Class, parts: &[Part]) -> Variant {
        let kernel = catalog().into_iter().find(|kernel| kernel.name == "linear").expect("declared");
        Variant::of(&kernel, &kernel.meaning, parts, class).expect("a variant")
    }

    #[test]
    fn hopper_kernels_are_taken_where_every_part_fits() {
        let good = part(Dtype::Bf16, 40, 256);
        let class = |class, parts: &[Part]| variant(class, parts).class;
        assert_eq!(class(Class::Hopper, std::slice::from_ref(&good)), Class::Hopper);
        assert_eq!(class(Class::Portable, std::slice::from_ref(&good)), Class::Portable);
        let mut far = good.clone();
        far.write.row_stride = 50;
        for bad in [part(Dtype::Bf16, 33, 256), part(Dtype::Bf16, 40, 258), part(Dtype::F32, 40, 256), far] {
            assert_eq!(class(Class::Hopper, std::slice::from_ref(&bad)), Class::Portable);
            assert_eq!(class(Class::Hopper, &[good.clone(), bad]), Class::Portable);
        }
    }

    #[test]
    fn a_launch_says_where_its_tensor_maps_belong() {
        let parts = [part(Dtype::Bf16, 40, 256), part(Dtype::Bf16, 32, 4096)];
        let variant = variant(Class::Hopper, &parts);
        let launch = variant.launch(&parts).expect("a launch");
        assert_eq!(launch.maps.len(), 4);
        for (i, map) in launch.maps.iter().enumerate() {
            let operand = &parts[map.part].reads[map.operand];
            assert_eq!((map.part, map.operand), (i / 2, i % 2));
            assert_eq!(launch.argument[map.address_at..][..8], operand.address.to_le_bytes());
            assert!(map.at.is_multiple_of(64) && map.at + MAP_BYTES <= launch.argument.len());
            assert_eq!(map.extents, [32, operand.rows() as u64]);
            assert_eq!(map.stride, operand.row_stride as u64 * 2);
            assert_eq!(map.tile, [64, 128]);
        }
        let bad = variant.launch(&[part(Dtype::Bf16, 33, 256)]);
        assert_eq!(bad, Err(LaunchError::OtherVariant { kernel: "linear" }));
    }
}
