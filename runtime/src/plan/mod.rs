//! The plan: the contract between the compiler, which writes it, and the runtime, which replays it.
//!
//! Everything here can stand in a `static`: the emitted tables borrow, a plan compiled in memory owns.
//! The meaning of every field is written down in docs/plan-format.md.

#[cfg(feature = "cpu")]
mod attrs;
mod code;
mod constant;
mod facts;
mod print;
mod role;
pub mod rows;
mod source;
mod suite;

pub use code::{
    ARGUMENT_HEADER, ARGUMENT_OPERAND, ARGUMENT_PARTS, Arch, Call, Code, Function, MAP_ALIGN, MAP_BYTES, Map,
};
pub use constant::{Constant, Identity, Layout, Origin};
pub use facts::{Facts, Footprint};
pub use print::{Detail, bytes_text, flops_text, memory_text};
pub use role::{Adapter, Levels, Role, Schedule, Solver};
pub use source::Source;
pub use suite::{Member, Placed, Placement, Suite};
pub use zoetrope_encodings::Kept;

use std::borrow::Cow;
use std::collections::BTreeSet;

/// A list that is either static or owned.
pub type List<T> = Cow<'static, [T]>;
/// Text that is either static or owned.
pub type Text = Cow<'static, str>;

/// How elements are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    F32,
    Bf16,
    I32,
    U8,
}

impl Dtype {
    /// Bytes of one element.
    pub const fn bytes(self) -> u64 {
        match self {
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::Bf16 => 2,
            Dtype::U8 => 1,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::Bf16 => "bf16",
            Dtype::I32 => "i32",
            Dtype::U8 => "u8",
        }
    }
}

/// One attribute of a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Int(i64),
    Real(f32),
}

/// A kernel as this plan uses it: a family with its attributes bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// The declaration's name.
    pub name: Text,
    /// The attributes of the ops of its meaning, one list after the other.
    pub attrs: List<Number>,
    /// Those that are not part of the name, for people, each with the name that it is declared under:
    /// `eps=1e-6 groups=16`.
    pub attrs_text: Text,
}

/// What an operand's offset counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Arena,
    /// A constant, by its place in [`Plan::constants`].
    Constant(u32),
    /// In a loop: the constant that the row of the current iteration names in this column.
    Column(u32),
}

/// A view of memory: rows of contiguous elements, `row_stride` elements apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    pub base: Base,
    /// Bytes from the base.
    pub offset: u64,
    /// Bytes added with every iteration of the enclosing loop.
    pub step: u64,
    pub dtype: Dtype,
    pub shape: List<u32>,
    pub row_stride: u32,
}

impl Operand {
    pub fn rows(&self) -> u64 {
        self.shape.iter().rev().skip(1).map(|d| u64::from(*d)).product()
    }

    pub fn cols(&self) -> u64 {
        self.shape.last().copied().map_or(1, u64::from)
    }

    /// Bytes from the first element to the end of the last.
    pub fn extent(&self) -> u64 {
        let rows = self.rows();
        if rows == 0 {
            0
        } else {
            ((rows - 1) * u64::from(self.row_stride) + self.cols()) * self.dtype.bytes()
        }
    }
}

/// One result of a launch and what it is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub reads: List<Operand>,
    pub write: Operand,
    /// The operand that the result is written over.
    pub in_place: Option<u32>,
    /// The path in the model.
    pub path: Text,
    pub flops: u64,
    pub bytes: u64,
}

/// One launch: a kernel on one part, or on several that do not depend on each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// By place in [`Plan::kernels`].
    pub kernel: u32,
    /// Launches of one queue run one after the other, those of different queues side by side.
    pub queue: u8,
    /// Launches of other queues that must be done before this one begins. An iteration of a loop, and everything outside loops
    /// that stands before or behind one, waits for all queues.
    pub waits: List<u32>,
    pub parts: List<Part>,
}

impl Launch {
    pub fn flops(&self) -> u64 {
        self.parts.iter().map(|p| p.flops).sum()
    }

