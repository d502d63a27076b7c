//! Constants: weights of model files, and tables that the build computed.

use zoetrope_encodings::Kept;

use super::{Dtype, List, Source, Text};

/// How the tensors of a weight lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// As in their file, in the constant's dtype.
    Plain,
    /// Filters: `[out, in, taps..]` in the file, `[out, taps.., in]` here.
    ChannelsLast,
    /// Matrices with so many columns whose rows stay encoded: `[rows, columns]` in the file, u8 `[rows, bytes]` here.
    Encoded { kept: Kept, columns: u32 },
}

/// Where the bytes of a constant come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// Tensors of a model file one after the other along the first axis, converted to the constant's dtype: their
    /// names there, and the extents of their first axes. Most constants are one tensor.
    Weight { source: Source, tensors: List<(Text, u32)>, layout: Layout },
    /// Folded at build time: an offset into [`super::Plan::tables`].
    Table { offset: u64 },
}

/// Something read-only that is there before a phase begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    pub name: Text,
    pub dtype: Dtype,
    pub shape: List<u32>,
    pub origin: Origin,
}

/// What two weights of any plans of one model have in common that are the same bytes: type, shape, layout, and the
/// tensors that they are made of, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    dtype: Dtype,
    shape: List<u32>,
    source: Source,
    tensors: List<(Text, u32)>,
    layout: Layout,
}

impl Constant {
    /// What it shares with the same weight of another plan; a table is its plan's own.
    pub fn identity(&self) -> Option<Identity> {
        let Origin::Weight { source, tensors, layout } = &self.origin else { return None };
        let (shape, tensors) = (self.shape.clone(), tensors.clone());
        Some(Identity { dtype: self.dtype, shape, source: *source, tensors, layout: *layout })
    }

    /// How its tensors lie; a table lies as it is.
    pub fn layout(&self) -> Layout {
        match self.origin {
            Origin::Weight { layout, .. } => layout,
            Origin::Table { .. } => Layout::Plain,
        }
    }

    /// What its rows stay encoded in.
    pub fn kept(&self) -> Option<Kept> {
        match self.layout() {
            Layout::Encoded { kept, .. } => Some(kept),
            Layout::Plain | Layout::ChannelsLast => None,
        }
    }

    /// The shape that a tensor of `rows` rows of this weight has in its file.
    pub fn file_shape(&self, rows: u32) -> Vec<u32> {
        let rest = self.shape.get(1..).unwrap_or_default();
        match (self.layout(), rest) {
            (Layout::Encoded { columns, .. }, _) => vec![rows, columns],
            (Layout::ChannelsLast, [taps @ .., channels]) => [&[rows, *channels], taps].concat(),
            (Layout::Plain | Layout::ChannelsLast, rest) => [&[rows], rest].concat(),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.elements() * self.dtype.bytes()
    }

    /// How many numbers of a model it has, decoded or not.
    pub fn numbers(&self) -> u64 {
        match self.layout() {
            Layout::Encoded { columns, .. } => {
                u64::from(self.shape.first().copied().unwrap_or(1)) * u64::from(columns)
            }
            Layout::Plain | Layout::ChannelsLast => self.elements(),
        }
    }

    fn elements(&self) -> u64 {
        self.shape.iter().map(|d| u64::from(*d)).product()
    }
}
