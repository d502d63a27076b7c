//! A report in words.

use std::collections::BTreeSet;
use std::fmt::Write;

use zoetrope_runtime::plan::{Source, bytes_text};

use super::components::component;
use super::doubles::is_lora;
use super::{Odd, Problem, Report};
use crate::model_files::ModelFiles;

/// Problems of one kind that are shown unless all are asked for.
const FEW: usize = 3;

/// Modules that are named of those that stand somewhere twice.
const MODULES: usize = 8;

/// The whole report.
pub fn report(report: &Report, all: bool) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut out, report, all);
    out
}

fn write(out: &mut String, report: &Report, all: bool) -> std::fmt::Result {
    match report.problems.len() {
        0 => writeln!(out, "the model files have all {} tensors that this plan reads", report.wanted)?,
        1 => writeln!(out, "the model files do not fit this plan: 1 problem")?,
        n => writeln!(out, "the model files do not fit this plan: {n} problems")?,
    }
    if report.read_bytes > 0 {
        writeln!(out, "  all {} of weights were read", bytes_text(report.read_bytes))?;
    }
    let mut rest = report.problems.as_slice();
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|problem| kind(problem) == kind(first)).count();
        let shown = if all || same <= FEW + 1 { same } else { FEW };
        for problem in &rest[..shown] {
            writeln!(out, "  {}", line(problem))?;
        }
        if shown < same {
            writeln!(out, "  … and {} more {}", same - shown, kind(first).0)?;
        }
        rest = &rest[same..];
    }
    for help in &report.help {
        writeln!(out, "  help: {help}")?;
    }
    let few = if all || report.notes.len() <= FEW + 1 { report.notes.len() } else { FEW };
    for note in &report.notes[..few] {
        writeln!(out, "  note: {note}")?;
    }
    if few < report.notes.len() {
        writeln!(out, "  … and {} more notes", report.notes.len() - few)?;
    }
    for unneeded in &report.unneeded {
        let (tensors, bytes) = (unneeded.tensors, bytes_text(unneeded.bytes));
        let (source, component) = (unneeded.source.name(), unneeded.component);
        writeln!(out, "  not needed: {component} in the {source}, {}, {bytes}", tensors_text(tensors))?;
    }
    Ok(())
}

/// So many tensors, in words.
pub fn tensors_text(tensors: usize) -> String {
    format!("{tensors} tensor{}", if tensors == 1 { "" } else { "s" })
}

/// What neighbouring problems are counted together by.
fn kind(problem: &Problem) -> (&'static str, Option<Source>) {
    match problem {
        Problem::NotGiven { .. } => ("sources without files", None),
        Problem::Unreadable { .. } => ("unusable files", None),
        Problem::NoVision => ("text encoders that see nothing", None),
        Problem::Config { .. } => ("wrong settings", None),
        Problem::LanguageModel { .. } => ("wrong language models", None),
        Problem::Missing { wanted } => ("missing tensors", Some(wanted.source)),
        Problem::Shape { wanted, .. } => ("tensors of another shape", Some(wanted.source)),
        Problem::Twice { .. } => ("files with the same tensors", None),
        Problem::Lora { .. } => ("LoRAs", None),
        Problem::Vocabulary { .. } => ("wrong vocabularies", None),
        Problem::Values { source, .. } => ("tensors with odd values", Some(*source)),
        Problem::ZeroEnd { .. } => ("files that end in zeros", None),
        Problem::Dtype { wanted, .. } => ("tensors of another type", Some(wanted.source)),
    }
}

