//! Any bytes as a tokenizer of SentencePiece: refused with words, or a prompt becomes numbers of its pieces.

#![no_main]

#[allow(dead_code)]
#[path = "../../src/pieces/mod.rs"]
mod pieces;

use libfuzzer_sys::fuzz_target;
use pieces::{Pieces, pieces_of};

fuzz_target!(|data: &[u8]| {
    let Ok(list) = pieces_of(data) else { return };
    let Ok(pieces) = Pieces::new(list) else { return };
    let ids = pieces.encode("a red  ball \u{2581}\u{e9}\u{1f600}<bos>");
    assert!(ids.iter().all(|id| *id <= pieces.largest_id()));
    assert!(pieces.id("<bos>").is_none_or(|id| id <= pieces.largest_id()));
});
