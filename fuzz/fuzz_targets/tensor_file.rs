//! Any bytes as a tensor file: refused, or every tensor has the bytes that its shape says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zoetrope_runtime::files::{FileDtype, TensorFile};

fuzz_target!(|data: &[u8]| {
    let Ok(file) = TensorFile::from_bytes("fuzz", data.to_vec()) else { return };
    for tensor in file.iter() {
        assert_eq!(tensor.dtype.bytes_of(tensor.elements()), Some(tensor.bytes.len()));
        assert_eq!(file.get(tensor.name).map(|same| same.bytes), Some(tensor.bytes));
        for dtype in [FileDtype::F32, FileDtype::F16, FileDtype::Bf16] {
            if tensor.reads_as(dtype) {
                let mut out = vec![0; tensor.elements() * dtype.bits() / 8];
                assert!(tensor.read_into(dtype, &mut out).is_ok());
            }
        }
    }
});
