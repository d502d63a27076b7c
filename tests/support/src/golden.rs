//! Reference values: loading them, and comparing a candidate with them.

mod compare;

pub use compare::{Compared, Report, check, rel_l2};

use crate::tensor::{Tensor, load_tensors};
use crate::{Error, gamma_dir, read};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// The largest relative L2 error that each output of a case may have, for a float32 candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Tolerance {
    /// For outputs without a prefix of their own.
    pub rel_l2: f64,
    /// For outputs whose names start with the key; the longest such prefix counts.
    pub by_prefix: BTreeMap<String, f64>,
}

impl Tolerance {
    /// The tolerance of one output.
    pub fn of(&self, output: &str) -> f64 {
        let prefixes = self.by_prefix.iter().filter(|(prefix, _)| output.starts_with(prefix.as_str()));
        prefixes.max_by_key(|(prefix, _)| prefix.len()).map_or(self.rel_l2, |(_, tolerance)| *tolerance)
    }
}

/// One case: inputs, and what the official code made of them.
#[derive(Clone, Debug)]
pub struct Case {
    /// The case's name, which is its file's.
    pub name: String,
    /// The official function that made the outputs.
    pub official: String,
    /// What the tensors are.
    pub note: String,
    /// Settings of the run, such as frames, sizes and rates.
    pub facts: Value,
    /// How near a candidate has to be.
    pub tolerance: Tolerance,
    /// Names of the inputs; all start with `in.`.
    pub inputs: Vec<String>,
    /// Names of the outputs, in the order in which they are computed.
    pub outputs: Vec<String>,
    /// Inputs and outputs by name.
    pub tensors: BTreeMap<String, Tensor>,
}

#[derive(Deserialize)]
struct Index {
    files: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    official: String,
    tolerance_rel_l2: f64,
    tolerance_by_prefix: BTreeMap<String, f64>,
    note: String,
    facts: Value,
    inputs: Vec<String>,
    outputs: Map<String, Value>,
}

impl Index {
    fn load(dir: &Path) -> Result<Index, Error> {
        let path = dir.join("index.json");
        serde_json::from_slice(&read(&path)?).map_err(|e| Error::format(&path, e))
    }
}

/// The names of the cases of `tests/fixtures/gamma`.
pub fn cases() -> Result<Vec<String>, Error> {
    Ok(Index::load(&gamma_dir())?.files.into_keys().collect())
}

impl Case {
    /// Loads a case of `tests/fixtures/gamma`.
    pub fn load(name: &str) -> Result<Case, Error> {
        Case::load_from(&gamma_dir(), name)
    }

    /// Loads the case `name` of the index `dir/index.json` and the tensors `dir/name.safetensors`.
    pub fn load_from(dir: &Path, name: &str) -> Result<Case, Error> {
        let path = dir.join("index.json");
        let entry = Index::load(dir)?.files.remove(name);
        let entry = entry.ok_or_else(|| Error::format(&path, format!("no case {name}")))?;
        let path = dir.join(format!("{name}.safetensors"));
        let tensors = load_tensors(&path)?;
        let case = Case {
            name: name.to_owned(),
            official: entry.official,
            note: entry.note,
            facts: entry.facts,
            tolerance: Tolerance { rel_l2: entry.tolerance_rel_l2, by_prefix: entry.tolerance_by_prefix },
            inputs: entry.inputs,
            outputs: entry.outputs.into_iter().map(|(output, _)| output).collect(),
            tensors,
        };
        match case.inputs.iter().chain(&case.outputs).find(|tensor| !case.tensors.contains_key(*tensor)) {
            Some(missing) => Err(Error::format(&path, format!("no tensor {missing}"))),
            None => Ok(case),
        }
    }

    /// An input (`in.*`) or output by its full name. Panics when the case has none of this name.
    pub fn tensor(&self, name: &str) -> &Tensor {
        let tensor = self.tensors.get(name);
        tensor.unwrap_or_else(|| panic!("{}: no tensor {name} among {:?}", self.name, self.tensors.keys()))
    }
}
