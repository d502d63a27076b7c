//! Any text as Gemma's config.json: refused with words, or bounded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::read_config::{ConfigTexts, read_config};

fuzz_target!(|text: &str| {
    match read_config(&ConfigTexts { gemma: Some(text), ..ConfigTexts::default() }, &ltx_2_3_22b()) {
        Ok(config) => {
            assert!(config.gemma.heads.width() <= 1_000_000 && config.gemma.layers <= 1000);
            assert!(config.gemma.sliding_window_pattern > 0);
        }
        Err(error) => assert!(!error.problems.is_empty()),
    }
});
