//! Weights and tables, each once in the whole plan.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sha2::{Digest, Sha256};
use zoetrope_model_spec::lang::{Constant, Def, Dtype, Graph, Layout, Source, Tensor, Value};

use crate::schedule::{Base, Origin, SharedConstant};

/// Collects constants; the same tensor or the same bytes get the same number.
#[derive(Default)]
pub struct Constants {
    list: Vec<SharedConstant>,
    by_key: BTreeMap<Key, usize>,
    /// Of the phase at hand the tables that were looked at before.
    hashes: BTreeMap<Value, [u8; 32]>,
}

/// Everything that decides a constant's bytes: constants are the same when their type, their shape and this are.
type Key = (Dtype, Vec<usize>, Bytes);

/// Where a constant's bytes come from, and how they are put in order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Bytes {
    Weight {
        source: Source,
        tensors: Vec<Tensor>,
        layout: Layout,
    },
    /// A hash of all bits.
    Table([u8; 32]),
}

impl Constants {
    pub fn done(self) -> Vec<SharedConstant> {
        self.list
    }

    /// From now on values are those of another graph.
    pub fn next_graph(&mut self) {
        self.hashes.clear();
    }

    /// Where a launch finds `value`. In a loop (`rows` given), a constant that changes from iteration to iteration
    /// becomes a column of the loop's rows.
    ///
    /// # Errors
    /// Says why `value` has no place: it changes from iteration to iteration, and the launch is in no loop of fixed
    /// count.
    pub fn base(
        &mut self,
        graph: &Graph,
        value: Value,
        rows: Option<&mut Vec<Vec<usize>>>,
    ) -> Result<Base, String> {
        let info = graph.info(value);
        let per_iteration: Vec<usize> = match (&info.def, &rows) {
            (Def::PerIteration(values), Some(rows)) => {
                if values.len() != rows.len() {
                    return Err(format!("{} constants for {} iterations", values.len(), rows.len()));
                }
                values.iter().map(|v| self.intern(graph, *v, None)).collect::<Result<_, _>>()?
            }
            (Def::Weight { tensors, .. }, Some(rows)) if tensors.iter().any(|t| t.name.contains('*')) => (0
                ..rows.len())
                .map(|iteration| self.intern(graph, value, Some(iteration)))
                .collect::<Result<_, _>>()?,
            _ => return self.intern(graph, value, None).map(Base::Constant),
        };
        let rows = rows.ok_or("it changes from iteration to iteration outside a loop")?;
        let columns = rows.first().map_or(0, Vec::len);
        let same = (0..columns).find(|c| rows.iter().zip(&per_iteration).all(|(row, id)| row[*c] == *id));
        if same.is_none() {
            rows.iter_mut().zip(&per_iteration).for_each(|(row, id)| row.push(*id));
        }
        Ok(Base::Column(same.unwrap_or(columns)))
    }

    fn intern(&mut self, graph: &Graph, value: Value, iteration: Option<usize>) -> Result<usize, String> {
        let info = graph.info(value);
        let number = match &info.def {
            Def::Weight { tensors, first, .. } if tensors.iter().any(|t| t.name.contains('*')) => {
                let iteration = iteration.ok_or_else(|| {
                    format!("{} changes from iteration to iteration outside a loop", info.path)
                })?;
                Some((first + iteration).to_string())
            }
            _ => None,
        };
        let with = |text: &str| number.as_ref().map_or(text.to_string(), |n| text.replacen('*', n, 1));
        let bytes = match &info.def {
            Def::Weight { source, tensors, layout, .. } => {
                let of_iteration = |t: &Tensor| Tensor { name: with(&t.name), rows: t.rows };
                let tensors = tensors.iter().map(of_iteration).collect();
                Bytes::Weight { source: *source, tensors, layout: *layout }
            }
            Def::Constant(constant) => {
                Bytes::Table(*self.hashes.entry(value).or_insert_with(|| hash(constant)))
            }
            _ => return Err(format!("{} is no constant", info.path)),
        };
        let next = self.list.len();
        match self.by_key.entry((info.dtype, info.shape.clone(), bytes)) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(new) => {
                let origin = match (&new.key().2, &info.def) {
                    (Bytes::Weight { source, tensors, layout }, _) => {
                        Origin::Weight { source: *source, tensors: tensors.clone(), layout: *layout }
                    }
                    (Bytes::Table(_), Def::Constant(constant)) => Origin::Table(constant.clone()),
                    (Bytes::Table(_), _) => unreachable!("only constants have a table"),
                };
                let (dtype, shape) = (info.dtype, info.shape.clone());
                self.list.push(SharedConstant { name: with(&info.path), dtype, shape, origin });
                Ok(*new.insert(next))
            }
        }
    }
}

