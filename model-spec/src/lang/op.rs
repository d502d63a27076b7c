//! The ops: one table from which the enum, the names, the attribute lists and their inverse are made.
//!
//! Tensors have no batch axis. Rows come first and features last: tokens are `[tokens, dim]`, video is
//! `[time, height, width, channels]`, a spectrogram `[time, frequency, channels]`, audio `[samples, channels]`.

use super::{Dtype, Kept};

/// One attribute value as a plan stores it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attr {
    Int(i64),
    Real(f32),
}

/// Functions of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryFn {
    /// x·sigmoid(x)
    Silu,
    /// the tanh approximation of GELU
    Gelu,
    Sigmoid,
    Exp,
    /// natural logarithm
    Log,
    Sin,
    Cos,
    Sqrt,
}

/// Functions of two numbers; the right operand broadcasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryFn {
    Add,
    Sub,
    Mul,
    Div,
}

impl UnaryFn {
    const ALL: [(UnaryFn, &'static str); 8] = [
        (UnaryFn::Silu, "silu"),
        (UnaryFn::Gelu, "gelu"),
        (UnaryFn::Sigmoid, "sigmoid"),
        (UnaryFn::Exp, "exp"),
        (UnaryFn::Log, "log"),
        (UnaryFn::Sin, "sin"),
        (UnaryFn::Cos, "cos"),
        (UnaryFn::Sqrt, "sqrt"),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(f, _)| *f == self).map_or("?", |(_, name)| name)
    }
}

impl BinaryFn {
    const ALL: [(BinaryFn, &'static str); 4] =
        [(BinaryFn::Add, "add"), (BinaryFn::Sub, "sub"), (BinaryFn::Mul, "mul"), (BinaryFn::Div, "div")];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(f, _)| *f == self).map_or("?", |(_, name)| name)
    }
}

