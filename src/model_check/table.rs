//! What is used of which file: a row for each component of the model and file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use zoetrope_runtime::files::TensorFile;
use zoetrope_runtime::plan::{Kept, Source};

use super::components::component;
use super::text::tensors_text;
use crate::model_files::{INPUT_SCALES, ModelFiles, Wanted};

/// A component in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    /// How tensors are stored, and how many are so.
    stored: BTreeMap<String, usize>,
    /// Tensors that are decoded.
    decoded: usize,
    /// Tensors that the plan keeps as they are stored, and those that are encoded for that.
    kept: usize,
    encoded: BTreeMap<Kept, usize>,
    /// Encoded tensors whose file also says how to round what they are multiplied with (`input_scale`).
    input_scales: usize,
    /// Tensors that the plan reads.
    wanted: usize,
}

/// The table, for a person. Empty where no file was given.
pub fn table(wanted: &[Wanted], files: &ModelFiles) -> String {
    let names = wanted.iter().map(|w| ((w.source, w.tensor.as_str()), w.kept));
    let wanted: BTreeMap<(Source, &str), Option<Kept>> = names.collect();
    let mut rows: BTreeMap<(Source, &'static str, Option<&Path>), Row> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for source in Source::FILES {
        let set = files.source(source);
        for (name, tensor) in set.iter() {
            let key = (source, component(source, name), Some(tensor.file));
            let row = rows.entry(key).or_default();
            let decoded = set.decoded(name);
            let scaled = decoded.is_some_and(|decoded| has_input_scale(decoded.file(), tensor.name));
            row.input_scales += usize::from(scaled);
            let stored = decoded.map(|decoded| decoded.encoding());
            let said = stored.map_or(tensor.dtype.name().to_lowercase(), |stored| stored.to_string());
            *row.stored.entry(said).or_default() += 1;
            let keep = wanted.get(&(source, name));
            match keep.copied().flatten() {
                Some(kept) if stored.is_some_and(|stored| kept.takes(stored)) => row.kept += 1,
                Some(kept) => *row.encoded.entry(kept).or_default() += 1,
                None => row.decoded += usize::from(stored.is_some()),
            }
            if keep.is_some() {
                row.wanted += 1;
                found.insert((source, name));
            }
        }
    }
    let missing = wanted.keys().filter(|key| !found.contains(*key) && Source::FILES.contains(&key.0));
    for (source, name) in missing {
        let row = rows.entry((*source, component(*source, name), None)).or_default();
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
        (None, missing) => format!("missing: {}", tensors_text(missing)),
        (_, 0) => "ignored: this plan does not read it".to_string(),
        (_, _) => used(row),
    };
    let rest = all.saturating_sub(row.wanted);
    let usage = match file.is_some() && row.wanted > 0 && rest > 0 {
        true => format!("{usage}; {} ignored", tensors_text(rest)),
        false => usage,
    };
    let file =
        file.and_then(Path::file_name).map_or("-".to_string(), |name| name.to_string_lossy().into_owned());
    let stored = if stored.is_empty() { "-".to_string() } else { stored.join(", ") };
    [component.to_string(), file, stored, usage]
}

/// What is done with the tensors that the plan reads.
fn used(row: &Row) -> String {
    let mut said: Vec<String> = Vec::new();
    if row.kept > 0 {
        said.push(format!("{} kept encoded", row.kept));
    }
    said.extend(
        row.encoded.iter().map(|(kept, count)| format!("{count} encoded as {kept} when they are loaded")),
    );
    match (said.is_empty(), row.decoded) {
        (true, 0) => said.push("read as it is".to_string()),
        (true, _) => said.push("decoded when it is loaded".to_string()),
        (false, 0) => {}
        (false, decoded) => said.push(format!("{decoded} decoded when they are loaded")),
    }
    let said = said.join(", ");
    match row.input_scales {
        0 => said,
        scales => format!("{said}; {scales} input scales not used"),
    }
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