/// A problem in one line.
pub fn line(problem: &Problem) -> String {
    match problem {
        Problem::NotGiven { source } => format!("no {} was given", source.name()),
        Problem::Unreadable { source, message } => format!("{}: {message}", source.name()),
        Problem::NoVision => {
            "the text encoder has no vision tower, and this plan shows it images".to_string()
        }
        Problem::Config { message } => message.clone(),
        Problem::LanguageModel { found, wanted } => {
            // text_embedding_projection takes what the embedding and every layer give.
            let columns = wanted.hidden * (wanted.layers + 1);
            let have = found.hidden * (found.layers + 1);
            format!(
                "the text encoder is {found}, this plan is for {wanted}: \
                 text_embedding_projection takes {columns} numbers, not {have}"
            )
        }
        Problem::Missing { wanted } => {
            let component = component(wanted.source, &wanted.tensor);
            format!(
                "missing from the {} ({component}): {} {:?}",
                wanted.source.name(),
                wanted.tensor,
                wanted.shape
            )
        }
        Problem::Twice { wanted, more, modules, files: [one, other], names: [name, again] } => {
            let (source, tensor) = (wanted.source.name(), &wanted.tensor);
            let stand = match more {
                0 => "stands".to_string(),
                more => format!("and {more} more tensors stand"),
            };
            let (one, other) = (one.display(), other.display());
            let twice = match one.to_string() == other.to_string() {
                true => format!("{source}: {tensor} {stand} in {one} twice, as {name} and as {again}"),
                false => format!("{source}: {tensor} {stand} in {one} and in {other}"),
            };
            let few = modules.iter().take(MODULES).map(|module| format!("\n    have  {module}"));
            let few: String = if modules.len() > 1 { few.collect() } else { String::new() };
            match modules.len().saturating_sub(MODULES) {
                0 => twice + &few,
                more => format!("{twice}{few}\n    have  … and {more} more modules"),
            }
        }
        Problem::Lora { source, file } => {
            format!("{}: {} is a LoRA: give it with --lora", source.name(), file.display())
        }
        Problem::Vocabulary { largest, rows } => {
            format!("the tokenizer has a token {largest}, the language model has {rows} rows")
        }
        Problem::Values { source, file, tensor, odd } => {
            let what = match odd {
                Odd::NotFinite { nan, infinite: 0 } => format!("has {nan} values that are no numbers"),
                Odd::NotFinite { nan: 0, infinite } => format!("has {infinite} infinite values"),
                Odd::NotFinite { nan, infinite } => {
                    format!("has {nan} values that are no numbers and {infinite} infinite ones")
                }
                Odd::Zero => "is all zeros".to_string(),
                Odd::ZeroRuns { bytes } => format!("has long runs of zeros, {}", bytes_text(*bytes)),
            };
            format!("{}: {}: {tensor} {what}", source.name(), file.display())
        }
        Problem::ZeroEnd { source, file, bytes, first } => {
            let (source, file, bytes) = (source.name(), file.display(), bytes_text(*bytes));
            format!("{source}: {file}: the last {bytes} are zeros, from {first} on")
        }
        Problem::Shape { wanted, found, file } => {
            format!("{}: {} has shape {found:?}, {:?} wanted", file.display(), wanted.tensor, wanted.shape)
        }
        Problem::Dtype { wanted, found, file } => {
            format!("{}: {} is {found}, BF16, F16 or F32 wanted", file.display(), wanted.tensor)
        }
    }
}

/// Components of the checkpoint of which nothing is there, while all of another is: such parts are often files of their own.
fn apart(problems: &[Problem], files: &ModelFiles) -> BTreeSet<&'static str> {
    let of = |name: &str| component(Source::Checkpoint, name);
    let there: BTreeSet<_> = files.checkpoint.iter().map(|(name, _)| of(name)).collect();
    let missing: BTreeSet<_> = problems
        .iter()
        .filter_map(|problem| match problem {
            Problem::Missing { wanted } if wanted.source == Source::Checkpoint => Some(of(&wanted.tensor)),
            _ => None,
        })
        .collect();
    let whole = there.difference(&missing).next().is_some();
    if whole { missing.difference(&there).copied().collect() } else { BTreeSet::new() }
}

/// What to do, as far as the files show what they are instead.
pub fn help(problems: &[Problem], files: &ModelFiles) -> Vec<String> {
    // A set: one hint for any number of tensors.
    let mut help = BTreeSet::new();
    let loras = files.checkpoint.files().any(is_lora);
    let apart = apart(problems, files);
    for problem in problems {
        match problem {
            Problem::LanguageModel { wanted, .. } if wanted.name() == Some("Gemma 3 12B") => {
                help.insert("use the folder of google/gemma-3-12b-it-qat-q4_0-unquantized");
            }
            Problem::Missing { wanted } if wanted.source == Source::Checkpoint => {
                help.insert(match () {
                    () if loras => "this is a LoRA, which comes on top of a checkpoint: --lora FILE",
                    () if apart.contains(component(wanted.source, &wanted.tensor)) => {
                        "other files have what is missing: give each with --checkpoint, too, or let --model DIR find them"
                    }
                    () => "give the whole checkpoint, or every file that it was split into",
                });
            }
            Problem::Missing { wanted } if wanted.source == Source::TextEncoder => {
                help.insert("give the whole folder of the text encoder, with every model-*.safetensors");
            }
            Problem::NoVision => {
                help.insert(
                    "give Gemma's folder as it was published: GGUF files of the language model, and some single files, \
                     have no vision tower",
                );
            }
            Problem::Twice { .. } => {
                help.insert("give one of the two files, or remove the one that is not meant from its folder");
            }
            Problem::ZeroEnd { .. } => {
                help.insert("download the file again: space was set aside for it, but not filled");
            }
            Problem::Vocabulary { .. } => {
                help.insert("the tokenizer.json of another model lies in the text encoder's folder");
            }
            _ => {}
        }
    }
    help.into_iter().map(str::to_string).collect()
}
