//! Any text as a target file: refused with words, or sizes that can be counted with.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::target::Target;

fuzz_target!(|text: &str| {
    match Target::parse("fuzz", text) {
        Ok(target) => {
            assert!(target.size.video_tokens().checked_mul(target.text_tokens).is_some());
            assert!(target.size.audio_tokens() > 0 && target.timestep_classes > 0);
            target.warnings(&ltx_2_3_22b().transformer);
        }
        Err(error) => assert!(!error.problems.is_empty()),
    }
});
