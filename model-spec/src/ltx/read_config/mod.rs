//! [`ModelConfig`] from the texts inside model files: the `config` of a checkpoint, Gemma's `config.json`, the
//! `config` of an upscaler.
//!
//! The spec is one architecture with free dimensions. So each key is one of three: a dimension, which is read and
//! bounded; a choice that the spec does not offer, which must have the one value it has in LTX-2.3; or nothing that
//! matters here. What is wrong is collected, all of it, and said in words for the owner of the files.

mod audio_vae;
mod differences;
mod gemma;
mod generation;
mod merge;
mod section;
mod transformer;
mod upscaler;
mod video_vae;
mod vocoder;

use std::fmt;

use serde_json::Value;

use self::section::{Problems, Section, shown};
use super::config::{AudioVae, Connector, ModelConfig, Transformer, VideoVae, Vocoder};

pub use self::differences::differences;
pub use self::merge::merge_configs;

/// The texts that describe a model, as far as its files have them.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConfigTexts<'a> {
    /// What to call the model.
    pub name: &'a str,
    /// The checkpoint's metadata `config`.
    pub checkpoint: Option<&'a str>,
    /// The checkpoint's metadata `model_version`, as text.
    pub model_version: Option<&'a str>,
    /// `config.json` of the Gemma folder.
    pub gemma: Option<&'a str>,
    /// The upscaler's metadata `config`.
    pub upscaler: Option<&'a str>,
}

/// Everything that is wrong with a model's configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// One line each: the key, its value, what was wanted.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

/// The dimensions of a model. Components whose text is missing are those of `fallback`: files that were split off a
/// checkpoint often lost its texts.
///
/// # Errors
/// Every key that is missing, malformed, out of bounds, or describes a model that this is no spec of.
pub fn read_config(texts: &ConfigTexts<'_>, fallback: &ModelConfig) -> Result<ModelConfig, ConfigError> {
    let problems = Problems::default();
    generation::check_version(texts.model_version, &problems);
    let checkpoint = match texts.checkpoint {
        Some(text) => {
            let root = parse(text, "the checkpoint's config", &problems);
            root.and_then(|root| checkpoint(&root, Checkpoint::of(fallback), &problems))
        }
        None => Some(Checkpoint::of(fallback)),
    };
    let gemma = match texts.gemma {
        Some(text) => {
            let root = parse(text, "Gemma's config.json", &problems);
            root.and_then(|root| gemma::read(&Section::root("Gemma's config.json: ", &root, &problems)))
        }
        None => Some(fallback.gemma.clone()),
    };
    let upscaler = match texts.upscaler {
        Some(text) => {
            let root = parse(text, "the upscaler's config", &problems);
            root.and_then(|root| upscaler::read(&Section::root("upscaler: ", &root, &problems)))
        }
        None => Some(fallback.upscaler.clone()),
    };
    if let (Some(checkpoint), Some(upscaler)) = (&checkpoint, &upscaler) {
        let (have, want) = (upscaler.channels, checkpoint.video_vae.latent_channels);
        problems.check(have == want, || {
            format!("upscaler: in_channels is {have}, the checkpoint's {want} wanted")
        });
    }
    let problems = problems.into_list();
    match (checkpoint, gemma, upscaler) {
        (Some(c), Some(gemma), Some(upscaler)) if problems.is_empty() => Ok(ModelConfig {
            name: texts.name.to_string(),
            transformer: c.transformer,
            video_connector: c.video_connector,
            audio_connector: c.audio_connector,
            gemma,
            video_vae: c.video_vae,
            audio_vae: c.audio_vae,
            vocoder: c.vocoder,
            upscaler,
        }),
        _ => Err(ConfigError { problems }),
    }
}

/// The components that a checkpoint's config describes.
struct Checkpoint {
    transformer: Transformer,
    video_connector: Connector,
    audio_connector: Connector,
    video_vae: VideoVae,
    audio_vae: AudioVae,
    vocoder: Vocoder,
}

impl Checkpoint {
    fn of(config: &ModelConfig) -> Checkpoint {
        Checkpoint {
            transformer: config.transformer.clone(),
            video_connector: config.video_connector.clone(),
            audio_connector: config.audio_connector.clone(),
            video_vae: config.video_vae.clone(),
            audio_vae: config.audio_vae.clone(),
            vocoder: config.vocoder.clone(),
        }
    }
}

fn parse(text: &str, what: &str, problems: &Problems) -> Option<Value> {
    // Some editors put a byte order mark in front.
    match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(value @ Value::Object(_)) => return Some(value),
        Ok(other) => problems.add(format!("{what} is {}, an object wanted", shown(&other))),
        Err(error) => problems.add(format!("{what} is not JSON: {error}")),
    }
    None
}

/// The components of a config. Those that it has no section for are those of `other`: files that hold one component have
/// its section alone.
fn checkpoint(root: &Value, other: Checkpoint, problems: &Problems) -> Option<Checkpoint> {
    let root = Section::root("", root, problems);
    if !generation::check_config(&root) {
        // The keys of another generation differ everywhere; a list of them would hide what matters.
        return None;
    }
    let connectors = (other.video_connector, other.audio_connector);
    let transformer = component(&root, "transformer", other.transformer, transformer::read);
    let connectors = component(&root, "transformer", connectors, transformer::read_connectors);
    let video_vae = component(&root, "vae", other.video_vae, video_vae::read);
    let audio_vae = component(&root, "audio_vae", other.audio_vae, audio_vae::read);
    let vocoder = component(&root, "vocoder", other.vocoder, vocoder::read);
    if let (Some(transformer), Some(vae)) = (&transformer, &video_vae) {
        let (have, want) = (vae.latent_channels, transformer.video_channels);
        problems.check(have == want, || {
            format!("vae.latent_channels is {have}, transformer.in_channels {want} wanted")
        });
    }
    if let (Some(transformer), Some(vae)) = (&transformer, &audio_vae) {
        let (z, bins, want) = (vae.z_channels, vae.latent_bins, transformer.audio_channels);
        problems.check(z.checked_mul(bins) == Some(want), || {
            format!("audio_vae: {z} channels of {bins} bins make a token, transformer.audio_out_channels {want} wanted")
        });
    }
    if let (Some(vae), Some(vocoder)) = (&audio_vae, &vocoder) {
        let (have, want) = (vocoder.mel_bins, vae.mel_bins);
        problems.check(have == want, || {
            format!("vocoder.bwe.num_mels is {have}, audio_vae's mel_bins {want} wanted")
        });
    }
    let (video_connector, audio_connector) = connectors?;
    Some(Checkpoint {
        transformer: transformer?,
        video_connector,
        audio_connector,
        video_vae: video_vae?,
        audio_vae: audio_vae?,
        vocoder: vocoder?,
    })
}

/// What a section says, or `other` where there is none.
fn component<T>(
    root: &Section<'_>,
    name: &str,
    other: T,
    read: impl Fn(&Section<'_>) -> Option<T>,
) -> Option<T> {
    match root.get(name) {
        None => Some(other),
        Some(_) => root.section(name).as_ref().and_then(read),
    }
}
