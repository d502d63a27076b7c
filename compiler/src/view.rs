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
    /// Elements added with every iteration of the enclosing loop.
    pub step: usize,
}

impl View {
    fn whole(root: Value, shape: &[usize]) -> View {
        View { root, offset: 0, shape: shape.to_vec(), strides: contiguous(shape), step: 0 }
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

    /// First element, and one past the last.
    fn span(&self) -> (usize, usize) {
        let reach: usize = self.shape.iter().zip(&self.strides).map(|(n, stride)| (n - 1) * stride).sum();
        (self.offset, self.offset + reach + 1)
    }

    /// Of two views of one root: they lie behind each other, or in different columns of the same rows.
    fn apart(&self, other: &View) -> bool {
        if self.step != other.step {
            return false;
        }
        let (a, b) = (self.span(), other.span());
        if a.1 <= b.0 || b.1 <= a.0 {
            return true;
        }
        let columns = |v: &View, pitch: usize| {
            let from = v.offset % pitch;
            (from, from + v.shape.last().copied().unwrap_or(1))
        };
        match (self.row_stride(), other.row_stride()) {
            (Some(pitch), Some(same)) if pitch == same && pitch > 0 => {
                let (a, b) = (columns(self, pitch), columns(other, pitch));
                a.1 <= pitch && b.1 <= pitch && (a.1 <= b.0 || b.1 <= a.0)
            }
            _ => false,
        }
    }

    /// The entry of the current iteration.
    fn iteration(&self) -> View {
        let (shape, strides) = (self.shape[1..].to_vec(), self.strides[1..].to_vec());
        View { shape, strides, step: self.strides[0], ..self.clone() }
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

/// Why a value has no memory of its own.
enum Look<'a> {
    /// A reshape or slice of another value.
    At(&'a OpStmt),
    /// A piece of a joined value, from this row of its first axis.
    Piece { whole: Value, start: usize },
    /// Written where this value lay.
    Over(Value),
}

/// Resolves values to views of roots: the values that have memory of their own.
pub struct Views<'a> {
    graph: &'a Graph,
    looks: BTreeMap<Value, Look<'a>>,
}

impl<'a> Views<'a> {
    pub fn new(graph: &'a Graph, body: &'a [FusedStmt]) -> Views<'a> {
        let mut views = Views { graph, looks: BTreeMap::new() };
        views.walk(body);
        views
    }

    fn walk(&mut self, body: &'a [FusedStmt]) {
        for stmt in body {
            match stmt {
                FusedStmt::View(view) => {
                    self.looks.insert(view.output, Look::At(view));
                }
                FusedStmt::Join(join) => {
                    let mut start = 0;
                    for piece in &join.inputs {
                        let look = Look::Piece { whole: join.output, start };
                        self.looks.insert(self.root(*piece), look);
                        start += self.graph.info(*piece).shape[0];
                    }
                }
                FusedStmt::Loop(l) => self.walk(&l.body),
                FusedStmt::Call(call) => {
                    if let Some(over) = call.over {
                        self.looks.insert(call.write, Look::Over(call.reads[over]));
                    }
                }
            }
        }
    }

    /// From now on `value` lies where `operand` lay.
    pub fn alias(&mut self, value: Value, operand: Value) {
        self.looks.insert(value, Look::Over(operand));
    }

    /// The value whose memory `value` is.
    pub fn root(&self, value: Value) -> Value {
        match self.looks.get(&value) {
            None => value,
            Some(Look::At(view)) => self.root(view.inputs[0]),
            Some(Look::Piece { whole, .. }) => self.root(*whole),
            Some(Look::Over(operand)) => self.root(*operand),
        }
    }

    /// How `value` looks into its root. `None` for a reshape that would have to move elements.
    pub fn view(&self, value: Value) -> Option<View> {
        let shape = &self.graph.info(value).shape;
        match self.looks.get(&value) {
            None => Some(View::whole(value, shape)),
            Some(Look::At(stmt)) => {
                let inner = self.view(stmt.inputs[0])?;
                match &stmt.op {
                    Op::Slice { axis, start, len } => Some(inner.slice(*axis, *start, *len)),
                    Op::Reshape { shape } => inner.reshape(shape),
                    Op::Iteration {} => Some(inner.iteration()),
                    _ => None,
                }
            }
            Some(Look::Piece { whole, start }) => {
                let inner = self.view(*whole)?;
                let rest: usize = inner.shape[1..].iter().product();
                let rows = self.graph.info(value).elements() / rest.max(1);
                inner.slice(0, *start, rows).reshape(shape)
            }
            Some(Look::Over(operand)) => self.view(*operand),
        }
    }

    /// True when `value` is all of its root, in order.
    pub fn is_whole(&self, value: Value) -> bool {
        let root = self.graph.info(self.root(value)).elements();
        self.view(value).is_some_and(|v| v.is_contiguous() && v.shape.iter().product::<usize>() == root)
    }

    /// True when no element of one is an element of the other. Says false where it cannot tell.
    pub fn apart(&self, a: Value, b: Value) -> bool {
        if self.root(a) != self.root(b) {
            return true;
        }
        match (self.view(a), self.view(b)) {
            (Some(a), Some(b)) => a.apart(&b),
            _ => false,
        }
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

    #[test]
    fn columns_of_the_same_rows_are_apart() {
        let whole = View::whole(Value(0), &[5, 10]);
        let (a, b, c) = (whole.slice(1, 0, 4), whole.slice(1, 4, 6), whole.slice(1, 3, 2));
        assert!(a.apart(&b) && b.apart(&a));
        assert!(!a.apart(&c) && !c.apart(&b) && !a.apart(&whole));
        assert!(whole.slice(0, 0, 2).apart(&whole.slice(0, 2, 3)));
    }
}
