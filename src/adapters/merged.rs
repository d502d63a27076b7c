//! Weights with adapters merged into them: a changed tensor is computed in f32 when it is read, and rounded once.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use half::{bf16, f16};
use rayon::prelude::*;
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::{Computed, FileDtype, FileError, Tensor, TensorSet};
use zoetrope_runtime::plan::{Constant, Origin, Plan, Source};

use super::change::{Change, Merge, add_exactly, add_rows, read_rows};
use super::dora::{Axis, Dora, Lengths};
use super::error::{AdapterError, Trouble};
use super::names::Layers;
use super::read::{Changes, changes};
use super::references::misfits;
use super::slots::{Place, SlotTensor, factors, slots};
use super::{Opened, Use};

/// Elements that are computed together.
const BLOCK: usize = 1 << 24;

/// Weights with adapters on top.
pub struct Adapted<'a> {
    weights: &'a dyn Weights,
    files: &'a [Opened],
    /// By their source and the names of the checkpoint's tensors.
    merged: BTreeMap<(Source, String), Merged<'a>>,
    merge: Merge,
    /// By the number of the slot and the names of the plan's tensors.
    slots: BTreeMap<u8, BTreeMap<String, SlotTensor<'a>>>,
    changed: Vec<(PathBuf, usize)>,
    notes: Vec<String>,
}

/// A tensor that adapters change.
struct Merged<'a> {
    base: Tensor<'a>,
    changes: Vec<Change<'a>>,
    merge: Merge,
    /// Of changes with DoRA by columns the lengths of these, once they were computed.
    lengths: OnceLock<Lengths>,
    /// Of a tensor that is fetched at every step: its values as bf16 or f32, once they were computed.
    kept: Option<Kept>,
}

struct Kept {
    dtype: FileDtype,
    values: OnceLock<Vec<u8>>,
}

/// Changes by the names of the parameters.
type ByName<'a> = BTreeMap<String, Vec<Change<'a>>>;

impl<'a> Adapted<'a> {
    pub(super) fn new(
        weights: &'a dyn Weights,
        checkpoint: &'a TensorSet,
        (files, merge): (&'a [Opened], Merge),
        plan: &Plan,
    ) -> Result<Adapted<'a>, AdapterError> {
        let places = slots(plan);
        let layers = if files.is_empty() { Layers::default() } else { Layers::of(checkpoint) };
        let mut by_use: BTreeMap<Use, ByName<'a>> =
            places.keys().map(|slot| (Use::Slot(*slot), ByName::new())).collect();
        let (mut changed, mut notes, mut troubles) = (Vec::new(), Vec::new(), Vec::new());
        let mut said_of_references = Vec::new();
        for Opened { file, strength, used } in files {
            match changes(file, *strength, &layers) {
                Ok(Changes { of, references, notes: more }) => {
                    said_of_references.extend(references);
                    changed.push((file.path().to_owned(), of.len()));
                    notes.extend(more);
                    if let Some(dora) = of.iter().find_map(|(_, change)| change.dora) {
                        match said(merge, &dora, file.path()) {
                            Ok(note) => notes.push(note),
                            Err(trouble) => troubles.push(trouble),
                        }
                    }
                    let by_name = by_use.entry(*used).or_default();
                    of.into_iter().for_each(|(name, change)| by_name.entry(name).or_default().push(change));
                }
                Err(trouble) => troubles.push(trouble),
            }
        }
        let paths: Vec<PathBuf> = changed.iter().map(|(path, _)| path.clone()).collect();
        troubles.extend(misfits(&paths, &said_of_references, plan));
        let merging = merging_slots(plan);
        let empty = |slot: &&u8| files.iter().all(|file| file.used != Use::Slot(**slot));
        troubles.extend(
            places.keys().chain(&merging).filter(empty).map(|slot| Trouble::EmptySlot { slot: *slot }),
        );
        let mut filled = BTreeMap::new();
        for (slot, places) in places {
            let by_name = by_use.remove(&Use::Slot(slot)).unwrap_or_default();
            match fill(places, by_name) {
                Ok(tensors) => drop(filled.insert(slot, tensors)),
                Err(lines) => troubles.push(Trouble::Room { slot, lines }),
            }
        }
        if !troubles.is_empty() {
            return Err(AdapterError(troubles));
        }
        let streamed = streamed(plan);
        let mut of_source =
            BTreeMap::from([(Source::Checkpoint, by_use.remove(&Use::Merged).unwrap_or_default())]);
        for slot in merging {
            // Those of all stages come first, as on the official command line.
            let mut by_name = of_source[&Source::Checkpoint].clone();
            for (name, changes) in by_use.remove(&Use::Slot(slot)).unwrap_or_default() {
                by_name.entry(name).or_default().extend(changes);
            }
            of_source.insert(Source::Merged(slot), by_name);
        }
        let named = of_source.into_iter().flat_map(|(source, by_name)| {
            by_name.into_iter().map(move |(name, changes)| ((source, name), changes))
        });
        let merged = named.filter_map(|(key, mut changes)| {
            changes.retain(|change| change.dora.map_or(change.factor, |dora| dora.strength) != 0.0);
            let base = weights.tensor(Source::Checkpoint, &key.1).filter(|_| !changes.is_empty())?;
            let kept = streamed.get(&key).map(|dtype| Kept { dtype: *dtype, values: OnceLock::new() });
            Some((key, Merged { base, changes, merge, lengths: OnceLock::new(), kept }))
        });
        let merged = merged.collect();
        Ok(Adapted { weights, files, merged, merge, slots: filled, changed, notes })
    }

