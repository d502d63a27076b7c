//! Any text as a checkpoint's config, as the config of one of its components, and as its version: refused with words, or
//! bounded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::read_config::{ConfigTexts, differences, merge_configs, read_config};

fuzz_target!(|text: &str| {
    let component = r#"{"transformer": {"num_layers": 48}, "vae": []}"#;
    match merge_configs(&[("one", text), ("other", component)]) {
        Ok(merged) => assert!(merged.is_some()),
        Err(error) => assert!(!error.problems.is_empty()),
    }
    let published = ltx_2_3_22b();
    let texts =
        |checkpoint, model_version| ConfigTexts { checkpoint, model_version, ..ConfigTexts::default() };
    for texts in [texts(Some(text), None), texts(None, Some(text))] {
        match read_config(&texts, &published) {
            Ok(config) => {
                assert!(config.transformer.video.width() <= 1_000_000 && config.transformer.layers <= 1000);
                assert!(config.video_vae.blocks.len() <= 64);
                let same = published.name == config.name
                    || config
                        == (zoetrope_model_spec::ltx::config::ModelConfig {
                            name: config.name.clone(),
                            ..published.clone()
                        });
                assert_eq!(same, differences(&config, &published).is_empty());
            }
            Err(error) => assert!(!error.problems.is_empty()),
        }
    }
});
