//! How operands are read box by box.

use cudarc::driver::sys::{
    self, CUtensorMapDataType, CUtensorMapFloatOOBfill, CUtensorMapInterleave, CUtensorMapL2promotion,
    CUtensorMapSwizzle,
};

use super::{Result, cuda};
use crate::plan::{MAP_BYTES, Map};

/// The tensor map of an operand at `address`.
///
/// # Errors
/// The card has no tensor maps, or none for such an operand.
pub fn tensor_map(map: &Map, address: u64) -> Result<[u8; MAP_BYTES]> {
    const AXES: usize = 2;
    let mut made = sys::CUtensorMap { opaque: [0; MAP_BYTES / size_of::<u64>()] };
    // Between elements of a box, of both axes.
    let steps = [1; AXES];
    // SAFETY: the map is written, and has the alignment of its type. The lists have as many entries as there are axes,
    // strides one less, and live through the call, which follows no address of the card.
    unsafe {
        cuda!(cuTensorMapEncodeTiled(
            &mut made,
            CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
            AXES as u32,
            address as *mut std::ffi::c_void,
            map.extents.as_ptr(),
            &map.stride,
            map.tile.as_ptr(),
            steps.as_ptr(),
            CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
            CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
            CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        ))?;
    }
    let mut bytes = [0; MAP_BYTES];
    for (to, word) in bytes.chunks_exact_mut(size_of::<u64>()).zip(made.opaque) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    Ok(bytes)
}
