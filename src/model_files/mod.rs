//! The files of a model, as a user gives them: a checkpoint (whole or split), a Gemma folder, an upscaler.

mod names;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zoetrope_model_spec::ltx::config::ModelConfig;
use zoetrope_model_spec::ltx::read_config::{ConfigError, ConfigTexts, read_config};
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::{FileError, Tensor, TensorFile, TensorSet, tensor_files};
use zoetrope_runtime::plan::{Origin, Plan, Source};

/// A config text is a few kilobytes; what is longer than this is none.
const MAX_CONFIG_BYTES: u64 = 10_000_000;
/// Gemma's vocabulary takes 33 MB.
const MAX_TOKENIZER_BYTES: u64 = 500_000_000;

/// Where a model's files are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelPaths {
    /// The checkpoint: one file, or the parts that it was split into.
    pub checkpoint: Vec<PathBuf>,
    /// Gemma's folder, with its configuration, tokenizer and weights.
    pub text_encoder: PathBuf,
    /// The spatial x2 upscaler, where a pipeline has a second stage.
    pub upscaler: Option<PathBuf>,
}

/// A model's files, opened. Weights are mapped, not loaded.
#[derive(Debug, Default)]
pub struct ModelFiles {
    /// The checkpoint under official names.
    pub checkpoint: TensorSet,
    /// Gemma under official names.
    pub text_encoder: TensorSet,
    /// The upscaler; without tensors if none was given.
    pub upscaler: TensorSet,
    /// The text of Gemma's `config.json`.
    pub gemma_config: Option<String>,
    /// Gemma's `tokenizer.json`.
    pub tokenizer: Option<Vec<u8>>,
    /// Files that are needed and could not be used, with what they were given as.
    pub unreadable: Vec<(Source, FileError)>,
}

impl ModelFiles {
    /// Opens everything that can be opened; the rest is in [`ModelFiles::unreadable`], so that a user hears of all
    /// problems at once.
    pub fn open(paths: &ModelPaths) -> ModelFiles {
        let mut unreadable = Vec::new();
        let mut open = |source, paths: &[PathBuf]| {
            let mut files = Vec::new();
            for path in paths {
                match tensor_files(path) {
                    Ok(found) => files.extend(found.iter().map(|path| TensorFile::open(path))),
                    Err(error) => files.push(Err(error)),
                }
            }
            files
                .into_iter()
                .filter_map(|file| file.map_err(|error| unreadable.push((source, error))).ok())
                .collect()
        };
        let checkpoint = open(Source::Checkpoint, &paths.checkpoint);
        let text_encoder = open(Source::TextEncoder, std::slice::from_ref(&paths.text_encoder));
        let upscaler = open(Source::SpatialUpscaler, paths.upscaler.as_slice());
        // Of a single weight file, its folder.
        let folder = match paths.text_encoder.is_dir() {
            true => paths.text_encoder.as_path(),
            false => paths.text_encoder.parent().unwrap_or(Path::new("")),
        };
        let mut read = |name: &str, limit: u64| {
            let path = folder.join(name);
            let bytes = read_limited(&path, limit);
            bytes
                .map_err(|source| unreadable.push((Source::TextEncoder, FileError::Io { path, source })))
                .ok()
        };
        let gemma_config = read("config.json", MAX_CONFIG_BYTES);
        let tokenizer = read("tokenizer.json", MAX_TOKENIZER_BYTES);
        ModelFiles {
            // Bytes that are no UTF-8 make no JSON either, and the reader of the config says so.
            gemma_config: gemma_config.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            tokenizer,
            unreadable,
            ..ModelFiles::of(checkpoint, text_encoder, upscaler)
        }
    }

    /// The files of the three sources, read under official names.
    pub fn of(
        checkpoint: Vec<TensorFile>,
        text_encoder: Vec<TensorFile>,
        upscaler: Vec<TensorFile>,
    ) -> ModelFiles {
        ModelFiles {
            checkpoint: TensorSet::new(checkpoint, names::CHECKPOINT),
            text_encoder: TensorSet::new(text_encoder, names::TEXT_ENCODER),
            upscaler: TensorSet::new(upscaler, &[]),
            ..ModelFiles::default()
        }
    }

    /// The files of one source.
    pub fn source(&self, source: Source) -> &TensorSet {
        match source {
            Source::Checkpoint => &self.checkpoint,
            Source::TextEncoder => &self.text_encoder,
            Source::SpatialUpscaler => &self.upscaler,
        }
    }

    /// The model's dimensions, from the texts in the files; parts without a text are those of `fallback`.
    ///
    /// # Errors
    /// Everything in the texts that does not describe an LTX-2.3 model.
    pub fn config(&self, fallback: &ModelConfig) -> Result<ModelConfig, ConfigError> {
        let stem = self.checkpoint.files().first().and_then(|file| file.path().file_stem());
        let name = stem.map_or(fallback.name.clone(), |stem| stem.to_string_lossy().into_owned());
        let texts = ConfigTexts {
            name: &name,
            checkpoint: self.checkpoint.metadata("config"),
            model_version: self.checkpoint.metadata("model_version"),
            gemma: self.gemma_config.as_deref(),
            upscaler: self.upscaler.metadata("config"),
        };
        read_config(&texts, fallback)
    }
}

impl Weights for ModelFiles {
    fn tensor(&self, source: Source, name: &str) -> Option<Tensor<'_>> {
        self.source(source).get(name)
    }

    fn unchanged(&self) -> Result<(), FileError> {
        [&self.checkpoint, &self.text_encoder, &self.upscaler].into_iter().try_for_each(TensorSet::unchanged)
    }
}

/// A tensor that a plan reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Which file it is in.
    pub source: Source,
    /// Its official name.
    pub tensor: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// The tensors that a plan reads, each once.
pub fn tensors_of(plan: &Plan) -> Vec<Wanted> {
    let mut wanted = BTreeSet::new();
    for constant in plan.constants.iter() {
        let Origin::Weight { source, tensors, .. } = &constant.origin else { continue };
        wanted.extend(tensors.iter().map(|(name, rows)| Wanted {
            source: *source,
            tensor: name.to_string(),
            shape: constant.file_shape(*rows).map(|n| n as usize).collect(),
        }));
    }
    wanted.into_iter().collect()
}

/// A whole file of at most `limit` bytes.
fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Counted while reading: the length of a pipe or a growing file is not what the system says at first.
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {limit} bytes")));
    }
    Ok(bytes)
}
