//! Any text as an upscaler's config: refused with words, or bounded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::read_config::{ConfigTexts, read_config};

fuzz_target!(|text: &str| {
    match read_config(&ConfigTexts { upscaler: Some(text), ..ConfigTexts::default() }, &ltx_2_3_22b()) {
        Ok(config) => {
            assert!(config.upscaler.mid_channels <= 1_000_000 && config.upscaler.mid_channels % 32 == 0);
            assert!(config.upscaler.blocks_per_stage <= 1000);
        }
        Err(error) => assert!(!error.problems.is_empty()),
    }
});
