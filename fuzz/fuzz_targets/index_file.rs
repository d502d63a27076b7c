//! Any bytes as the index of a split model: refused, or every tensor is in a file beside it.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use zoetrope_runtime::files::{Index, Instead, decode};

fuzz_target!(|data: &[u8]| {
    Instead::of(data);
    let Ok(text) = decode(data.to_vec()) else { return };
    let Ok(index) = Index::parse(Path::new("folder/model.safetensors.index.json"), &text) else { return };
    for name in index.places.values() {
        assert!(name.ends_with(".safetensors") && Path::new(name).file_name() == Some(name.as_ref()));
    }
});
