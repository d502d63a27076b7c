//! The files of a model, as a user gives them: a checkpoint (whole or split), a Gemma folder, an upscaler.

mod beside;
pub mod diffusers;
mod llama;
mod names;
mod places;
mod quantised;
mod search;
mod shared;
pub mod upscaler;
mod view;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use zoetrope_compiler::file_config::config_of;
use zoetrope_model_spec::ltx::config::ModelConfig;
use zoetrope_model_spec::ltx::read_config::ConfigError;
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::{FileError, Listing, Tensor, TensorFile, TensorSet, View, tensor_files};
use zoetrope_runtime::plan::{Kept, Origin, Plan, Source};

use crate::tokenize::{TokenizeError, Tokenizer};

use beside::Beside;
use places::places;
pub use search::{Found, search};
pub use shared::SharedFiles;
pub use view::INPUT_SCALES;
use view::{Names, Seen, see};

/// The table of tokens, which has a row for each.
const TOKEN_TABLE: &str = "language_model.model.embed_tokens.weight";

/// Where a model's files are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelPaths {
    /// The checkpoint: one file, or those that it was split into.
    pub checkpoint: Vec<PathBuf>,
    /// Gemma's folder, with its configuration, tokenizer and weights.
    pub text_encoder: PathBuf,
    /// The upscaler, where a pipeline enlarges the video.
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
    /// Which one that is.
    kind: Option<Source>,
    /// The text of Gemma's `config.json`.
    pub gemma_config: Option<String>,
    /// The tokenizer of Gemma's folder.
    pub tokenizer: Option<Tokenizer>,
    /// What these files have of adapters ([`crate::adapters`]).
    nothing: TensorSet,
    /// Files that are needed and could not be used.
    pub unreadable: Vec<Unreadable>,
    /// What was left out or read over, in words.
    pub notes: Vec<String>,
}

/// A file that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What it was given as.
    pub source: Source,
    /// True for weights: tensors that are not found may be in it.
    pub weights: bool,
    /// Path and reason.
    pub message: String,
}

impl ModelFiles {
    /// Opens everything that can be opened; the rest is in [`ModelFiles::unreadable`], so that a user hears of all
    /// problems at once.
    pub fn open(paths: &ModelPaths) -> ModelFiles {
        let mut opened = Opened::default();
        let checkpoint = opened.weights(Source::Checkpoint, &paths.checkpoint);
        let text_encoder = opened.weights(Source::TextEncoder, std::slice::from_ref(&paths.text_encoder));
        let upscaler = opened.weights(Source::SpatialUpscaler, paths.upscaler.as_slice());
        let beside = Beside::of(&paths.text_encoder, &text_encoder, &mut opened);
        let Beside { gemma_config, tokenizer } = beside;
        let Opened { unreadable, notes } = opened;
        let [checkpoint, text_encoder, upscaler] = [checkpoint, text_encoder, upscaler].map(TensorSet::of);
        let (nothing, kind) = (TensorSet::default(), kind(&upscaler));
        ModelFiles {
            checkpoint,
            text_encoder,
            upscaler,
            kind,
            gemma_config,
            tokenizer,
            nothing,
            unreadable,
            notes,
        }
    }

    /// The tokenizer of Gemma's folder.
    ///
    /// # Errors
    /// None was given.
    pub fn tokenizer(&self) -> Result<&Tokenizer, TokenizeError> {
        self.tokenizer.as_ref().ok_or(TokenizeError::NotGiven)
    }

    /// The files of the three sources, read under official names.
    pub fn of(
        checkpoint: Vec<TensorFile>,
        text_encoder: Vec<TensorFile>,
        upscaler: Vec<TensorFile>,
    ) -> ModelFiles {
        let mut opened = Opened::default();
        let mut seen = |source, files: Vec<TensorFile>| {
            let views = files.into_iter().flat_map(|file| opened.see(source, vec![file]));
            TensorSet::of(views.collect())
        };
        let upscaler = seen(Source::SpatialUpscaler, upscaler);
        ModelFiles {
            checkpoint: seen(Source::Checkpoint, checkpoint),
            text_encoder: seen(Source::TextEncoder, text_encoder),
            kind: kind(&upscaler),
            upscaler,
            unreadable: opened.unreadable,
            notes: opened.notes,
            ..ModelFiles::default()
        }
    }

    /// Makes the table of tokens of a GGUF file as long as `wanted` has it: such files leave out rows behind those of the
    /// tokenizer, which no prompt reads.
    pub fn fit(&mut self, wanted: &[Wanted]) {
        let Some(table) = wanted.iter().find(|w| w.source == Source::TextEncoder && w.tensor == TOKEN_TABLE)
        else {
            return;
        };
        let largest = self.tokenizer.as_ref().map(Tokenizer::largest_id);
        let Some(found) = self.text_encoder.decoded_mut(TOKEN_TABLE) else { return };
        let fits = matches!((found.shape(), table.shape.as_slice()), ([rows, columns], [want, wide])
            if rows <= want && columns == wide && largest.is_some_and(|largest| (largest as usize) < *rows));
        if fits && found.file().gguf().is_some() {
            found.extend_rows(table.shape[0]);
        }
    }

