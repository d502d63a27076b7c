//! The dimensions of a model, from the texts in its files.

use std::collections::BTreeMap;

use zoetrope_model_spec::ltx::config::ModelConfig;
use zoetrope_model_spec::ltx::read_config::{ConfigError, ConfigTexts, merge_configs, read_config};
use zoetrope_runtime::files::TensorSet;

/// A configuration is a few kilobytes; what is longer than this is none.
pub const MAX_CONFIG_BYTES: u64 = 10_000_000;

/// The dimensions that a model's files say; components without a text are those of `fallback`. `name` is what the model is
/// called, `gemma` the text of the language model's `config.json`.
///
/// # Errors
/// Everything in the texts that does not describe an LTX-2.3 model, and where files of a split model disagree.
pub fn config_of(
    name: &str,
    checkpoint: &TensorSet,
    gemma: Option<&str>,
    upscaler: &TensorSet,
    fallback: &ModelConfig,
) -> Result<ModelConfig, ConfigError> {
    let merged = |files: &TensorSet| {
        let texts: Vec<_> =
            files.texts("config").map(|(path, text)| (path.display().to_string(), text)).collect();
        let texts: Vec<_> = texts.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        merge_configs(&texts)
    };
    let versions: BTreeMap<_, _> =
        checkpoint.texts("model_version").map(|(path, text)| (text, path)).collect();
    if let Some(((one, a), (two, b))) = versions.iter().zip(versions.iter().skip(1)).next() {
        let (a, b) = (a.display(), b.display());
        let problem = format!("model_version is {one:?} in {a} and {two:?} in {b}");
        return Err(ConfigError { problems: vec![problem] });
    }
    let (checkpoint, upscaler) = (merged(checkpoint)?, merged(upscaler)?);
    let texts = ConfigTexts {
        name,
        checkpoint: checkpoint.as_deref(),
        model_version: versions.keys().next().copied(),
        gemma,
        upscaler: upscaler.as_deref(),
    };
    read_config(&texts, fallback)
}
