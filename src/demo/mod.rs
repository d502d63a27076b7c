//! A model that comes with the program: the architecture of LTX-2.3 with small numbers.
//!
//! Every part of the program runs with it, on any machine, without a download. Names, formats and configs are those of
//! the official files. Tensors that were trained are embedded ([`trained`]); all others are made up from their names by
//! rules, with integer arithmetic. Both give the same bytes on every machine.

pub mod adapters;
pub(crate) mod random;
mod rules;
mod tables;
pub mod trained;

use std::path::Path;

use half::bf16;
use rayon::prelude::*;
use zoetrope_model_spec::ltx::demo::{TEXTS, upscaler_text};
use zoetrope_runtime::files::{FileDtype, FileError, NewTensor, TensorFile, write_tensors};
use zoetrope_runtime::plan::Source;

use crate::model_files::upscaler::enlarges;
use crate::model_files::{ModelFiles, ModelPaths, Wanted};
use crate::output::{Format, OutputError, OutputFolder, check_room};
use crate::tokenize::{TokenizeError, Tokenizer};

use trained::Trained;

/// `tokenizer.json` of the demo model's Gemma folder.
pub const TOKENIZER: &str = include_str!("tokenizer.json");
const TOKENIZER_CONFIG: &str = include_str!("tokenizer_config.json");

