//! The demo model: LTX-2.3's architecture with small numbers, described as model files describe themselves.

use super::builtin::ltx_2_3_22b;
use super::config::{Enlarges, ModelConfig};
use super::read_config::{ConfigTexts, read_config};

/// The texts of the demo model's files.
pub const TEXTS: ConfigTexts<'static> = ConfigTexts {
    name: "demo",
    checkpoint: Some(include_str!("checkpoint.config.json")),
    model_version: Some("2.3.0"),
    gemma: Some(include_str!("gemma.config.json")),
    upscaler: Some(upscaler_text(Enlarges::SpaceX2)),
};

/// The text of one of its upscalers.
pub const fn upscaler_text(enlarges: Enlarges) -> &'static str {
    match enlarges {
        Enlarges::SpaceX2 => include_str!("upscaler.config.json"),
        Enlarges::SpaceX1_5 => include_str!("upscaler-x1.5.config.json"),
        Enlarges::TimeX2 => include_str!("temporal-upscaler.config.json"),
    }
}

/// Its dimensions.
///
/// # Panics
/// When the texts beside this file do not describe a model: a mistake in them, held by a test.
pub fn demo() -> ModelConfig {
    demo_with(Enlarges::SpaceX2)
}

/// Its dimensions with one of its upscalers.
///
/// # Panics
/// As [`demo`].
pub fn demo_with(upscaler: Enlarges) -> ModelConfig {
    let texts = ConfigTexts { upscaler: Some(upscaler_text(upscaler)), ..TEXTS };
    read_config(&texts, &ltx_2_3_22b()).unwrap_or_else(|e| panic!("the demo model's texts: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ltx::config::Upscaler;

    #[test]
    fn the_texts_describe_a_model_with_the_real_head_widths() {
        let model = demo();
        assert_eq!(model.transformer.video.head_dim, 128);
        assert_eq!(model.transformer.audio.head_dim, 64);
        assert_eq!(model.gemma.vision.as_ref().map(|vision| vision.heads.head_dim), Ok(72));
        assert_eq!(model.video_connector.registers, 128);
        for enlarges in Enlarges::ALL {
            assert_eq!(demo_with(enlarges).upscaler, Upscaler { enlarges, ..model.upscaler.clone() });
        }
    }
}
