//! Do the model files have what a plan reads? Found out from their headers, before a byte of weights is read.
//!
//! Everything that is wrong is listed, not the first thing only: a user who fetches 76 GB wants to hear it once.
//! What a file has beyond the plan's needs is counted and no mistake: one checkpoint serves many plans.

mod components;
mod language_model;
mod text;

use std::fmt;
use std::path::PathBuf;

use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::config::ModelConfig;
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::FileDtype;
use zoetrope_runtime::plan::Source;

use crate::model_files::{ModelFiles, Wanted};

pub use components::Unneeded;
pub use language_model::LanguageModel;

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
    /// What the files have beyond the plan's needs, by part of the model.
    pub unneeded: Vec<Unneeded>,
    /// Tensors that an earlier file holds and a later one replaces.
    pub replaced: usize,
    /// What may be done about the problems.
    pub help: Vec<String>,
}

/// Compares what a plan reads with what the files have. `built_for` are the dimensions of the plan, where the caller
/// knows them: they hold numbers, such as the base of the rotations, that no tensor's shape shows.
pub fn verify(wanted: &[Wanted], files: &ModelFiles, built_for: Option<&ModelConfig>) -> Report {
    let mut problems = Vec::new();
    for (source, error) in &files.unreadable {
        problems.push(Problem::Unreadable { source: *source, message: error.to_string() });
    }
    let sources = [Source::Checkpoint, Source::TextEncoder, Source::SpatialUpscaler];
    let reads = |source| wanted.iter().any(|w| w.source == source);
    // A tensor may be in a file that cannot be read, and all of them are in one that was not given.
    let searchable = |source| {
        let unreadable = files.unreadable.iter().any(|(from, _)| *from == source);
        !unreadable && !files.source(source).files().is_empty()
    };
    for source in sources.into_iter().filter(|source| reads(*source)) {
        let unreadable = files.unreadable.iter().any(|(from, _)| *from == source);
        if files.source(source).files().is_empty() && !unreadable {
            problems.push(Problem::NotGiven { source });
        }
    }
    problems.extend(config_problems(files, built_for));
    if searchable(Source::TextEncoder) && reads(Source::TextEncoder) {
        let (found, wanted) = (LanguageModel::of_files(&files.text_encoder), LanguageModel::of_plan(wanted));
        if let (Some(found), Some(wanted)) = (found, wanted)
            && found != wanted
        {
            problems.push(Problem::LanguageModel { found, wanted });
        }
    }
    for wanted in wanted {
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
    let replaced = sources.into_iter().map(|source| files.source(source).replaced().len()).sum();
    Report { wanted: wanted.len(), problems, unneeded: components::unneeded(wanted, files), replaced, help }
}

/// What the texts in the files say that the plan is not for.
fn config_problems(files: &ModelFiles, built_for: Option<&ModelConfig>) -> Vec<Problem> {
    let published = ltx_2_3_22b();
    let message = |message| Problem::Config { message };
    let found = match files.config(built_for.unwrap_or(&published)) {
        Ok(found) => found,
        Err(error) => return error.problems.into_iter().map(message).collect(),
    };
    let Some(wanted) = built_for else { return Vec::new() };
    let parts = [
        ("transformer", found.transformer == wanted.transformer),
        ("video connector", found.video_connector == wanted.video_connector),
        ("audio connector", found.audio_connector == wanted.audio_connector),
        ("text encoder", found.gemma == wanted.gemma),
        ("video decoder", found.video_vae == wanted.video_vae),
        ("audio decoder", found.audio_vae == wanted.audio_vae),
        ("vocoder", found.vocoder == wanted.vocoder),
        ("spatial upscaler", found.upscaler == wanted.upscaler),
    ];
    let differs = parts.into_iter().filter(|(_, same)| !same);
    let said = |part| {
        format!("the {part}'s configuration is not the one of {}, which this plan is for", wanted.name)
    };
    differs.map(|(part, _)| message(said(part))).collect()
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
