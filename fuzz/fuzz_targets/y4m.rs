//! Any bytes as what another program writes of a video: refused with words, or whole frames.

#![no_main]

// The file alone: all of the program takes minutes to compile with coverage.
#[allow(dead_code)]
#[path = "../../src/media/source/y4m.rs"]
mod y4m;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(stream) = y4m::read(data, 4) else { return };
    assert!(stream.fps > 0.0 && stream.frames.len() <= 4);
    assert!(stream.frames.iter().all(|frame| frame.len() == 3 * stream.width * stream.height));
});
