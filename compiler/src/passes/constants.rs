//! Weights and tables, each once in the whole plan.

use std::collections::BTreeMap;

use zoetrope_model_spec::lang::{Constant, Def, Graph, Tensor, Value};

use crate::schedule::{Base, Origin, SharedConstant};

/// Collects constants; the same tensor or the same bytes get the same number.
#[derive(Default)]
pub struct Constants {
    list: Vec<SharedConstant>,
    by_key: BTreeMap<String, usize>,
}

impl Constants {
    pub fn done(self) -> Vec<SharedConstant> {
        self.list
    }

    /// Where a launch finds `value`. In a loop (`rows` given), a constant that changes from turn to turn becomes a
    /// column of the loop's rows.
    ///
    /// # Errors
    /// Says why `value` has no place: it changes from turn to turn, and the launch is in no loop of fixed count.
    pub fn base(
        &mut self,
        graph: &Graph,
        value: Value,
        rows: Option<&mut Vec<Vec<usize>>>,
    ) -> Result<Base, String> {
        let info = graph.info(value);
        let per_turn: Vec<usize> = match (&info.def, &rows) {
            (Def::PerIteration(values), Some(rows)) => {
                if values.len() != rows.len() {
                    return Err(format!("{} constants for {} turns", values.len(), rows.len()));
                }
                values.iter().map(|v| self.intern(graph, *v, None)).collect::<Result<_, _>>()?
            }
            (Def::Weight { tensors, .. }, Some(rows)) if tensors.iter().any(|t| t.name.contains('*')) => {
                (0..rows.len()).map(|turn| self.intern(graph, value, Some(turn))).collect::<Result<_, _>>()?
            }
            _ => return self.intern(graph, value, None).map(Base::Constant),
        };
        let rows = rows.ok_or("it changes from turn to turn outside a loop")?;
        let columns = rows.first().map_or(0, Vec::len);
        let same = (0..columns).find(|c| rows.iter().zip(&per_turn).all(|(row, id)| row[*c] == *id));
        if same.is_none() {
            rows.iter_mut().zip(&per_turn).for_each(|(row, id)| row.push(*id));
        }
        Ok(Base::Column(same.unwrap_or(columns)))
    }

    fn intern(&mut self, graph: &Graph, value: Value, turn: Option<usize>) -> Result<usize, String> {
        let info = graph.info(value);
        let (key, name, origin) = match &info.def {
            Def::Weight { source, tensors, first, channels_last } => {
                let number = turn.map(|t| (first + t).to_string());
                if tensors.iter().any(|t| t.name.contains('*')) && number.is_none() {
                    return Err(format!("{} changes from turn to turn outside a loop", info.path));
                }
                let with =
                    |text: &str| number.as_ref().map_or(text.to_string(), |n| text.replacen('*', n, 1));
                let tensors: Vec<_> =
                    tensors.iter().map(|t| Tensor { name: with(&t.name), rows: t.rows }).collect();
                let names: Vec<_> = tensors.iter().map(|t| t.name.as_str()).collect();
                let key = format!("{} {} {}", source.name(), info.dtype, names.join(" "));
                (
                    key,
                    with(&info.path),
                    Origin::Weight { source: *source, tensors, channels_last: *channels_last },
                )
            }
            Def::Constant(constant) => (
                table_key(info.dtype.name(), &info.shape, constant),
                info.path.clone(),
                Origin::Table(constant.clone()),
            ),
            _ => return Err(format!("{} is no constant", info.path)),
        };
        let next = self.list.len();
        let id = *self.by_key.entry(key).or_insert(next);
        if id == next {
            self.list.push(SharedConstant { name, dtype: info.dtype, shape: info.shape.clone(), origin });
        }
        Ok(id)
    }
}

/// Tables are the same when their type and all their bits are.
fn table_key(dtype: &str, shape: &[usize], constant: &Constant) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    match constant {
        Constant::Real(values) => values.iter().for_each(|v| hash.update(v.to_bits().to_le_bytes())),
        Constant::Int(values) => values.iter().for_each(|v| hash.update(v.to_le_bytes())),
    }
    format!("table {dtype} {shape:?} {}", crate::hash::hex(&hash.finalize()))
}
