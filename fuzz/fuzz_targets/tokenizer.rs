//! Any bytes as a tokenizer.json: refused with words, or a prompt becomes numbers of its vocabulary.

#![no_main]

// These files alone: all of the program takes minutes to compile with coverage.
#[allow(dead_code)]
#[path = "../../src/detokenize.rs"]
mod detokenize;
#[allow(dead_code)]
#[path = "../../src/pieces/mod.rs"]
mod pieces;
#[allow(dead_code)]
#[path = "../../src/tokenize.rs"]
mod tokenize;
#[path = "../../src/tokenizer_json.rs"]
mod tokenizer_json;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(tokenizer) = tokenize::Tokenizer::from_bytes(data) else { return };
    let Ok(encoded) = tokenizer.encode("a red  ball \u{2581}\u{e9}\u{1f600}<bos>") else { return };
    let largest = tokenizer.largest_id() as i32;
    assert!(encoded.input_ids.iter().all(|id| (0..=largest).contains(id)));
});
