//! The Schedule level: launches in order, values as buffers with live ranges, but no addresses yet.

use std::fmt;

use zoetrope_kernels::Meaning;
use zoetrope_model_spec::lang::{Constant, Count, Dtype, Layout, Role, Source, Tensor};
use zoetrope_model_spec::ltx::recipe::Adapter;
use zoetrope_model_spec::ltx::schedule::Schedule as Steps;

use zoetrope_runtime::plan::{Lifetime, Repeat};

/// Memory that holds one value after another, from launch `first` to launch `last`.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    pub name: String,
    pub bytes: u64,
    pub first: usize,
    pub last: usize,
    pub lifetime: Lifetime,
}

/// Where a constant comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    Weight { source: Source, tensors: Vec<Tensor>, layout: Layout },
    Table(Constant),
}

#[derive(Clone, Debug, PartialEq)]
pub struct SharedConstant {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Buffer(usize),
    Constant(usize),
    Column(usize),
}

/// A view of a buffer or constant: byte offset, rows `row_stride` elements apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    pub base: Base,
    pub offset: u64,
    /// Bytes added with every iteration of the enclosing loop.
    pub step: u64,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub row_stride: usize,
}

impl Access {
    pub fn bytes(&self) -> u64 {
        (self.shape.iter().product::<usize>() * self.dtype.bytes()) as u64
    }
}

/// One result of a launch and what it is made of.
#[derive(Clone, Debug)]
pub struct Part {
    pub reads: Vec<Access>,
    pub write: Access,
    pub in_place: Option<usize>,
    pub path: String,
    pub flops: u64,
}

/// One kernel on one part, or on several that do not depend on each other.
#[derive(Clone, Debug)]
pub struct Launch {
    pub kernel: &'static str,
    pub meaning: Meaning,
    /// Launches of one queue run one after the other, those of different queues side by side.
    pub queue: u8,
    /// Launches of other queues, of the same run of launches or iteration of a loop, that must be done before.
    pub waits: Vec<usize>,
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub struct Loop {
    pub name: String,
    pub count: usize,
    /// One list of constants per iteration.
    pub rows: Vec<Vec<usize>>,
    pub body: Vec<Launch>,
}

#[derive(Clone, Debug)]
pub enum Item {
    Launch(Box<Launch>),
    Loop(Loop),
}

#[derive(Clone, Debug)]
pub struct Segment {
    pub name: String,
    pub repeat: Repeat,
    pub items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub name: String,
    pub buffer: usize,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub role: Role,
    pub slot: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Phase {
    pub name: String,
    /// Number of its first launch, and one past its last.
    pub first: usize,
    pub end: usize,
    pub segments: Vec<Segment>,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    pub steps: Option<Steps>,
    pub adapter: Option<(u8, Adapter)>,
    pub image: Option<usize>,
}

/// All phases of a program on one time line.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    pub phases: Vec<Phase>,
    pub buffers: Vec<Buffer>,
    pub constants: Vec<SharedConstant>,
}

impl Segment {
    /// Every launch in order, a loop's body once.
    pub fn launches(&self) -> Vec<&Launch> {
        let mut out = Vec::new();
        for item in &self.items {
            match item {
                Item::Launch(launch) => out.push(launch.as_ref()),
                Item::Loop(l) => out.extend(&l.body),
            }
        }
        out
    }
}

impl Phase {
    /// Every launch with its number and, in a loop, the loop and the number of its first launch.
    pub fn launches(&self) -> Vec<(usize, &Launch, Option<&Loop>)> {
        let mut out = Vec::new();
        let mut number = self.first;
        for item in self.segments.iter().flat_map(|s| &s.items) {
            match item {
                Item::Launch(l) => {
                    out.push((number, l.as_ref(), None));
                    number += 1;
                }
                Item::Loop(inner) => {
                    out.extend(inner.body.iter().enumerate().map(|(i, l)| (number + i, l, Some(inner))));
                    number += inner.body.len();
                }
            }
        }
        out
    }
}

/// `x3`, or `x steps`.
pub fn count_text(count: Count) -> String {
    match count {
        Count::Fixed(n) => format!("x{n}"),
        Count::Runtime => "x steps".to_string(),
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base {
            Base::Buffer(b) => write!(f, "b{b}"),
            Base::Constant(c) => write!(f, "c{c}"),
            Base::Column(c) => write!(f, "row.{c}"),
        }?;
        if self.offset > 0 {
            write!(f, "+{}", self.offset)?;
        }
        if self.step > 0 {
            write!(f, "+{}*iteration", self.step)?;
        }
        let dims: Vec<_> = self.shape.iter().map(usize::to_string).collect();
        write!(f, ":{}[{}]", self.dtype, dims.join(","))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, b) in self.buffers.iter().enumerate() {
            writeln!(f, "b{i} [{}, {}] {} bytes {} {}", b.first, b.last, b.bytes, b.lifetime.name(), b.name)?;
        }
        for phase in &self.phases {
            writeln!(f, "phase {} [{}, {})", phase.name, phase.first, phase.end)?;
            let mut launches = phase.launches().into_iter();
            for segment in &phase.segments {
                writeln!(f, "  segment {} {:?}", segment.name, segment.repeat)?;
                for item in &segment.items {
                    let (lines, pad) = match item {
                        Item::Launch(_) => (1, "    "),
                        Item::Loop(l) => {
                            writeln!(f, "    loop {} x{}", l.name, l.count)?;
                            (l.body.len(), "      ")
                        }
                    };
                    for (number, launch, _) in launches.by_ref().take(lines) {
                        let kernel = launch.kernel;
                        let queue =
                            if launch.queue > 0 { format!(" queue {}", launch.queue) } else { String::new() };
                        for (i, part) in launch.parts.iter().enumerate() {
                            let reads: Vec<_> = part.reads.iter().map(Access::to_string).collect();
                            let head = if i == 0 {
                                format!("{number:>4} {kernel}{queue}")
                            } else {
                                "   +".to_string()
                            };
                            writeln!(f, "{pad}{head} {} -> {}   {}", reads.join(" "), part.write, part.path)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
