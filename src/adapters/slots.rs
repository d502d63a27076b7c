//! Slots: adapters that stay apart from the weights, as the two factors that a plan wants beside each linear layer.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use zoetrope_runtime::files::{Computed, FileDtype, FileError, Tensor};
use zoetrope_runtime::plan::{Origin, Plan, Source};

use super::change::{Change, Merge, add_rows, joined_up, read_rows};
use super::dora::Lengths;
use super::merged::read_blocks;

const DOWN: &str = ".lora_A.weight";
const UP: &str = ".lora_B.weight";

/// A linear layer's place in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub rank: usize,
    pub inner: usize,
    pub out: usize,
}

impl Place {
    /// Whether any change of the layer can be written with this rank.
    fn is_full(&self) -> bool {
        self.rank == self.inner.min(self.out)
    }
}

/// The places of every slot of a plan, by the names of the parameters that they stand beside.
pub fn slots(plan: &Plan) -> BTreeMap<u8, BTreeMap<String, Place>> {
    let mut slots: BTreeMap<u8, BTreeMap<String, Place>> = BTreeMap::new();
    for constant in plan.constants.iter() {
        let Origin::Weight { source: Source::Adapter(slot), tensors, .. } = &constant.origin else {
            continue;
        };
        let places = slots.entry(*slot).or_default();
        for (name, rows) in tensors.iter() {
            let columns = constant.shape.last().map_or(1, |n| *n as usize);
            let (module, down) = match (name.strip_suffix(DOWN), name.strip_suffix(UP)) {
                (Some(module), _) => (module, true),
                (_, Some(module)) => (module, false),
                _ => continue,
            };
            let place =
                places.entry(format!("{module}.weight")).or_insert(Place { rank: 0, inner: 0, out: 0 });
            match down {
                true => (place.rank, place.inner) = (*rows as usize, columns),
                false => (place.rank, place.out) = (columns, *rows as usize),
            }
        }
    }
    slots
}

/// One of the two factors beside a layer: A [rank, in] or B [out, rank].
pub struct SlotTensor<'a> {
    name: String,
    shape: [usize; 2],
    up: bool,
    place: Place,
    changes: Vec<Change<'a>>,
}

/// The factors beside a layer that is changed so.
///
/// # Errors
/// There is no room for the changes, in words.
pub fn factors<'a>(
    parameter: &str,
    place: Place,
    changes: Vec<Change<'a>>,
) -> Result<[SlotTensor<'a>; 2], String> {
    if changes.iter().any(|change| change.dora.is_some()) {
        return Err(format!("{parameter}, whose change depends on the weight (DoRA)"));
    }
    let module = parameter.strip_suffix(".weight").unwrap_or(parameter);
    let ranks: Option<Vec<usize>> = changes.iter().map(Change::rank).collect();
    let fits = ranks.as_ref().is_some_and(|ranks| ranks.iter().sum::<usize>() <= place.rank);
    if !fits && !place.is_full() {
        return Err(match ranks {
            Some(ranks) => {
                let sum: usize = ranks.iter().sum();
                format!("{parameter}, which is changed with rank {sum}: there is room for {}", place.rank)
            }
            None => format!("{parameter}, whose change is no product of low rank"),
        });
    }
    let of = |up: bool, ending: &str, shape| SlotTensor {
        name: format!("{module}{ending}"),
        shape,
        up,
        place,
        changes: changes.clone(),
    };
    Ok([of(false, DOWN, [place.rank, place.inner]), of(true, UP, [place.out, place.rank])])
}

impl SlotTensor<'_> {
    /// The name that the plan has for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn tensor(&self) -> Tensor<'_> {
        let (file, dtype) = (Path::new("adapter"), FileDtype::F32);
        let (name, shape) = (self.name.as_str(), self.shape.as_slice());
        Tensor { file, name, dtype, shape, bytes: &[], computed: Some(self) }
    }

    fn rows(&self, rows: Range<usize>) -> Result<Vec<f32>, FileError> {
        let [_, columns] = self.shape;
        let Place { rank, inner, out } = self.place;
        let ranks: Option<usize> = self.changes.iter().map(Change::rank).sum();
        if ranks.is_some_and(|sum| sum <= rank) {
            return if self.up { self.ups(rows) } else { self.downs(rows) };
        }
        // The rank is that of the whole change: the wider factor holds it, and the other one the identity.
        let mut values = vec![0.0; rows.len() * columns];
        if self.up == (inner < out) {
            add_rows(Merge::Exact, &self.changes, &Lengths::default(), rows, columns, &mut values)?;
        } else {
            rows.enumerate().for_each(|(i, row)| values[i * columns + row] = 1.0);
        }
        Ok(values)
    }

    /// All B side by side, each times its factor.
    fn ups(&self, rows: Range<usize>) -> Result<Vec<f32>, FileError> {
        let low: Vec<_> = self.changes.iter().filter_map(Change::low).collect();
        joined_up(&low, rows, self.place.rank)
    }

    /// All A one below the other, then zeros.
    fn downs(&self, rows: Range<usize>) -> Result<Vec<f32>, FileError> {
        let mut values = vec![0.0; rows.len() * self.place.inner];
        let mut first = 0;
        for (_, _, right) in self.changes.iter().filter_map(Change::low) {
            let here = rows.start.max(first)..rows.end.min(first + right.shape[0]);
            if !here.is_empty() {
                let read = read_rows(right, here.start - first..here.end - first)?;
                values[(here.start - rows.start) * self.place.inner..][..read.len()].copy_from_slice(&read);
            }
            first += right.shape[0];
        }
        Ok(values)
    }
}

impl Computed for SlotTensor<'_> {
    fn read(&self, dtype: FileDtype, first: usize, out: &mut [u8]) -> Result<(), FileError> {
        read_blocks(dtype, self.shape[1], first, out, |rows| self.rows(rows))
    }
}