    /// A line for each adapter: how many parameters it changes.
    pub fn summary(&self) -> String {
        let line = |(path, parameters): &(PathBuf, usize)| {
            format!("adapter {}: changes {parameters} parameters of the checkpoint\n", path.display())
        };
        self.changed.iter().map(line).collect()
    }

    /// What of the adapters is left out, in words.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Which of two readings of DoRA is used.
fn said(merge: Merge, dora: &Dora<'_>, path: &Path) -> Result<String, Trouble> {
    let (norms, other) = match merge {
        Merge::Exact | Merge::Peft if dora.axis == Axis::Columns => {
            return Ok(format!(
                "{}: DoRA, by the norms of the columns of the changed weights",
                path.display()
            ));
        }
        Merge::Exact => ("original weights, as in ComfyUI", "--lora-merge peft"),
        Merge::Peft => ("changed weights, as in PEFT", "--lora-merge exact"),
        Merge::Official => {
            let lines = vec![format!(
                "{}, of a method that the official code does not have (DoRA)",
                dora.magnitude.name
            )];
            let help = "--lora-merge exact, or peft, whichever the adapter was made for";
            return Err(Trouble::Unusable { path: path.to_owned(), lines, help });
        }
    };
    Ok(format!("{}: DoRA, by the norms of the {norms}; {other} has the other reading", path.display()))
}

/// The tensors of a slot.
fn fill(
    places: BTreeMap<String, Place>,
    mut changes: ByName<'_>,
) -> Result<BTreeMap<String, SlotTensor<'_>>, Vec<String>> {
    let (mut tensors, mut lines) = (BTreeMap::new(), Vec::new());
    for (parameter, place) in places {
        match factors(&parameter, place, changes.remove(&parameter).unwrap_or_default()) {
            Ok(made) => tensors.extend(made.map(|tensor| (tensor.name().to_string(), tensor))),
            Err(line) => lines.push(line),
        }
    }
    lines.extend(changes.into_keys().map(|parameter| format!("{parameter}, which has no place in the slot")));
    if lines.is_empty() { Ok(tensors) } else { Err(lines) }
}

/// The slots whose adapters a plan wants merged.
fn merging_slots(plan: &Plan) -> BTreeSet<u8> {
    let of = |constant: &Constant| match constant.origin {
        Origin::Weight { source: Source::Merged(slot), .. } => Some(slot),
        _ => None,
    };
    plan.constants.iter().filter_map(of).collect()
}

/// The checkpoint's tensors that a plan fetches while it runs, and how it stores them.
fn streamed(plan: &Plan) -> BTreeMap<(Source, String), FileDtype> {
    let fetched: BTreeSet<u32> = plan
        .phases
        .iter()
        .flat_map(|phase| phase.fetches())
        .flat_map(|(_, fetch)| fetch.constants.iter().copied())
        .collect();
    let mut out = BTreeMap::new();
    for constant in fetched.iter().map(|constant| &plan.constants[*constant as usize]) {
        if let Origin::Weight { source: source @ (Source::Checkpoint | Source::Merged(_)), tensors, .. } =
            &constant.origin
        {
            let dtype = zoetrope_runtime::file_dtype(constant.dtype);
            out.extend(tensors.iter().map(|(name, _)| ((*source, name.to_string()), dtype)));
        }
    }
    out
}

impl Weights for Adapted<'_> {
    fn tensor(&self, source: Source, name: &str) -> Option<Tensor<'_>> {
        if let Source::Adapter(slot) = source {
            return Some(self.slots.get(&slot)?.get(name)?.tensor());
        }
        let found = self.weights.tensor(source, name)?;
        let merged = self.merged.get(&(source, name.to_string())).map(|merged| merged as &dyn Computed);
        Some(Tensor { computed: merged.or(found.computed), ..found })
    }

    /// What adapters change says which ones they are: their files, how strong they are, and how they are merged.
    fn edition(&self, source: Source, name: &str) -> u64 {
        let (merges, slot) = match source {
            Source::Adapter(slot) => (false, Some(slot)),
            _ if !self.merged.contains_key(&(source, name.to_string())) => {
                return self.weights.edition(source, name);
            }
            Source::Merged(slot) => (true, Some(slot)),
            _ => (true, None),
        };
        let counts = |opened: &&Opened| match opened.used {
            Use::Merged => merges,
            Use::Slot(number) => slot == Some(number),
        };
        let mut hasher = DefaultHasher::new();
        self.merge.hash(&mut hasher);
        for Opened { file, strength, used } in self.files.iter().filter(counts) {
            (file.path(), strength.to_bits(), used).hash(&mut hasher);
        }
        // 0 is that of the files.
        hasher.finish().max(1)
    }

    fn unchanged(&self) -> Result<(), FileError> {
        self.weights.unchanged()?;
        self.files.iter().try_for_each(|opened| opened.file.unchanged())
    }
}

