//! The tokenizer against token numbers that the official code made.

use std::path::{Path, PathBuf};

use zoetrope::tokenize::Tokenizer;
use zoetrope_runtime::files::{FileDtype, TensorFile};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gamma").join(name)
}

fn json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

#[test]
fn prompts_become_the_official_tokens() {
    let text = &json("weights.json")["texts"]["gemma-3-tiny/tokenizer.json"];
    let tokenizer = Tokenizer::from_bytes(text.as_str().unwrap().as_bytes()).unwrap();
    let golden = TensorFile::open(&fixture("tokenizer.safetensors")).unwrap();
    let integers = |name: &str| {
        let tensor = golden.get(name).unwrap();
        assert_eq!(tensor.dtype, FileDtype::I32);
        tensor
            .bytes
            .chunks_exact(4)
            .map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect::<Vec<i32>>()
    };
    let prompts = json("prompts.json");
    let prompts = prompts.as_array().unwrap();
    for (i, prompt) in prompts.iter().enumerate() {
        let encoded = tokenizer.encode(prompt.as_str().unwrap()).unwrap();
        assert_eq!(encoded.input_ids.to_vec(), integers(&format!("p{i}.input_ids")), "prompt {i}");
        assert_eq!(encoded.attention_mask.to_vec(), integers(&format!("p{i}.attention_mask")), "prompt {i}");
    }
    assert_eq!(prompts.len(), 7);
}