/// Of all bits, a page of them at a time.
fn hash(constant: &Constant) -> [u8; 32] {
    fn bytes<T>(values: &[T], bytes: fn(&T) -> [u8; 4]) -> [u8; 32] {
        let mut hash = Sha256::new();
        for page in values.chunks(1024) {
            hash.update(page.iter().flat_map(bytes).collect::<Vec<u8>>());
        }
        hash.finalize().into()
    }
    match constant {
        Constant::Real(values) => bytes(values, |v| v.to_le_bytes()),
        Constant::Int(values) => bytes(values, |v| v.to_le_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use zoetrope_model_spec::lang::{Info, Kept};

    use super::*;

    fn weight(dtype: Dtype, shape: &[usize], tensors: &[(&str, usize)], layout: Layout) -> Info {
        let tensors = tensors.iter().map(|(name, rows)| Tensor { name: name.to_string(), rows: *rows });
        let def = Def::Weight {
            source: Source::Checkpoint,
            tensors: tensors.collect(),
            first: 0,
            layout,
            keep: None,
        };
        Info { path: "w".to_string(), dtype, shape: shape.to_vec(), def }
    }

    fn table(dtype: Dtype, shape: &[usize], constant: Constant) -> Info {
        Info { path: "t".to_string(), dtype, shape: shape.to_vec(), def: Def::Constant(constant) }
    }

    /// Each of these differs from the first of its kind in one thing that changes the bytes or how they are read.
    #[test]
    fn constants_are_shared_only_when_all_their_bytes_are_the_same() {
        use Layout::{ChannelsLast, Plain};
        let rows =
            |kept, columns| weight(Dtype::U8, &[8, 512], &[("a", 8)], Layout::Encoded { kept, columns });
        let different = [
            rows(Kept::Q8_0, 256),
            rows(Kept::Q8_0, 480),
            rows(Kept::Fp8, 496),
            weight(Dtype::U8, &[8, 512], &[("a", 8)], Plain),
            weight(Dtype::Bf16, &[8, 3, 4], &[("a", 4), ("b", 4)], Plain),
            weight(Dtype::Bf16, &[8, 3, 4], &[("a", 4), ("b", 4)], ChannelsLast),
            weight(Dtype::F32, &[8, 3, 4], &[("a", 4), ("b", 4)], Plain),
            weight(Dtype::Bf16, &[8, 4, 3], &[("a", 4), ("b", 4)], Plain),
            weight(Dtype::Bf16, &[8, 3, 4], &[("b", 4), ("a", 4)], Plain),
            weight(Dtype::Bf16, &[8, 3, 4], &[("a", 3), ("b", 5)], Plain),
            weight(Dtype::Bf16, &[8, 3, 4], &[("a b", 8)], Plain),
            table(Dtype::F32, &[2], Constant::Real(vec![0.0, 1.0])),
            table(Dtype::F32, &[2], Constant::Real(vec![-0.0, 1.0])),
            table(Dtype::Bf16, &[2], Constant::Real(vec![0.0, 1.0])),
            table(Dtype::F32, &[1, 2], Constant::Real(vec![0.0, 1.0])),
            table(Dtype::I32, &[2], Constant::Int(vec![0, 0x3f80_0000])),
        ];
        let mut constants = Constants::default();
        let graph =
            Graph { values: different.iter().chain(&different).cloned().collect(), ..Graph::default() };
        let base = |v: u32| constants.base(&graph, Value(v), None).expect("a constant");
        let bases: Vec<Base> = (0..graph.values.len() as u32).map(base).collect();
        let expected: Vec<Base> = (0..different.len()).map(Base::Constant).collect();
        assert_eq!(bases[..different.len()], expected);
        assert_eq!(bases[different.len()..], expected, "what is the same is there once");
    }
}
