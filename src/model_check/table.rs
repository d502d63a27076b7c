//! What is used of which file: a row for each component of the model and file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use zoetrope_runtime::files::TensorFile;
use zoetrope_runtime::plan::Source;

use super::components::component;
use crate::model_files::{INPUT_SCALES, ModelFiles, Wanted};

/// A component in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    /// How tensors are stored, and how many are so.
    stored: BTreeMap<String, usize>,
    /// Tensors that are decoded.
    decoded: usize,
    /// Of these, those whose file also says how to round what they are multiplied with (`input_scale`).
    input_scales: usize,
    /// Tensors that the plan reads.
    wanted: usize,
}

/// The table, for a person. Empty where no file was given.
pub fn table(wanted: &[Wanted], files: &ModelFiles) -> String {
    let wanted_names: BTreeSet<(Source, &str)> =
        wanted.iter().map(|w| (w.source, w.tensor.as_str())).collect();
    let mut rows: BTreeMap<(Source, &'static str, Option<&Path>), Row> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for source in Source::FILES {
        let set = files.source(source);
        for (name, tensor) in set.iter() {
            let key = (source, component(source, name), Some(tensor.file));
            let row = rows.entry(key).or_default();
            let stored = match set.decoded(name) {
                Some(decoded) => {
                    row.decoded += 1;
                    row.input_scales += usize::from(has_input_scale(decoded.file(), tensor.name));
                    decoded.encoding().to_string()
                }
                None => tensor.dtype.name().to_lowercase(),
            };
            *row.stored.entry(stored).or_default() += 1;
            if wanted_names.contains(&(source, name)) {
                row.wanted += 1;
                found.insert((source, name));
            }
        }
    }
    for missing in wanted_names.difference(&found).filter(|(source, _)| Source::FILES.contains(source)) {
        let row = rows.entry((missing.0, component(missing.0, missing.1), None)).or_default();
        row.wanted += 1;
    }
    if rows.keys().all(|(.., file)| file.is_none()) {
        return String::new();
    }
    let lines = rows.into_iter().map(|((_, component, file), row)| line(component, file, &row));
    let head = ["component", "file", "stored as", "use"].map(str::to_string);
    columns(std::iter::once(head).chain(lines).collect())
}

/// Whether a file has a scale for the inputs of a weight. They are not rounded here (docs/model-files.md).
fn has_input_scale(file: &TensorFile, weight: &str) -> bool {
    let module = weight.strip_suffix(".weight");
    module.is_some_and(|module| INPUT_SCALES.iter().any(|end| file.get(&format!("{module}.{end}")).is_some()))
}

fn line(component: &str, file: Option<&Path>, row: &Row) -> [String; 4] {
    let all = row.stored.values().sum::<usize>();
    let stored: Vec<String> = row.stored.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let usage = match (file, row.wanted) {
        (None, missing) => format!("missing: {missing} tensors"),
        (_, 0) => "ignored: this plan does not read it".to_string(),
        (_, _) if row.decoded == 0 => "read as it is".to_string(),
        (_, _) if row.input_scales == 0 => "decoded when it is loaded".to_string(),
        (_, _) => format!("decoded when it is loaded; {} input scales not used", row.input_scales),
    };
    let rest = all.saturating_sub(row.wanted);
    let usage = match file.is_some() && row.wanted > 0 && rest > 0 {
        true => format!("{usage}; {rest} tensors ignored"),
        false => usage,
    };
    let file =
        file.and_then(Path::file_name).map_or("-".to_string(), |name| name.to_string_lossy().into_owned());
    let stored = if stored.is_empty() { "-".to_string() } else { stored.join(", ") };
    [component.to_string(), file, stored, usage]
}

/// Rows with all columns but the last as wide as their longest entry.
fn columns(rows: Vec<[String; 4]>) -> String {
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut out = String::new();
    for [a, b, c, d] in &rows {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{a:<0$}  {b:<1$}  {c:<2$}  {d}", widths[0], widths[1], widths[2]);
    }
    out
}
