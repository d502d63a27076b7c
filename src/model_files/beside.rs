//! What goes with Gemma's weights: its configuration and its tokenizer, in files beside them or in the same file.

use std::path::{Path, PathBuf};

use zoetrope_compiler::file_config::MAX_CONFIG_BYTES;
use zoetrope_runtime::files::{TensorFile, View, read_text};
use zoetrope_runtime::plan::Source;

use super::Opened;
use super::places::places;
use super::view::TOKENIZER_TENSOR;
use crate::tokenize::{TokenizeError, Tokenizer};

/// Both, as far as they were found.
pub struct Beside {
    /// The text of `config.json`.
    pub gemma_config: Option<String>,
    pub tokenizer: Option<Tokenizer>,
}

impl Beside {
    /// Looks for both where `path` leads, in the weights themselves first. What is missing is refused: a configuration
    /// where a folder was given, a tokenizer wherever it could be.
    pub fn of(path: &Path, weights: &[View], opened: &mut Opened) -> Beside {
        let place = places(Source::TextEncoder, path).pop();
        let path = place.as_deref().unwrap_or(path);
        let inside = weights.iter().find_map(|view| tokenizer_in(&view.file));
        // Of a single weight file, its folder. Beside a folder that is not there lie files of something else.
        let is_folder = path.is_dir();
        let folder = match path {
            path if is_folder => Some(path),
            path => path.parent().filter(|_| path.exists()),
        };
        // A file that has its tokenizer inside needs nothing beside it, and what lies there may be of another model.
        let has_inside = inside.is_some();
        let may_be_read = |path: &PathBuf| match (is_folder, has_inside) {
            (true, false) => true,
            (false, true) => false,
            _ => path.exists(),
        };
        let mut refuse = |message| opened.refuse(Source::TextEncoder, false, message);
        let tokenizer = match (inside, folder) {
            (Some(tokenizer), _) => Some(tokenizer),
            (None, Some(folder)) => Some(tokenizer_of(folder, is_folder, weights)),
            (None, None) => None,
        };
        let tokenizer = tokenizer.and_then(|read| read.map_err(&mut refuse).ok());
        let config = folder.map(|folder| folder.join("config.json"));
        let config = config
            .filter(may_be_read)
            .map(|path| read_text(&path, MAX_CONFIG_BYTES).map_err(|error| error.to_string()));
        let gemma_config = config.and_then(|config| config.map_err(&mut refuse).ok());
        Beside { gemma_config, tokenizer }
    }
}

/// The tokenizer in a file of weights, if it has one.
fn tokenizer_in(file: &TensorFile) -> Option<Result<Tokenizer, String>> {
    let read = match file.gguf() {
        Some(gguf) => gguf.value("tokenizer.ggml.model").map(|_| Tokenizer::from_gguf(file)),
        None => {
            let model = file.get(TOKENIZER_TENSOR)?;
            Some(Tokenizer::from_model_file("spiece_model", model.bytes))
        }
    };
    Some(read?.map_err(|error| format!("{}: {error}", file.path().display())))
}

/// The `tokenizer.json` of a folder, or of the folder `tokenizer` beside it, where diffusers puts it.
fn tokenizer_of(folder: &Path, is_folder: bool, weights: &[View]) -> Result<Tokenizer, String> {
    let near = folder.join("tokenizer.json");
    let far: PathBuf = folder.join("../tokenizer/tokenizer.json");
    let path = if !near.exists() && far.exists() { far } else { near };
    Tokenizer::from_file(&path).map_err(|error| match error {
        TokenizeError::File(error) if is_folder => error.to_string(),
        TokenizeError::File(error) => {
            let file = weights.first().map_or(folder, |view| view.file.path()).display();
            format!("{file}: no tokenizer: the file has no spiece_model, and {error}")
        }
        // The others name the file without its folder.
        other => format!("{}: {other}", folder.display()),
    })
}