    /// The files of one source.
    pub fn source(&self, source: Source) -> &TensorSet {
        match source.file() {
            Source::Checkpoint | Source::Merged(_) => &self.checkpoint,
            Source::TextEncoder => &self.text_encoder,
            upscaler if self.kind == Some(upscaler) => &self.upscaler,
            _ => &self.nothing,
        }
    }

    /// The model's dimensions, from the texts in the files; components without a text are those of `fallback`.
    ///
    /// # Errors
    /// Everything in the texts that does not describe an LTX-2.3 model.
    pub fn config(&self, fallback: &ModelConfig) -> Result<ModelConfig, ConfigError> {
        let stem = self.checkpoint.files().next().and_then(|file| file.path().file_stem());
        let name = stem.map_or(fallback.name.clone(), |stem| stem.to_string_lossy().into_owned());
        let gguf = self.text_encoder.files().find_map(TensorFile::gguf);
        let made = gguf.map(|gguf| llama::config(gguf, &fallback.gemma));
        let gemma = self.gemma_config.as_deref().or(made.as_deref());
        config_of(&name, &self.checkpoint, gemma, &self.upscaler, fallback)
    }
}

/// What opening left out.
#[derive(Default)]
struct Opened {
    unreadable: Vec<Unreadable>,
    notes: Vec<String>,
}

impl Opened {
    /// The tensor files that paths stand for, each once.
    fn weights(&mut self, source: Source, paths: &[PathBuf]) -> Vec<View> {
        let mut seen = BTreeSet::new();
        let mut views = Vec::new();
        for path in paths.iter().flat_map(|path| places(source, path)) {
            let listing = tensor_files(&path);
            let mut indexed = false;
            if let Ok(Listing { index: Some(index), beside, .. }) = &listing {
                let index = index.path.display();
                let note =
                    |path: &PathBuf| format!("{} is not read: {index} does not name it", path.display());
                self.notes.extend(beside.iter().map(note));
                indexed = true;
            }
            let opened = listing.map_or_else(|error| vec![Err(error)], |listing| listing.open());
            let mut files = Vec::new();
            for file in opened {
                match file {
                    Ok(file) if !seen.insert(real(file.path())) => {
                        self.notes.push(format!("{} is given twice and read once", file.path().display()));
                    }
                    Ok(file) => files.push(file),
                    Err(error) => self.refuse(source, true, error.to_string()),
                }
            }
            match indexed {
                true => views.extend(self.see(source, files)),
                false => views.extend(files.into_iter().flat_map(|file| self.see(source, vec![file]))),
            }
        }
        views
    }

    /// Files that belong together, under official names.
    fn see(&mut self, source: Source, files: Vec<TensorFile>) -> Vec<View> {
        let names = Names::of(source, &files.iter().collect::<Vec<_>>());
        let whole = files.len() == 1;
        let mut views = Vec::new();
        for file in files {
            let Seen { view, problems, notes } = see(source, file, &names, whole);
            problems.into_iter().for_each(|problem| self.refuse(source, true, problem));
            self.notes.extend(notes);
            views.push(view);
        }
        views
    }

    fn refuse(&mut self, source: Source, weights: bool, message: String) {
        self.unreadable.push(Unreadable { source, weights, message });
    }
}

/// Which upscaler the files of one are.
fn kind(upscaler: &TensorSet) -> Option<Source> {
    let given = upscaler.files().len() > 0;
    given.then(|| upscaler::source_of(upscaler.texts("config").next().map(|(_, text)| text)))
}

/// The file that a path leads to, whichever way.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
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
    /// What the plan keeps it in; `None` for what is decoded.
    pub kept: Option<Kept>,
}

/// The tensors of model files that a plan reads, each once. What it reads of adapters is theirs to check.
pub fn tensors_of(plan: &Plan) -> Vec<Wanted> {
    let mut wanted = BTreeSet::new();
    for constant in plan.constants.iter() {
        let Origin::Weight { source, tensors, .. } = &constant.origin else { continue };
        if matches!(source, Source::Adapter(_)) {
            continue;
        }
        wanted.extend(tensors.iter().map(|(name, rows)| Wanted {
            source: source.file(),
            tensor: name.to_string(),
            shape: constant.file_shape(*rows).into_iter().map(|n| n as usize).collect(),
            kept: constant.kept(),
        }));
    }
    wanted.into_iter().collect()
}
