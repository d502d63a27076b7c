//! Any text as a checkpoint's config, as its version, and as an upscaler's config: refused with words, or bounded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::read_config::{ConfigTexts, read_config};

fuzz_target!(|text: &str| {
    let texts = |checkpoint, model_version, upscaler| ConfigTexts {
        checkpoint,
        model_version,
        upscaler,
        ..ConfigTexts::default()
    };
    for texts in [texts(Some(text), None, None), texts(None, Some(text), None), texts(None, None, Some(text))]
    {
        match read_config(&texts, &ltx_2_3_22b()) {
            Ok(config) => {
                assert!(config.transformer.video.width() <= 1_000_000 && config.transformer.layers <= 1000);
                assert!(config.video_vae.blocks.len() <= 64 && config.upscaler.mid_channels % 32 == 0);
            }
            Err(error) => assert!(!error.problems.is_empty()),
        }
    }
});