    /// Bytes of all operands and results, each once.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|p| p.bytes).sum()
    }

    /// The path in the model of its first part.
    pub fn path(&self) -> &str {
        self.parts.first().map_or("", |p| &p.path)
    }
}

/// One body of launches and a row of constants per iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    pub name: Text,
    pub count: u32,
    pub columns: u32,
    /// `count` rows of `columns` constants.
    pub rows: List<u32>,
    pub body: List<Launch>,
    /// Weights that are not there all the time; empty without a memory budget.
    pub fetches: List<Fetch>,
}

/// Streamed weights: constants that share their places with those of other iterations are brought there in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetch {
    /// Begins when this iteration of the loop has ended; [`Fetch::AT_ONCE`] when the phase begins.
    pub after: u32,
    /// The iteration that reads them; it waits for them.
    pub iteration: u32,
    pub constants: List<u32>,
    pub bytes: u64,
}

impl Fetch {
    pub const AT_ONCE: u32 = u32::MAX;
}

#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Launch(Launch),
    Loop(Loop),
}

/// How often a segment runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Once after the weights are there; what depends on them alone.
    Load,
    /// Once per replay of the phase.
    Once,
    /// As often as the host says: the denoising steps.
    Steps,
}

/// A straight run of items; between two turns of segments the host gets control.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    pub name: Text,
    pub repeat: Repeat,
    pub items: List<Item>,
}

/// A named place that the host reads or writes. Contiguous in the arena.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub name: Text,
    pub offset: u64,
    pub dtype: Dtype,
    pub shape: List<u32>,
    /// What it is to the host. Where an earlier phase fills an input, that is what the host may write instead.
    pub role: Role,
    /// Filled by an earlier phase of the plan (inputs), or read by a later one (outputs): the slot's name.
    pub slot: Option<Text>,
}

impl Port {
    pub fn bytes(&self) -> u64 {
        self.shape.iter().map(|d| u64::from(*d)).product::<u64>() * self.dtype.bytes()
    }
}

/// Why a buffer is there and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifetime {
    /// Made from weights alone, once per load.
    Derived,
    /// Survives the end of a turn: the state of the steps, and what one phase leaves for another.
    State,
    /// Written or read by the host.
    Io,
    /// Inside a segment.
    Scratch,
}

impl Lifetime {
    pub const fn name(self) -> &'static str {
        match self {
            Lifetime::Derived => "derived",
            Lifetime::State => "state",
            Lifetime::Scratch => "scratch",
            Lifetime::Io => "io",
        }
    }
}

/// A placed buffer: `offset..offset + bytes` of the arena belongs to it from launch `first` to launch `last`.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    pub name: Text,
    pub offset: u64,
    pub bytes: u64,
    /// Launches are numbered through the whole plan, a loop's body once.
    pub first: u32,
    pub last: u32,
    pub lifetime: Lifetime,
}

/// A stretch of the run with its own resident weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    pub name: Text,
    /// Number of its first launch.
    pub first: u32,
    pub segments: List<Segment>,
    pub inputs: List<Port>,
    pub outputs: List<Port>,
    /// Its steps; `None` where it has none.
    pub schedule: Option<Schedule>,
    /// Room for adapters beside its weights.
    pub adapter: Option<Adapter>,
    /// The image of the request without which the phase does not run. Its outputs are then zeros.
    pub image: Option<u32>,
    /// Constants that it reads, ascending.
    pub constants: List<u32>,
    /// Where each of them lies in memory. Streamed ones share places.
    pub places: List<u64>,
    /// Constants that it does not read and that stay where they are, from an earlier phase for a later one; ascending.
    pub kept: List<u32>,
    /// Memory that weights take while the phase runs: those that stay through it, its own or kept for a later
    /// phase, and the places of streamed ones.
    pub weight_bytes: u64,
    /// Memory that folded tables take while the phase runs.
    pub table_bytes: u64,
    /// The end of the highest buffer that lives in it.
    pub arena_bytes: u64,
    /// The largest sum of live bytes at any of its launches: no placement needs less.
    pub lower_bound_bytes: u64,
}

