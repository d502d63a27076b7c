//! Short constructors for the emitted tables: one line a row.

use super::{Base, Buffer, Constant, Dtype, Launch, Lifetime, Number, Operand, Origin, Port, Source};
use std::borrow::Cow;

pub const F32: Dtype = Dtype::F32;
pub const BF16: Dtype = Dtype::Bf16;
pub const I32: Dtype = Dtype::I32;

type Dims = &'static [u32];

const fn operand(base: Base, offset: u64, step: u64, dtype: Dtype, shape: Dims, row_stride: u32) -> Operand {
    Operand { base, offset, step, dtype, shape: Cow::Borrowed(shape), row_stride }
}

/// An operand in the arena.
pub const fn arena(offset: u64, step: u64, dtype: Dtype, shape: Dims, row_stride: u32) -> Operand {
    operand(Base::Arena, offset, step, dtype, shape, row_stride)
}

/// An operand in constant `number`.
pub const fn constant(number: u32, offset: u64, dtype: Dtype, shape: Dims, row_stride: u32) -> Operand {
    operand(Base::Constant(number), offset, 0, dtype, shape, row_stride)
}

/// An operand in the constant that the turn's row names in `column`.
pub const fn column(column: u32, offset: u64, dtype: Dtype, shape: Dims, row_stride: u32) -> Operand {
    operand(Base::Column(column), offset, 0, dtype, shape, row_stride)
}

/// One launch.
pub const fn launch(
    kernel: u32,
    reads: &'static [Operand],
    write: Operand,
    in_place: Option<u32>,
    flops: u64,
    bytes: u64,
    path: &'static str,
) -> Launch {
    Launch { kernel, reads: Cow::Borrowed(reads), write, in_place, path: Cow::Borrowed(path), flops, bytes }
}

/// A kernel with its attributes.
pub const fn kernel(name: &'static str, attrs: &'static [Number]) -> super::Kernel {
    super::Kernel { name: Cow::Borrowed(name), attrs: Cow::Borrowed(attrs) }
}

/// A tensor of a model file.
pub const fn weight(
    source: Source,
    tensor: &'static str,
    dtype: Dtype,
    shape: Dims,
    name: &'static str,
) -> Constant {
    let origin = Origin::Weight { source, tensor: Cow::Borrowed(tensor) };
    Constant { name: Cow::Borrowed(name), dtype, shape: Cow::Borrowed(shape), origin }
}

/// A folded table.
pub const fn table(offset: u64, dtype: Dtype, shape: Dims, name: &'static str) -> Constant {
    Constant {
        name: Cow::Borrowed(name),
        dtype,
        shape: Cow::Borrowed(shape),
        origin: Origin::Table { offset },
    }
}

/// A placed buffer.
pub const fn buffer(
    offset: u64,
    bytes: u64,
    first: u32,
    last: u32,
    lifetime: Lifetime,
    name: &'static str,
) -> Buffer {
    Buffer { name: Cow::Borrowed(name), offset, bytes, first, last, lifetime }
}

/// A port.
pub const fn port(
    name: &'static str,
    offset: u64,
    dtype: Dtype,
    shape: Dims,
    per_step: bool,
    slot: Option<&'static str>,
) -> Port {
    let slot = match slot {
        Some(slot) => Some(Cow::Borrowed(slot)),
        None => None,
    };
    Port { name: Cow::Borrowed(name), offset, dtype, shape: Cow::Borrowed(shape), per_step, slot }
}
