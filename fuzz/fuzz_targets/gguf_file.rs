//! Any bytes as a GGUF file: refused, or every tensor has the bytes that its shape says, and arrays can be read.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use zoetrope_encodings::Encoding;
use zoetrope_runtime::files::{Beside, Decoded, FileDtype, TensorFile, TensorSet, View, Viewed};

fuzz_target!(|data: &[u8]| {
    let bytes = [b"GGUF", data].concat();
    let Ok(file) = TensorFile::from_bytes("fuzz", bytes) else { return };
    let file = Arc::new(file);
    let Some(gguf) = file.gguf() else { return };
    for key in ["general.architecture", "tokenizer.ggml.tokens", "a"] {
        let Some(value) = gguf.value(key) else { continue };
        value.text();
        value.integer();
        if let Some(array) = value.array() {
            let bytes = file.contents();
            let counts = [array.texts(bytes).count(), array.integers(bytes).count(), array.reals(bytes).count()];
            assert!(counts.iter().all(|count| *count <= array.len()));
        }
    }
    let mut tensors = Vec::new();
    for tensor in file.iter() {
        assert_eq!(tensor.dtype.bytes_of(tensor.elements()), Some(tensor.bytes.len()));
        let FileDtype::Block(block) = tensor.dtype else { continue };
        let (shape, stored) = (tensor.shape.to_vec(), [1, tensor.elements()]);
        let decoded =
            Decoded::new(&file, tensor.name, Encoding::Gguf(block), stored, shape, Beside::default());
        let (name, stored) = (tensor.name.to_string(), tensor.name.to_string());
        tensors.push(Viewed { name, stored, decoded: Some(decoded.expect("a whole number of blocks")) });
    }
    let set = TensorSet::of(vec![View { file: Arc::clone(&file), tensors }]);
    for (_, tensor) in set.iter() {
        // A value may be no number, which is an error.
        let _ = tensor.read_into(FileDtype::Bf16, &mut vec![0; tensor.elements() * 2]);
    }
});
