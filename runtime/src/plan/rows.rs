//! Short constructors for the emitted tables: one line a row.

use super::{
    Adapter, Arch, Base, Buffer, Call, Constant, Dtype, Fetch, Function, Kept, Launch, Layout, Lifetime, Map,
    Member, Number, Operand, Origin, Part, Placement, Port, Role, Source, Text,
};
use std::borrow::Cow;

pub const F32: Dtype = Dtype::F32;
pub const BF16: Dtype = Dtype::Bf16;
pub const I32: Dtype = Dtype::I32;
pub const U8: Dtype = Dtype::U8;
pub const FP8: Kept = Kept::Fp8;
pub const Q8_0: Kept = Kept::Q8_0;
pub const Q4_K: Kept = Kept::Q4_K;

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

/// An operand in the constant that the iteration's row names in `column`.
pub const fn column(column: u32, offset: u64, dtype: Dtype, shape: Dims, row_stride: u32) -> Operand {
    operand(Base::Column(column), offset, 0, dtype, shape, row_stride)
}

/// One part of a launch.
pub const fn part(
    reads: &'static [Operand],
    write: Operand,
    in_place: Option<u32>,
    flops: u64,
    bytes: u64,
    path: &'static str,
) -> Part {
    Part { reads: Cow::Borrowed(reads), write, in_place, path: Cow::Borrowed(path), flops, bytes }
}

/// One launch.
pub const fn launch(kernel: u32, queue: u8, waits: &'static [u32], parts: &'static [Part]) -> Launch {
    Launch { kernel, queue, waits: Cow::Borrowed(waits), parts: Cow::Borrowed(parts) }
}

/// Streamed weights of one iteration.
pub const fn fetch(after: u32, iteration: u32, bytes: u64, constants: &'static [u32]) -> Fetch {
    Fetch { after, iteration, constants: Cow::Borrowed(constants), bytes }
}

/// A kernel with its attributes, as numbers and as text.
pub const fn kernel(name: &'static str, attrs_text: &'static str, attrs: &'static [Number]) -> super::Kernel {
    super::Kernel {
        name: Cow::Borrowed(name),
        attrs: Cow::Borrowed(attrs),
        attrs_text: Cow::Borrowed(attrs_text),
    }
}

/// Tensors of a model file.
pub const fn weight(
    source: Source,
    tensors: &'static [(Text, u32)],
    dtype: Dtype,
    shape: Dims,
    name: &'static str,
) -> Constant {
    from_file(source, tensors, Layout::Plain, dtype, shape, name)
}

/// Tensors of a model file whose second axis is the last one here.
pub const fn filters(
    source: Source,
    tensors: &'static [(Text, u32)],
    dtype: Dtype,
    shape: Dims,
    name: &'static str,
) -> Constant {
    from_file(source, tensors, Layout::ChannelsLast, dtype, shape, name)
}

/// Matrices of a model file whose rows stay encoded.
pub const fn encoded(
    source: Source,
    tensors: &'static [(Text, u32)],
    (kept, columns): (Kept, u32),
    dtype: Dtype,
    shape: Dims,
    name: &'static str,
) -> Constant {
    from_file(source, tensors, Layout::Encoded { kept, columns }, dtype, shape, name)
}

const fn from_file(
    source: Source,
    tensors: &'static [(Text, u32)],
    layout: Layout,
    dtype: Dtype,
    shape: Dims,
    name: &'static str,
) -> Constant {
    let origin = Origin::Weight { source, tensors: Cow::Borrowed(tensors), layout };
    Constant { name: Cow::Borrowed(name), dtype, shape: Cow::Borrowed(shape), origin }
}

/// A tensor and the extent of its first axis.
pub const fn tensor(name: &'static str, rows: u32) -> (Text, u32) {
    (Cow::Borrowed(name), rows)
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
    role: Role,
    slot: Option<&'static str>,
) -> Port {
    let slot = match slot {
        Some(slot) => Some(Cow::Borrowed(slot)),
        None => None,
    };
    Port { name: Cow::Borrowed(name), offset, dtype, shape: Cow::Borrowed(shape), role, slot }
}

/// Room for adapters.
pub const fn adapter(slot: u8, strength: f32, rank: Option<u32>) -> Adapter {
    Adapter { slot, strength, rank }
}

/// An architecture.
pub const fn arch(name: &'static str, serves: &'static [(u32, u32)]) -> Arch {
    Arch { name: Cow::Borrowed(name), serves: Cow::Borrowed(serves) }
}

/// A function of machine code.
pub const fn function(
    symbol: &'static str,
    threads: u32,
    shared: u32,
    argument_bytes: u32,
    strides: bool,
    key: &'static str,
) -> Function {
    Function {
        symbol: Cow::Borrowed(symbol),
        key: Cow::Borrowed(key),
        threads,
        shared,
        argument_bytes,
        strides,
    }
}

/// A launch as a driver takes it; `maps` are where its tensor maps begin, and how many there are.
pub const fn call(function: u32, blocks: u32, argument: u64, maps: (u32, u32)) -> Call {
    Call { function, blocks, argument, maps }
}

/// A tensor map.
pub const fn map(at: u32, operand: u32, extents: [u64; 2], stride: u64, tile: [u32; 2]) -> Map {
    Map { at, operand, extents, stride, tile }
}

/// A plan of a suite.
pub const fn member(plan: &'static str, constants: &'static [u32], phases: &'static [Placement]) -> Member {
    Member { plan: Cow::Borrowed(plan), constants: Cow::Borrowed(constants), phases: Cow::Borrowed(phases) }
}

/// The constants of a phase in the memory of a suite.
pub const fn placement(
    places: &'static [u64],
    kept: &'static [u32],
    weight_bytes: u64,
    table_bytes: u64,
) -> Placement {
    Placement { places: Cow::Borrowed(places), kept: Cow::Borrowed(kept), weight_bytes, table_bytes }
}
