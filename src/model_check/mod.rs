//! Do the model files have what a plan reads? Found out from their headers, before a byte of weights is read;
//! [`deepen`] reads the weights, too.
//!
//! Everything that is wrong is listed, not the first thing only: a user who fetches 76 GB wants to hear it once.
//! What a file has beyond the plan's needs is counted and no mistake: one checkpoint serves many plans.

mod components;
mod deep;
mod doubles;
mod generation;
mod language_model;
mod sums;
mod table;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::config::ModelConfig;
use zoetrope_model_spec::ltx::read_config::differences;
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::FileDtype;
use zoetrope_runtime::plan::Source;

use crate::model_files::{ModelFiles, Unreadable, Wanted};

pub use components::Unneeded;
pub use deep::{Odd, deepen};
pub use doubles::is_lora;
pub use language_model::LanguageModel;
pub use sums::{Sums, compare};
pub use table::table;

/// The exit code of a command that stops because of model files.
pub const EXIT_MODEL_FILES: u8 = 3;

/// Element types that weights are read from.
const READABLE: [FileDtype; 3] = [FileDtype::Bf16, FileDtype::F16, FileDtype::F32];

/// Something that keeps a plan from running on these files.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// Nothing was given for a source that the plan reads.
    NotGiven {
        /// The source.
        source: Source,
    },
    /// A file that was given cannot be used.
    Unreadable {
        /// What it was given as.
        source: Source,
        /// Path and reason.
        message: String,
    },
    /// The plan shows images to the text encoder, whose files hold its language model alone.
    NoVision,
    /// The files describe a model that the plan is not for.
    Config {
        /// Key, value, and what was wanted.
        message: String,
    },
    /// The text encoder is another size of the same family.
    LanguageModel {
        /// What the folder holds.
        found: LanguageModel,
        /// What the plan is for.
        wanted: LanguageModel,
    },
    /// No file has the tensor.
    Missing {
        /// The tensor.
        wanted: Wanted,
    },
    /// A tensor has another shape.
    Shape {
        /// The tensor.
        wanted: Wanted,
        /// The shape that it has.
        found: Vec<usize>,
        /// The file that it is in.
        file: PathBuf,
    },
    /// Two files hold tensors of the same name, or one holds them under two.
    Twice {
        /// The first of them that the plan reads.
        wanted: Wanted,
        /// How many more there are.
        more: usize,
        /// The modules that they are all of.
        modules: BTreeSet<String>,
        /// The two files.
        files: [PathBuf; 2],
        /// The tensor's names in them.
        names: [String; 2],
    },
    /// A file holds changes of weights, and was given as weights.
    Lora {
        /// What it was given as.
        source: Source,
        /// The file.
        file: PathBuf,
    },
    /// The tokenizer has tokens that the language model has no rows for.
    Vocabulary {
        /// The largest number of a token.
        largest: u32,
        /// Rows of the embedding.
        rows: usize,
    },
    /// A tensor's values cannot be weights.
    Values {
        /// The source.
        source: Source,
        /// The file that it is in.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is odd.
        odd: Odd,
    },
    /// A file ends in zeros: what a download that stopped leaves.
    ZeroEnd {
        /// The source.
        source: Source,
        /// The file.
        file: PathBuf,
        /// How many zeros.
        bytes: u64,
        /// The first tensor that they reach into.
        first: String,
    },
    /// A tensor's elements cannot be read.
    Dtype {
        /// The tensor.
        wanted: Wanted,
        /// The element type that it has.
        found: FileDtype,
        /// The file that it is in.
        file: PathBuf,
    },
}

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Tensors that the plan reads.
    pub wanted: usize,
    /// What is wrong, file problems first.
    pub problems: Vec<Problem>,
    /// What the files have beyond the plan's needs, by component of the model.
    pub unneeded: Vec<Unneeded>,
    /// What was left out or is odd, and keeps no plan from running.
    pub notes: Vec<String>,
    /// Bytes of weights whose values were looked at ([`deepen`]).
    pub read_bytes: u64,
    /// What may be done about the problems.
    pub help: Vec<String>,
}