/// A compiled target.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub name: Text,
    /// The compiler's version and the hashes of what went in.
    pub made_by: Text,
    pub facts: Facts,
    pub kernels: List<Kernel>,
    pub constants: List<Constant>,
    pub tables: List<u8>,
    pub phases: List<Phase>,
    pub buffers: List<Buffer>,
    /// The largest arena of a phase. Memory begins with the arena; constants lie behind what a phase needs of it.
    pub arena_bytes: u64,
    /// All memory, from the arena's first byte to the end of the highest constant. The largest sum of arena, weights
    /// and tables of a phase, unless constants that are kept leave a gap.
    pub peak_bytes: u64,
}

/// Alignment of every buffer in the arena, in bytes.
pub const ALIGN: u64 = 256;

impl Segment {
    /// Number of launches, a loop's body once.
    pub fn launches(&self) -> u32 {
        let of = |item: &Item| match item {
            Item::Launch(_) => 1,
            Item::Loop(l) => l.body.len() as u32,
        };
        self.items.iter().map(of).sum()
    }
}

impl Loop {
    /// Iterations whose weights are fetched, ascending.
    pub fn streamed(&self) -> BTreeSet<u32> {
        self.fetches.iter().map(|f| f.iteration).collect()
    }
}

impl Plan {
    /// What its weights come from, in the order of [`Source`].
    pub fn sources(&self) -> BTreeSet<Source> {
        let of = |constant: &Constant| match constant.origin {
            Origin::Weight { source, .. } => Some(source),
            Origin::Table { .. } => None,
        };
        self.constants.iter().filter_map(of).collect()
    }

    /// What its weights stay encoded in.
    pub fn kept(&self) -> BTreeSet<Kept> {
        self.constants.iter().filter_map(Constant::kept).collect()
    }

    /// What a run leaves for the host beside what phases leave for each other.
    pub fn results(&self) -> Vec<Role> {
        let leaves = |role: &Role| {
            self.phases.iter().flat_map(|phase| phase.outputs.iter()).any(|port| port.role == *role)
        };
        [Role::Video, Role::Waveform, Role::Preview].into_iter().filter(leaves).collect()
    }

    pub fn phase(&self, name: &str) -> Option<&Phase> {
        self.phases.iter().find(|p| p.name == name)
    }
}

impl Phase {
    /// All launches in order, a loop's body once, with the loop they stand in.
    pub fn launches(&self) -> impl Iterator<Item = (&Launch, Option<&Loop>)> {
        self.segments.iter().flat_map(|s| s.items.iter()).flat_map(|item| {
            let (alone, inner) = match item {
                Item::Launch(launch) => (Some((launch, None)), None),
                Item::Loop(l) => (None, Some(l)),
            };
            let body = inner.into_iter().flat_map(|l| l.body.iter().map(move |launch| (launch, Some(l))));
            alone.into_iter().chain(body)
        })
    }

    /// Whether a run may do without it: it runs for requests with an image, or for those of a better prompt.
    pub fn is_optional(&self) -> bool {
        self.image.is_some() || self.writes()
    }

    /// Whether it is one of those in which the text encoder writes a better prompt.
    pub fn writes(&self) -> bool {
        self.inputs.iter().any(|port| matches!(port.role, Role::Chat | Role::ChatImage | Role::Token))
    }

    /// Where a constant that it reads lies.
    pub fn place(&self, constant: u32) -> Option<u64> {
        let i = self.constants.binary_search(&constant).ok()?;
        self.places.get(i).copied()
    }

    /// Arena, weights and tables while the phase runs.
    pub fn peak_bytes(&self) -> u64 {
        self.arena_bytes + self.weight_bytes + self.table_bytes
    }

    /// Every fetch of the phase, with its loop.
    pub fn fetches(&self) -> impl Iterator<Item = (&Loop, &Fetch)> {
        let loops = self.segments.iter().flat_map(|s| s.items.iter()).filter_map(|item| match item {
            Item::Loop(l) => Some(l),
            Item::Launch(_) => None,
        });
        loops.flat_map(|l| l.fetches.iter().map(move |f| (l, f)))
    }
}
