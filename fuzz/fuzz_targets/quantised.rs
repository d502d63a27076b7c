//! Any bytes as a safetensors file with quantised layers: refused with words, or every layer can be decoded.

#![no_main]

#[allow(dead_code)]
#[path = "../../src/model_files/names.rs"]
mod names;
#[path = "../../src/model_files/quantised/mod.rs"]
mod quantised;

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use quantised::Quantised;
use zoetrope_runtime::files::{FileDtype, TensorFile, TensorSet, View, Viewed};

fuzz_target!(|data: &[u8]| {
    let Ok(file) = TensorFile::from_bytes("fuzz", data.to_vec()) else { return };
    let file = Arc::new(file);
    let found = Quantised::of(&file, data.len() % 2 == 0);
    let viewed = |(name, decoded): (String, _)| Viewed { name: name.clone(), stored: name, decoded: Some(decoded) };
    let tensors = found.decoded.into_iter().map(viewed).collect();
    let set = TensorSet::of(vec![View { file: Arc::clone(&file), tensors }]);
    for (_, tensor) in set.iter() {
        // A value may be no number, which is an error.
        let _ = tensor.read_into(FileDtype::F32, &mut vec![0; tensor.elements() * 4]);
    }
});