/// Compares what a plan reads with what the files have. `built_for` are the dimensions of the plan, where the caller
/// knows them: they hold numbers, such as the base of the rotations, that no tensor's shape shows.
pub fn verify(wanted: &[Wanted], files: &ModelFiles, built_for: Option<&ModelConfig>) -> Report {
    let mut problems = Vec::new();
    for Unreadable { source, message, .. } in &files.unreadable {
        problems.push(Problem::Unreadable { source: *source, message: message.clone() });
    }
    let reads = |source| wanted.iter().any(|w| w.source == source);
    // A tensor may be in a file that cannot be read, and all of them are in one that was not given.
    let unreadable = |source| files.unreadable.iter().any(|file| file.source == source && file.weights);
    let given = |source| files.source(source).files().len() > 0;
    for source in Source::FILES.into_iter().filter(|source| reads(*source)) {
        if !given(source) && !unreadable(source) {
            problems.push(Problem::NotGiven { source });
        }
    }
    problems.extend(doubles::loras(files));
    problems.extend(doubles::twice(wanted, files));
    let sees = wanted.iter().any(|wanted| components::is_of_vision(wanted.source, &wanted.tensor));
    problems.extend(config_problems(files, built_for, sees));
    let searchable = |source| given(source) && !unreadable(source);
    problems.extend(generation::others(wanted, files, searchable));
    if searchable(Source::TextEncoder) && reads(Source::TextEncoder) {
        let (found, wanted) = (LanguageModel::of_files(&files.text_encoder), LanguageModel::of_plan(wanted));
        if let (Some(found), Some(wanted)) = (found, wanted)
            && found != wanted
        {
            problems.push(Problem::LanguageModel { found, wanted });
        }
    }
    let mut stored = files.text_encoder.iter();
    let blind = sees
        && searchable(Source::TextEncoder)
        && !stored.any(|(name, _)| components::is_of_vision(Source::TextEncoder, name));
    problems.extend(blind.then_some(Problem::NoVision));
    if let (Some(tokenizer), Some(rows)) = (&files.tokenizer, language_model::rows(wanted)) {
        let largest = tokenizer.largest_id();
        if largest as usize >= rows {
            problems.push(Problem::Vocabulary { largest, rows });
        }
    }
    // Hundreds of tensors that are said to be missing together.
    let said = |wanted: &&Wanted| blind && components::is_of_vision(wanted.source, &wanted.tensor);
    for wanted in wanted.iter().filter(|wanted| !said(wanted)) {
        match files.tensor(wanted.source, &wanted.tensor) {
            None if searchable(wanted.source) => problems.push(Problem::Missing { wanted: wanted.clone() }),
            None => {}
            Some(tensor) => {
                let (wanted, file) = (wanted.clone(), tensor.file.to_owned());
                if tensor.shape != wanted.shape {
                    problems.push(Problem::Shape { wanted, found: tensor.shape.to_vec(), file });
                } else if !READABLE.contains(&tensor.dtype) {
                    problems.push(Problem::Dtype { wanted, found: tensor.dtype, file });
                }
            }
        }
    }
    let help = text::help(&problems, files);
    let notes = [files.notes.clone(), doubles::unread(wanted, files, &problems)].concat();
    let unneeded = components::unneeded(wanted, files);
    Report { wanted: wanted.len(), problems, unneeded, notes, read_bytes: 0, help }
}

/// What the texts in the files say that the plan is not for. What they say of images is no matter of a plan that shows none.
fn config_problems(files: &ModelFiles, built_for: Option<&ModelConfig>, sees: bool) -> Vec<Problem> {
    let published = ltx_2_3_22b();
    let message = |message| Problem::Config { message };
    let mut found = match files.config(built_for.unwrap_or(&published)) {
        Ok(found) => found,
        Err(error) => return error.problems.into_iter().map(message).collect(),
    };
    let Some(wanted) = built_for else { return Vec::new() };
    if !sees {
        found.gemma.vision = wanted.gemma.vision.clone();
    }
    let said = |line: String| message(format!("{line} (this plan is for {})", wanted.name));
    differences(&found, wanted).into_iter().map(said).collect()
}

impl Report {
    /// True when the plan can run on the files.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    /// 0, or [`EXIT_MODEL_FILES`].
    pub fn exit_code(&self) -> u8 {
        if self.is_good() { 0 } else { EXIT_MODEL_FILES }
    }

    /// The report for a person; of many problems of a kind only the first few, unless `all`.
    pub fn text(&self, all: bool) -> String {
        text::report(self, all)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(false))
    }
}
