//! Values as memory: which root value a view looks into, and how.

use std::collections::BTreeMap;

use zoetrope_model_spec::lang::{Graph, Op, OpStmt, Value};

use crate::fused::FusedStmt;

/// A strided look into the memory of `root`; offset and strides in elements.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub root: Value,
    pub offset: usize,
    pub shape: Vec<usize>,
    strides: Vec<usize>,
}

impl View {
    fn whole(root: Value, shape: &[usize]) -> View {
        View { root, offset: 0, shape: shape.to_vec(), strides: contiguous(shape) }
    }

    /// True when the elements follow each other without gaps.
    pub fn is_contiguous(&self) -> bool {
        let expected = contiguous(&self.shape);
        self.shape.iter().zip(&self.strides).zip(&expected).all(|((n, have), want)| *n == 1 || have == want)
    }

    /// Elements from one row to the next, when rows are evenly apart and contiguous inside.
    pub fn row_stride(&self) -> Option<usize> {
        let (cols, last) = (*self.shape.last()?, *self.strides.last()?);
        if cols > 1 && last != 1 {
            return None;
        }
        // Walk outwards over the leading axes; each must continue the even spacing of the ones inside it.
        let mut spacing: Option<usize> = None;
        let mut rows = 1;
        for (n, stride) in self.shape.iter().zip(&self.strides).rev().skip(1).filter(|(n, _)| **n != 1) {
            match spacing {
                None => spacing = Some(*stride),
                Some(s) if *stride == s * rows => {}
                Some(_) => return None,
            }
            rows *= n;
        }
        Some(spacing.unwrap_or(cols))
    }

    fn slice(&self, axis: usize, start: usize, len: usize) -> View {
        let mut out = self.clone();
        out.offset += start * self.strides[axis];
        out.shape[axis] = len;
        out
    }

    /// Under another shape: possible when the view is contiguous, or when only axes of extent 1 come and go.
    fn reshape(&self, shape: &[usize]) -> Option<View> {
        if self.is_contiguous() {
            return Some(View { strides: contiguous(shape), shape: shape.to_vec(), ..self.clone() });
        }
        let mut kept = self.shape.iter().zip(&self.strides).filter(|(n, _)| **n != 1);
        let mut strides = Vec::with_capacity(shape.len());
        for n in shape {
            let stride =
                if *n == 1 { 0 } else { kept.next().filter(|(have, _)| *have == n).map(|(_, s)| *s)? };
            strides.push(stride);
        }
        kept.next().is_none().then(|| View { shape: shape.to_vec(), strides, ..self.clone() })
    }
}

fn contiguous(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (0..shape.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * shape[i + 1];
    }
    strides
}

/// Resolves values to views of roots.
pub struct Views<'a> {
    graph: &'a Graph,
    by_output: BTreeMap<Value, &'a OpStmt>,
}

impl<'a> Views<'a> {
    pub fn new(graph: &'a Graph, body: &'a [FusedStmt]) -> Views<'a> {
        fn walk<'a>(body: &'a [FusedStmt], out: &mut BTreeMap<Value, &'a OpStmt>) {
            for stmt in body {
                match stmt {
                    FusedStmt::View(view) => {
                        out.insert(view.output, view);
                    }
                    FusedStmt::Loop(l) => walk(&l.body, out),
                    FusedStmt::Call(_) => {}
                }
            }
        }
        let mut by_output = BTreeMap::new();
        walk(body, &mut by_output);
        Views { graph, by_output }
    }

    /// The value whose memory `value` is.
    pub fn root(&self, value: Value) -> Value {
        self.by_output.get(&value).map_or(value, |view| self.root(view.inputs[0]))
    }

    /// How `value` looks into its root. `None` for a reshape that would have to move elements.
    pub fn view(&self, value: Value) -> Option<View> {
        let Some(stmt) = self.by_output.get(&value) else {
            return Some(View::whole(value, &self.graph.info(value).shape));
        };
        let inner = self.view(stmt.inputs[0])?;
        match &stmt.op {
            Op::Slice { axis, start, len } => Some(inner.slice(*axis, *start, *len)),
            Op::Reshape { shape } => inner.reshape(shape),
            _ => None,
        }
    }

    /// True when `value` is all of its root, in order.
    pub fn is_whole(&self, value: Value) -> bool {
        let root = self.graph.info(self.root(value)).elements();
        self.view(value).is_some_and(|v| v.is_contiguous() && v.shape.iter().product::<usize>() == root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_slice_keep_the_spacing_of_the_whole() {
        let table = View::whole(Value(0), &[3, 9, 64]);
        let row = table.slice(1, 4, 1).reshape(&[3, 64]).unwrap();
        assert_eq!((row.offset, row.row_stride()), (4 * 64, Some(9 * 64)));
        assert_eq!(table.slice(1, 4, 2).row_stride(), None, "two of nine rows are unevenly spaced");
        let half = View::whole(Value(0), &[2, 5, 8]).slice(2, 4, 4);
        assert_eq!((half.offset, half.row_stride()), (4, Some(8)));
        assert!(!half.is_contiguous());
        assert_eq!(half.reshape(&[10, 4]), None);
    }
}
