//! Files of which not all can count: tensors that stand there twice, LoRAs, files that nothing is read from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use zoetrope_runtime::files::TensorFile;
use zoetrope_runtime::plan::Source;

use super::Problem;
use crate::model_files::{ModelFiles, Wanted};

/// How the names of a LoRA's tensors go on after the weight that they change.
const LORA: [&str; 8] =
    [".lora_A", ".lora_B", ".lora_down", ".lora_up", ".lora.down", ".lora.up", ".lokr_w", ".hada_w"];

/// Whether a file holds changes of weights instead of weights.
pub fn is_lora(file: &TensorFile) -> bool {
    file.names().any(|name| LORA.iter().any(|sign| name.contains(sign)))
}

/// The LoRAs among the files.
pub fn loras(files: &ModelFiles) -> Vec<Problem> {
    let of = |source| {
        let found = files.source(source).files().filter(|file| is_lora(file));
        found.map(move |file| Problem::Lora { source, file: file.path().to_owned() })
    };
    Source::FILES.into_iter().flat_map(of).collect()
}

/// Tensors that the plan reads and that stand there twice, once for each two files.
pub fn twice(wanted: &[Wanted], files: &ModelFiles) -> Vec<Problem> {
    let wanted: BTreeMap<(Source, &str), &Wanted> =
        wanted.iter().map(|wanted| ((wanted.source, wanted.tensor.as_str()), wanted)).collect();
    let mut found: BTreeMap<(&Path, &Path), Problem> = BTreeMap::new();
    for source in Source::FILES {
        for (name, one, other) in files.source(source).doubles() {
            let Some(&wanted) = wanted.get(&(source, name)) else { continue };
            let new = || Problem::Twice {
                wanted: wanted.clone(),
                more: 0,
                modules: BTreeSet::from([module(name)]),
                files: [one.file.to_owned(), other.file.to_owned()],
                names: [one.name.to_string(), other.name.to_string()],
            };
            found
                .entry((one.file, other.file))
                .and_modify(|there| {
                    if let Problem::Twice { more, modules, .. } = there {
                        *more += 1;
                        modules.insert(module(name));
                    }
                })
                .or_insert_with(new);
        }
    }
    found.into_values().collect()
}

/// The module of a parameter.
fn module(parameter: &str) -> String {
    parameter.rsplit_once('.').map_or(parameter, |(module, _)| module).to_string()
}

/// Notes of files that hold nothing that the plan reads, unless `problems` name them.
pub fn unread(wanted: &[Wanted], files: &ModelFiles, problems: &[Problem]) -> Vec<String> {
    let named = |path: &Path| {
        problems.iter().any(|problem| match problem {
            Problem::Lora { file, .. } => file == path,
            Problem::Twice { files, .. } => files.iter().any(|file| file == path),
            _ => false,
        })
    };
    let read: BTreeSet<&Path> = wanted
        .iter()
        .filter_map(|wanted| Some(files.source(wanted.source).get(&wanted.tensor)?.file))
        .collect();
    let reads = |source| wanted.iter().any(|wanted| wanted.source == source);
    let all = Source::FILES
        .into_iter()
        .filter(|source| reads(*source))
        .flat_map(|source| files.source(source).files());
    let unread = all.map(TensorFile::path).filter(|path| !read.contains(path) && !named(path));
    unread.map(|path| format!("nothing in {} is read by this plan", path.display())).collect()
}