/// Why the demo model could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The model has a tensor of a kind that the demo model's maker does not know.
    #[error("tensor {tensor}: the demo model has no rule for its values (add one to src/demo/rules.rs)")]
    NoRule {
        /// The tensor's name.
        tensor: String,
    },
    /// A part that is embedded in this program is not readable: it was damaged before or after the build.
    #[error(
        "the demo model's part {part} is damaged: {why}\n  help  get src/demo/weights/{part}.bin again, and build again"
    )]
    Damaged {
        /// The part: `weights/PART.bin`.
        part: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A folder or file could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A file that was just made is not readable: a mistake in this program.
    #[error(transparent)]
    File(#[from] FileError),
    /// The tokenizer is not readable: a mistake in this program.
    #[error(transparent)]
    Tokenizer(#[from] TokenizeError),
}

const CHECKPOINT: &str = "ltx-2.3-demo.safetensors";
const TEXT_ENCODER: &str = "gemma-3-demo";
const UPSCALER: &str = "ltx-2.3-demo-spatial-upscaler-x2.safetensors";

/// Writes the demo model's files, and two adapters for it, into `dir`, which is made if it is not there.
///
/// # Errors
/// A tensor of an unknown kind, or a file that cannot be written.
pub fn write_demo_model(dir: &Path, tensors: &[Wanted]) -> Result<ModelPaths, DemoError> {
    // Folders and names are tried before the weights are made, which takes longest.
    let outer = OutputFolder::open(dir)?;
    let folder = dir.join(TEXT_ENCODER);
    let inner = OutputFolder::open(&folder)?;
    let names = [
        (&outer, CHECKPOINT),
        (&inner, "config.json"),
        (&inner, "tokenizer.json"),
        (&inner, "tokenizer_config.json"),
        (&inner, "model.safetensors"),
        (&outer, UPSCALER),
        (&outer, adapters::DISTILLED.file),
        (&outer, adapters::STYLE.file),
    ];
    let files = names.map(|(folder, name)| folder.file(name, Format::Own));
    let files = files.into_iter().collect::<Result<Vec<_>, _>>()?;
    // No element has more than four bytes.
    let bytes = tensors.iter().map(|wanted| 4 * wanted.shape.iter().product::<usize>() as u64).sum();
    check_room(&[(dir, bytes)])?;
    let weights = |source| weights(source, tensors, &Trained::of(source)?);
    let contents = [
        weights(Source::Checkpoint)?,
        text(TEXTS.gemma).as_bytes().to_vec(),
        TOKENIZER.as_bytes().to_vec(),
        TOKENIZER_CONFIG.as_bytes().to_vec(),
        weights(Source::TextEncoder)?,
        weights(Source::SpatialUpscaler)?,
        adapters::DISTILLED.bytes(tensors)?,
        adapters::STYLE.bytes(tensors)?,
    ];
    for (file, bytes) in files.iter().zip(contents) {
        file.replace(&bytes)?;
    }
    let [checkpoint, upscaler] = [CHECKPOINT, UPSCALER].map(|name| dir.join(name));
    Ok(ModelPaths { checkpoint: vec![checkpoint], text_encoder: folder, upscaler: Some(upscaler) })
}

/// The demo model without files: the same bytes, in memory.
///
/// # Errors
/// A tensor of an unknown kind, or a damaged part.
pub fn demo_in_memory(tensors: &[Wanted]) -> Result<ModelFiles, DemoError> {
    in_memory(tensors, Trained::of)
}

/// As [`demo_in_memory`], with every tensor made up: for models of any shape, where all values shall be alike.
///
/// # Errors
/// A tensor of an unknown kind.
pub fn made_up_in_memory(tensors: &[Wanted]) -> Result<ModelFiles, DemoError> {
    in_memory(tensors, |_| Ok(Trained::default()))
}

fn in_memory(
    tensors: &[Wanted],
    trained: fn(Source) -> Result<Trained, DemoError>,
) -> Result<ModelFiles, DemoError> {
    let file = |name: &str, source| -> Result<Vec<TensorFile>, DemoError> {
        Ok(vec![TensorFile::from_bytes(name, weights(source, tensors, &trained(source)?)?)?])
    };
    let upscaler = tensors.iter().map(|wanted| wanted.source).find(|source| source.is_upscaler());
    let mut files = ModelFiles::of(
        file(CHECKPOINT, Source::Checkpoint)?,
        file(TEXT_ENCODER, Source::TextEncoder)?,
        file(UPSCALER, upscaler.unwrap_or(Source::SpatialUpscaler))?,
    );
    files.gemma_config = Some(text(TEXTS.gemma).to_string());
    files.tokenizer = Some(Tokenizer::from_json(TOKENIZER)?);
    Ok(files)
}

/// One of [`TEXTS`], which has them all.
fn text(text: Option<&'static str>) -> &'static str {
    text.unwrap_or_default()
}

/// The bytes of one weight file.
fn weights(source: Source, tensors: &[Wanted], trained: &Trained) -> Result<Vec<u8>, DemoError> {
    let wanted = tensors.par_iter().filter(|wanted| wanted.source == source);
    let made = wanted.map(|Wanted { tensor: name, shape, .. }| {
        let (dtype, bytes) = match trained.values(name, shape)? {
            Some(values) => values,
            None => made_up(source, name, shape)?,
        };
        Ok((name, dtype, shape, bytes))
    });
    let mut made = made.collect::<Result<Vec<_>, DemoError>>()?;
    // The same bytes for any order of the list.
    made.sort_by_key(|(name, ..)| *name);
    made.dedup_by_key(|(name, ..)| *name);
    let made: Vec<NewTensor<'_>> = made
        .iter()
        .map(|(name, dtype, shape, bytes)| NewTensor { name, dtype: *dtype, shape, bytes })
        .collect();
    let metadata = match source {
        Source::Checkpoint => {
            vec![("config", text(TEXTS.checkpoint)), ("model_version", text(TEXTS.model_version))]
        }
        Source::TextEncoder => vec![("format", "pt")],
        other => enlarges(other).map(|by| ("config", upscaler_text(by))).into_iter().collect(),
    };
    Ok(write_tensors(&metadata, &made))
}

/// A tensor by the rules.
fn made_up(source: Source, name: &str, shape: &[usize]) -> Result<trained::Values, DemoError> {
    let values = rules::values(source, name, shape)
        .ok_or_else(|| DemoError::NoRule { tensor: format!("{}:{name}", source.name()) })?;
    // As in the official files.
    Ok(if name.contains("scale_shift_table") {
        let bits: Vec<u32> = values.iter().map(|v| (*v as f32).to_bits().to_le()).collect();
        (FileDtype::F32, bytemuck::cast_slice(&bits).to_vec())
    } else {
        let bits: Vec<u16> = values.iter().map(|v| bf16::from_f64(*v).to_bits().to_le()).collect();
        (FileDtype::Bf16, bytemuck::cast_slice(&bits).to_vec())
    })
}
