//! A model that the program makes itself: the architecture of LTX-2.3 with small numbers and seeded weights.
//!
//! It shows moving patterns and sound, not what a prompt asks for. What it is good for: every part of the program
//! runs, on any machine, without a download. Names, formats and configs are those of the official files, and the
//! weights come from integer arithmetic, so the bytes are the same on every machine.

mod random;
mod rules;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use half::bf16;
use zoetrope_model_spec::lang::Source;
use zoetrope_model_spec::ltx::demo::TEXTS;
use zoetrope_runtime::files::{FileDtype, FileError, NewTensor, TensorFile, write_tensors};

use crate::model_files::{ModelFiles, ModelPaths};

/// The demo model's texts, in the form that its files have them.
#[derive(Clone, Copy, Debug)]
pub struct DemoConfig {
    /// `config` in the checkpoint's metadata.
    pub checkpoint: &'static str,
    /// `model_version` in the checkpoint's metadata.
    pub model_version: &'static str,
    /// `config.json` of the Gemma folder.
    pub gemma: &'static str,
    /// `tokenizer.json` of the Gemma folder.
    pub tokenizer: &'static str,
    /// `tokenizer_config.json` of the Gemma folder.
    pub tokenizer_config: &'static str,
    /// `config` in the upscaler's metadata.
    pub upscaler: &'static str,
}

/// The demo model's texts.
pub fn config() -> DemoConfig {
    DemoConfig {
        checkpoint: TEXTS.checkpoint.unwrap_or_default(),
        model_version: TEXTS.model_version.unwrap_or_default(),
        gemma: TEXTS.gemma.unwrap_or_default(),
        tokenizer: include_str!("tokenizer.json"),
        tokenizer_config: include_str!("tokenizer_config.json"),
        upscaler: TEXTS.upscaler.unwrap_or_default(),
    }
}

/// Why the demo model could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The model has a tensor of a kind that the demo model's maker does not know.
    #[error("tensor {tensor}: the demo model has no rule for its values (add one to src/demo/rules.rs)")]
    NoRule {
        /// The tensor's name.
        tensor: String,
    },
    /// A folder or file could not be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that was just made is not readable: a mistake in this program.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A tensor of the model: which file it is in, its name, its shape.
pub type ModelTensor = (Source, String, Vec<usize>);

const CHECKPOINT: &str = "ltx-2.3-demo.safetensors";
const TEXT_ENCODER: &str = "gemma-3-demo";
const UPSCALER: &str = "ltx-2.3-demo-spatial-upscaler-x2.safetensors";

/// Writes the demo model's files into `dir`, which is made if it is not there. `tensors` is the list of the spec.
///
/// # Errors
/// A tensor of an unknown kind, or a file that cannot be written.
pub fn write_demo_model(dir: &Path, tensors: &[ModelTensor]) -> Result<ModelPaths, DemoError> {
    let folder = dir.join(TEXT_ENCODER);
    let DemoConfig { gemma, tokenizer, tokenizer_config, .. } = config();
    let files = [
        (dir.join(CHECKPOINT), weights(Source::Checkpoint, tensors)?),
        (folder.join("config.json"), gemma.as_bytes().to_vec()),
        (folder.join("tokenizer.json"), tokenizer.as_bytes().to_vec()),
        (folder.join("tokenizer_config.json"), tokenizer_config.as_bytes().to_vec()),
        (folder.join("model.safetensors"), weights(Source::TextEncoder, tensors)?),
        (dir.join(UPSCALER), weights(Source::SpatialUpscaler, tensors)?),
    ];
    fs::create_dir_all(&folder).map_err(|source| DemoError::Write { path: folder.clone(), source })?;
    for (path, bytes) in files {
        fs::write(&path, bytes).map_err(|source| DemoError::Write { path, source })?;
    }
    let [checkpoint, upscaler] = [CHECKPOINT, UPSCALER].map(|name| dir.join(name));
    Ok(ModelPaths { checkpoint: vec![checkpoint], text_encoder: folder, upscaler: Some(upscaler) })
}

/// The demo model without files: the same bytes, in memory.
///
/// # Errors
/// A tensor of an unknown kind.
pub fn demo_in_memory(tensors: &[ModelTensor]) -> Result<ModelFiles, DemoError> {
    let file = |name: &str, source| -> Result<Vec<TensorFile>, DemoError> {
        Ok(vec![TensorFile::from_bytes(name, weights(source, tensors)?)?])
    };
    let files = ModelFiles::of(
        file(CHECKPOINT, Source::Checkpoint)?,
        file(TEXT_ENCODER, Source::TextEncoder)?,
        file(UPSCALER, Source::SpatialUpscaler)?,
    );
    let DemoConfig { gemma, tokenizer, .. } = config();
    Ok(ModelFiles {
        gemma_config: Some(gemma.to_string()),
        tokenizer: Some(tokenizer.as_bytes().to_vec()),
        ..files
    })
}

/// The bytes of one weight file.
fn weights(source: Source, tensors: &[ModelTensor]) -> Result<Vec<u8>, DemoError> {
    let mut made = Vec::new();
    for (_, name, shape) in tensors.iter().filter(|(from, ..)| *from == source) {
        let values = rules::values(source, name, shape)
            .ok_or_else(|| DemoError::NoRule { tensor: format!("{}:{name}", source.name()) })?;
        // As in the official files.
        let (dtype, bytes) = match name.contains("scale_shift_table") {
            true => {
                (FileDtype::F32, values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect::<Vec<u8>>())
            }
            false => {
                (FileDtype::Bf16, values.iter().flat_map(|&v| bf16::from_f64(v).to_le_bytes()).collect())
            }
        };
        made.push((name, dtype, shape, bytes));
    }
    // The same bytes for any order of the list.
    made.sort_by_key(|(name, ..)| *name);
    made.dedup_by_key(|(name, ..)| *name);
    let made: Vec<NewTensor<'_>> = made
        .iter()
        .map(|(name, dtype, shape, bytes)| NewTensor { name, dtype: *dtype, shape, bytes })
        .collect();
    let config = config();
    let metadata: &[(&str, &str)] = match source {
        Source::Checkpoint => &[("config", config.checkpoint), ("model_version", config.model_version)],
        Source::TextEncoder => &[("format", "pt")],
        Source::SpatialUpscaler => &[("config", config.upscaler)],
    };
    Ok(write_tensors(metadata, &made))
}
