//! Weights: which tensors of a file they are, and how these lie in memory.

use std::cell::Cell;

use zoetrope_encodings::Kept;

use super::{Builder, Def, Tensor, Value};

/// How the tensors of a weight lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layout {
    /// As in their file, in the value's dtype.
    Plain,
    /// Filters: `[out, in, taps..]` in the file, `[out, taps.., in]` as the value.
    ChannelsLast,
    /// Matrices with so many columns whose rows stay encoded: the value is u8 `[rows, bytes]`, and
    /// [`super::Op::Decode`] gives its numbers.
    Encoded { kept: Kept, columns: usize },
}

/// Which weights may stay encoded.
#[derive(Default)]
pub(super) struct Keep {
    /// What the program was asked to keep them in.
    asked: Option<Kept>,
    /// That, while layers are recorded that may.
    here: Cell<Option<Kept>>,
}

impl Builder {
    /// Asks for weights that stay encoded, where the layers that read them may have such ([`Builder::may_keep`]).
    pub fn keeping(mut self, kept: Option<Kept>) -> Builder {
        self.keep.asked = kept;
        self
    }

    /// Records `f`, whose linear layers may read weights that stay encoded. Whether they do is decided later.
    pub fn may_keep<T>(&self, f: impl FnOnce() -> T) -> T {
        let outer = self.keep.here.replace(self.keep.asked);
        let result = f();
        self.keep.here.set(outer);
        result
    }

    /// A tensor of the current component's file, at the current path.
    pub fn weight(&self, name: &str, shape: &[usize]) -> Value {
        self.tensor(name, shape, Layout::Plain, None)
    }

    /// The matrix of a linear layer, which may stay encoded.
    pub(super) fn matrix(&self, name: &str, shape: [usize; 2]) -> Value {
        self.tensor(name, &shape, Layout::Plain, self.keep.here.get())
    }

    /// The filters `[out, taps.., channels]` of a convolution, whose tensor in the file is `[out, channels, taps..]`.
    pub fn filters(&self, name: &str, out: usize, taps: &[usize], channels: usize) -> Value {
        self.tensor(name, &[&[out], taps, &[channels]].concat(), Layout::ChannelsLast, None)
    }

    fn tensor(&self, name: &str, shape: &[usize], layout: Layout, keep: Option<Kept>) -> Value {
        let path = self.full_path(name);
        let (source, prefix) = self.source();
        let tensor = if prefix.is_empty() { path.clone() } else { format!("{prefix}.{path}") };
        let tensors = vec![Tensor { name: tensor, rows: shape.first().copied().unwrap_or(1) }];
        let def = Def::Weight { source, tensors, first: self.first_iteration(), layout, keep };
        self.define(path, self.dtype(), shape.to_vec(), def)
    }

    /// Outside the loop `of`: the tensors `name` of its iterations 0 to `count`, one after the other, `shape` each.
    pub fn weight_of_iterations(&self, of: &str, count: usize, name: &str, shape: &[usize]) -> Value {
        let (source, prefix) = self.source();
        let full = |iteration: &str| {
            let path = self.full_path(&format!("{of}.{iteration}.{name}"));
            if prefix.is_empty() { path } else { format!("{prefix}.{path}") }
        };
        let tensors = (0..count)
            .map(|iteration| Tensor { name: full(&iteration.to_string()), rows: shape[0] })
            .collect();
        let stacked = [&[count * shape[0]], &shape[1..]].concat();
        let path = self.full_path(&format!("{of}.{name}"));
        let def = Def::Weight { source, tensors, first: 0, layout: Layout::Plain, keep: None };
        self.define(path, self.dtype(), stacked, def)
    }
}