impl Computed for Merged<'_> {
    fn beside(&self) -> &[u8] {
        self.base.computed.map_or(&[], Computed::beside)
    }

    fn read(&self, dtype: FileDtype, first: usize, out: &mut [u8]) -> Result<(), FileError> {
        let size = dtype.bits() / 8;
        let Some(kept) = self.kept.as_ref().filter(|kept| kept.dtype == dtype) else {
            return self.compute(dtype, first, out);
        };
        let values = match kept.values.get() {
            Some(values) => values,
            None => {
                let mut values = vec![0; self.base.elements() * size];
                self.compute(dtype, 0, &mut values)?;
                kept.values.get_or_init(|| values)
            }
        };
        out.copy_from_slice(&values[first * size..][..out.len()]);
        Ok(())
    }
}

impl Merged<'_> {
    fn compute(&self, dtype: FileDtype, first: usize, out: &mut [u8]) -> Result<(), FileError> {
        let columns = self.base.shape.iter().skip(1).product();
        read_blocks(dtype, columns, first, out, |rows| self.rows(rows, columns))
    }

    fn rows(&self, rows: Range<usize>, columns: usize) -> Result<Vec<f32>, FileError> {
        let lengths = match self.lengths.get() {
            Some(lengths) => lengths,
            None => {
                let lengths = self.lengths(columns)?;
                self.lengths.get_or_init(|| lengths)
            }
        };
        let mut values = read_rows(&self.base, rows.clone())?;
        add_rows(self.merge, &self.changes, lengths, rows, columns, &mut values)?;
        Ok(values)
    }

    /// The lengths of columns, for each change with DoRA by them: of the weight as the changes before it leave it, and with
    /// its own sum added.
    fn lengths(&self, columns: usize) -> Result<Lengths, FileError> {
        let mut lengths = Lengths::default();
        let by_columns = |change: &Change<'_>| change.dora.is_some_and(|dora| dora.axis == Axis::Columns);
        for (i, change) in self.changes.iter().enumerate().filter(|(_, change)| by_columns(change)) {
            let count = self.base.shape.first().copied().unwrap_or(0);
            let mut squares = vec![0f64; columns];
            for first in (0..count).step_by((BLOCK / columns.max(1)).max(1)) {
                let rows = first..count.min(first + (BLOCK / columns.max(1)).max(1));
                let mut values = read_rows(&self.base, rows.clone())?;
                add_rows(self.merge, &self.changes[..i], &lengths, rows.clone(), columns, &mut values)?;
                add_exactly(&[Change { dora: None, ..*change }], rows, columns, &mut values)?;
                for row in values.chunks_exact(columns) {
                    squares.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x).powi(2));
                }
            }
            lengths.of_columns.insert(i, squares.iter().map(|sum| sum.sqrt() as f32).collect());
        }
        Ok(lengths)
    }
}

/// The elements from `first` on of a matrix with so many columns, as `dtype`, block by block of whole rows.
pub fn read_blocks(
    dtype: FileDtype,
    columns: usize,
    first: usize,
    out: &mut [u8],
    made: impl Fn(Range<usize>) -> Result<Vec<f32>, FileError>,
) -> Result<(), FileError> {
    let (size, columns) = (dtype.bits() / 8, columns.max(1));
    let (mut at, end) = (first, first + out.len() / size);
    let mut out = out;
    while at < end {
        let last = end.min((at / columns + (BLOCK / columns).max(1)) * columns);
        let rows = at / columns..last.div_ceil(columns);
        let values = made(rows.clone())?;
        let (here, rest) = out.split_at_mut((last - at) * size);
        store(dtype, &values[at - rows.start * columns..][..last - at], here);
        (at, out) = (last, rest);
    }
    Ok(())
}

/// Numbers as they are stored, each rounded to the nearest, halves to even.
fn store(dtype: FileDtype, values: &[f32], out: &mut [u8]) {
    const SHARE: usize = 1 << 16;
    let size = dtype.bits() / 8;
    out.par_chunks_mut(SHARE * size).zip(values.par_chunks(SHARE)).for_each(|(out, values)| {
        for (out, value) in out.chunks_exact_mut(size).zip(values) {
            match dtype {
                FileDtype::Bf16 => out.copy_from_slice(&bf16::from_f32(*value).to_le_bytes()),
                FileDtype::F16 => out.copy_from_slice(&f16::from_f32(*value).to_le_bytes()),
                _ => out.copy_from_slice(&value.to_le_bytes()),
            }
        }
    });
}