/// A type that can be an attribute: writes itself into a flat list and reads itself back.
trait Field: Sized {
    fn put(&self, out: &mut Vec<Attr>);
    fn take(from: &mut std::slice::Iter<'_, Attr>) -> Option<Self>;
    fn text(&self) -> String;
}

impl Field for usize {
    fn put(&self, out: &mut Vec<Attr>) {
        out.push(Attr::Int(*self as i64));
    }
    fn take(from: &mut std::slice::Iter<'_, Attr>) -> Option<Self> {
        match from.next()? {
            Attr::Int(i) => usize::try_from(*i).ok(),
            Attr::Real(_) => None,
        }
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Field for bool {
    fn put(&self, out: &mut Vec<Attr>) {
        out.push(Attr::Int(i64::from(*self)));
    }
    fn take(from: &mut std::slice::Iter<'_, Attr>) -> Option<Self> {
        usize::take(from).map(|i| i != 0)
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Field for f32 {
    fn put(&self, out: &mut Vec<Attr>) {
        out.push(Attr::Real(*self));
    }
    fn take(from: &mut std::slice::Iter<'_, Attr>) -> Option<Self> {
        match from.next()? {
            Attr::Real(x) => Some(*x),
            Attr::Int(_) => None,
        }
    }
    fn text(&self) -> String {
        format!("{self:?}")
    }
}

impl Field for Vec<usize> {
    fn put(&self, out: &mut Vec<Attr>) {
        self.len().put(out);
        self.iter().for_each(|x| x.put(out));
    }
    fn take(from: &mut std::slice::Iter<'_, Attr>) -> Option<Self> {
        let n = usize::take(from)?;
        (0..n).map(|_| usize::take(from)).collect()
    }
    fn text(&self) -> String {
        let items: Vec<_> = self.iter().map(usize::to_string).collect();
        format!("[{}]", items.join(","))
    }
}

/// Enums travel as their place in a list of all their values.
macro_rules! enum_field {
    ($ty:ty, $all:expr, $name:expr) => {
        impl Field for $ty {
            fn put(&self, out: &mut Vec<Attr>) {
                let all: Vec<$ty> = $all;
                out.push(Attr::Int(all.iter().position(|x| x == self).unwrap_or(0) as i64));
            }
            fn take(from: &mut std::slice::Iter<'_, Attr>) -> Option<Self> {
                let all: Vec<$ty> = $all;
                usize::take(from).and_then(|i| all.get(i).copied())
            }
            fn text(&self) -> String {
                let name: fn(&$ty) -> String = $name;
                name(self)
            }
        }
    };
}
enum_field!(UnaryFn, UnaryFn::ALL.map(|(f, _)| f).to_vec(), |f| f.name().to_string());
enum_field!(BinaryFn, BinaryFn::ALL.map(|(f, _)| f).to_vec(), |f| f.name().to_string());
enum_field!(Kept, Kept::ALL.to_vec(), |kept| kept.name().to_string());
enum_field!(Dtype, vec![Dtype::F32, Dtype::Bf16, Dtype::I32, Dtype::U8], |d| d.name().to_string());

macro_rules! ops {
    ($( $(#[$doc:meta])* $op:ident $name:literal { $($field:ident : $ty:ty),* } )*) => {
        /// One operation on whole values. Inputs are listed in the order they are passed.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op { $( $(#[$doc])* $op { $($field: $ty),* } ),* }

        impl Op {
            /// The name in text forms.
            pub fn name(&self) -> &'static str {
                match self { $( Op::$op { .. } => $name ),* }
            }

            /// The attributes, flattened in declaration order.
            pub fn attrs(&self) -> Vec<Attr> {
                let mut out = Vec::new();
                match self { $( Op::$op { $($field),* } => { $( $field.put(&mut out); )* } ),* }
                out.shrink_to_fit();
                out
            }

            /// The inverse of [`Op::name`] and [`Op::attrs`]; `None` when they do not describe an op.
            pub fn rebuild(name: &str, attrs: &[Attr]) -> Option<Op> {
                let mut from = attrs.iter();
                let op = match name {
                    $( $name => Op::$op { $( $field: Field::take(&mut from)? ),* }, )*
                    _ => return None,
                };
                from.next().is_none().then_some(op)
            }

            /// Attribute names and values as text.
            pub fn fields(&self) -> Vec<(&'static str, String)> {
                match self { $( Op::$op { $($field),* } => vec![ $( (stringify!($field), $field.text()) ),* ] ),* }
            }
        }
    };
}

ops! {
    /// `(x)`: a function of each element.
    Unary "unary" { f: UnaryFn }
    /// `(x, y)`: a function of element pairs. `y` has the shape of `x`, or one row, one column or one element.
    Binary "binary" { f: BinaryFn }
    /// `(x [m, d], y [n, d])` → `[m, n, d]`: every row of x plus every row of y.
    OuterAdd "outer_add" {}
    /// `(x)`: x·scale + offset.
    Affine "affine" { scale: f32, offset: f32 }
    /// `(x)`: limited to `lo..=hi`.
    Clamp "clamp" { lo: f32, hi: f32 }
    /// `(x)`: the same numbers stored as `to`.
    Cast "cast" { to: Dtype }
    /// `(w [n, bytes] u8)` → `[n, columns]`: the numbers of rows that stay encoded.
    Decode "decode" { kept: Kept, columns: usize }
    /// `(x [.., k], w [n, k], bias [n]?)`: x·wᵀ + bias.
    Linear "linear" {}
    /// `(x [.., d], w [d / groups]?)`: each row falls into `groups` equal slices; a slice is divided by
    /// sqrt(mean of squares + eps) and multiplied by (w + offset).
    RmsNorm "rms_norm" { eps: f32, offset: f32, groups: usize }
    /// `(x [.., d])`: mean removed, divided by sqrt(variance + eps), no affine part.
    LayerNorm "layer_norm" { eps: f32 }
    /// `(x [.., c], w [c], b [c])`: statistics over all positions and the c/groups channels of a group.
    GroupNorm "group_norm" { groups: usize, eps: f32 }
    /// `(x, visible \[rows\]?)` → `[1]`, f32: the standard deviation of all elements, by their number less one. With
    /// `visible`, of the rows for which that is over a half; 0 where these have fewer than two elements.
    Deviation "deviation" {}
    /// `(x, visible \[rows\]?)`: x less the mean of all elements, over [`Op::Deviation`], both of the same rows; zeros where
    /// the deviation is 0.
    Standardize "standardize" {}
    /// `(table [rows, ..], index [n] i32)`: row `index[i]` of the table at place i.
    Gather "gather" {}
    /// `(x [tokens, heads·d], g [tokens, heads])`: every head's slice multiplied by its factor.
    HeadScale "head_scale" { heads: usize }
    /// `(x [tokens, heads·d], cos [r, n], sin [r, n], index [tokens, axes] i32)`: split rotary embedding
    /// (docs/model/transformer.md 4). Pair p of the flattened pairs (`heads·d/2`; or d/2 pairs common to all
    /// heads when `shared`) takes, after the identity pairs in front, frequency p / axes of axis p % axes, at
    /// table row `index[token][axis]`.
    Rope "rope" { heads: usize, shared: bool }
    /// `(q [tq, heads·d], k [tk, kv_heads·d], v [tk, kv_heads·d], bias [tq, tk]?)`, and when `causal` in place of a
    /// bias `(valid [tk] i32, window [1] i32)`: softmax(scale·q·kᵀ + bias)·v per head; query head h uses kv head
    /// h·kv_heads/heads. A bias `[1, tk]` is that of all queries. A bias of −∞ counts as the lowest finite number: a
    /// query with nothing but those weighs all keys alike. Causal: key j is seen by query i when i − window < j ≤ i and `valid[j]` ≠ 0; a query that sees
    /// nothing gives zeros. There are as many queries as keys, or `(.., window, place [1] i32)` says where the first one
    /// stands among the keys: query i then counts as `place` + i. Or `(.., window, until [tq] i32)`, of more than one query, has
    /// the last key that each sees in place of itself, i − window < j ≤ `until[i]`; `until` never falls.
    Attention "attention" { heads: usize, kv_heads: usize, scale: f32, causal: bool }
    /// `(t [n])` → `[n, 2·half]`: cos then sin of t·exp(−ln(10000)·i/half), exponents
    /// and angles as f32 numbers (docs/model/transformer.md 5).
    Sinusoid "sinusoid" { half: usize }
    /// `(x [n, d], mask [n] i32)`: rows with mask 0 become zeros (selected, not multiplied).
    MaskRows "mask_rows" {}
    /// `(x [n, d], mask [n] i32, registers [r, d])`: the rows with mask ≠ 0 first, in order; after them row p is
    /// `registers[p % r]` (docs/model/text.md 4).
    PlaceRegisters "place_registers" {}
    /// `(x [s.., cin], w [cout, k.., cin], bias [cout]?)` over one to three space axes. `pads` holds (before,
    /// after) per axis; with `replicate` the first axis repeats its edge, all else is zeros. `stride` and
    /// `dilation` are those of the last axis.
    Conv "conv" { pads: Vec<usize>, replicate: bool, stride: usize, dilation: usize }
    /// `(x [l, cin], w [cin, cout, k], bias [cout])` → `[(l − 1)·stride − 2·pad + k, cout]`.
    ConvTranspose "conv_transpose" { stride: usize, pad: usize }
    /// `(x [t, h, w, c·st·sh·sw])` → `[t·st − drop, h·sh, w·sw, c]`; channel ((c·st + a)·sh + b)·sw + d goes to
    /// offset (a, b, d); the first `drop` frames are left out.
    DepthToSpace "depth_to_space" { st: usize, sh: usize, sw: usize, drop: usize }
    /// `(x [t, h, w, c·p·p])` → `[t, h·p, w·p, c]`; channel c·p² + column·p + row: the column offset is the slower
    /// one (docs/model/video-vae.md 4).
    Unpatchify "unpatchify" { patch: usize }
    /// `(x [t, h, w, c])` → `[(t + repeat)/st, h/sh, w/sw, c·st·sh·sw]`, the inverse of `depth_to_space`: offset (a, b, d)
    /// goes to channel ((c·st + a)·sh + b)·sw + d. The first frame stands `repeat` more times in front of itself.
    SpaceToDepth "space_to_depth" { st: usize, sh: usize, sw: usize, repeat: usize }
    /// `(x [c, t, h, w])` → `[t, h/p, w/p, c·p·p]`: the planes of a video; channels as in `unpatchify`.
    Patchify "patchify" { patch: usize }
    /// `(x [.., c·size])` → `[.., c]`: the mean of every `size` channels in a row.
    GroupMean "group_mean" { size: usize }
    /// `(x [t, h, w, 3])` → `[t, 3h/2, w]`: RGB in 0..1 becomes the planes of 4:2:0, luma over blue over red
    /// difference, BT.709 in limited range: lines 0 to h − 1 of a frame are luma, and each line behind them holds two
    /// of a chroma plane, whose numbers are means of 2×2 pixels (docs/model/pipelines.md 2.6).
    Yuv420 "yuv420" {}
    /// `(x [h, w, c])` → `[2h, 2w, c]`, nearest.
    Upsample "upsample" {}
    /// `(x [l, c], filter [k])`: edges repeated `pad` times, depthwise transposed convolution, times `ratio`, then
    /// `crop_left` and `crop_right` samples dropped (docs/model/audio.md 8, 9).
    FilterUp "filter_up" { ratio: usize, pad: usize, crop_left: usize, crop_right: usize }
    /// `(x [l, c], filter [k])`: edges repeated, depthwise convolution with a stride.
    FilterDown "filter_down" { stride: usize, pad_left: usize, pad_right: usize }
    /// `(x [t, h, w, c], filter [k, k])`, k odd → `[t, ⌈h/stride⌉, ⌈w/stride⌉, c]`: k/2 zeros around every frame, depthwise
    /// convolution with a stride along both axes (docs/model/upsampler.md 3.2).
    BlurDown "blur_down" { stride: usize }
    /// `(x [l, c], alpha [c], beta [c])`: x + sin²(x·e^α)/(e^β + 1e-9).
    Snake "snake" {}
    /// `(seed [2] i32)` → `shape`: standard normal numbers of stream `stream` (Philox4x32-10, Box-Muller); the seed
    /// is the low and the high word of 64 bits.
    Normal "normal" { stream: usize, shape: Vec<usize> }
    /// `(x [n, rows, d], y [1, d], entry [1] i32, row [1] i32)`: x with that row of that entry replaced by y.
    PutRow "put_row" {}
    /// `(x)`: the same elements in row-major order under another shape. A view.
    Reshape "reshape" { shape: Vec<usize> }
    /// `(x)`: `len` entries of one axis from `start`. A view.
    Slice "slice" { axis: usize, start: usize, len: usize }
    /// `(x)`, in a loop with one iteration for every entry of the first axis of x: the entry of the current iteration.
    /// A view.
    Iteration "iteration" {}
    /// `(x)`: axis i of the result is axis `axes[i]` of x.
    Permute "permute" { axes: Vec<usize> }
    /// `(x, y, ..)`: joined along the first axis.
    Concat "concat" {}
    /// `(x)`: x, in a place of its own.
    Copy "copy" {}
}

impl Op {
    /// True when the op as a pattern stands for `other`: the same op, and the same function where the function is
    /// what a kernel is made for. All other attributes are free and bound by the match.
    pub fn stands_for(&self, other: &Op) -> bool {
        match (self, other) {
            (Op::Unary { f: a }, Op::Unary { f: b }) => a == b,
            (Op::Binary { f: a }, Op::Binary { f: b }) => a == b,
            (Op::Attention { causal: a, .. }, Op::Attention { causal: b, .. }) => a == b,
            _ => self.name() == other.name(),
        }
    }

    /// True for an attribute that [`Op::stands_for`] compares: what a kernel is made for and named after.
    pub fn pins(&self, field: &str) -> bool {
        match self {
            Op::Unary { .. } | Op::Binary { .. } => true,
            Op::Attention { .. } => field == "causal",
            _ => false,
        }
    }

    /// True when the operands may be exchanged.
    pub fn commutes(&self) -> bool {
        matches!(self, Op::Binary { f: BinaryFn::Add | BinaryFn::Mul })
    }

    /// True when the result is another look at the operand's memory.
    pub fn is_view(&self) -> bool {
        matches!(self, Op::Reshape { .. } | Op::Slice { .. } | Op::Iteration {})
    }

    /// The name with the function, for text forms: `unary` says nothing, `silu` does.
    pub fn label(&self) -> &'static str {
        match self {
            Op::Unary { f } => f.name(),
            Op::Binary { f } => f.name(),
            _ => self.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_survive_the_flat_form() {
        let ops = [
            Op::Unary { f: UnaryFn::Gelu },
            Op::RmsNorm { eps: 1e-6, offset: 1.0, groups: 4 },
            Op::Conv { pads: vec![1, 1, 0, 2], replicate: true, stride: 1, dilation: 3 },
            Op::Cast { to: Dtype::Bf16 },
            Op::Decode { kept: Kept::Q4_K, columns: 512 },
            Op::Linear {},
        ];
        for op in ops {
            assert_eq!(Op::rebuild(op.name(), &op.attrs()), Some(op));
        }
        assert_eq!(Op::rebuild("linear", &[Attr::Int(1)]), None);
        assert_eq!(Op::rebuild("no_such_op", &[]), None);
    }

    #[test]
    fn a_pattern_pins_functions_and_frees_numbers() {
        let gelu = Op::Unary { f: UnaryFn::Gelu };
        assert!(!gelu.stands_for(&Op::Unary { f: UnaryFn::Silu }));
        let norm = |eps| Op::RmsNorm { eps, offset: 0.0, groups: 1 };
        assert!(norm(0.0).stands_for(&norm(1e-6)));
    }
}
