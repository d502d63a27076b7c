//! What a recorded forward pass is: values, statements in spec order, loops with one body.

use zoetrope_encodings::Kept;

use super::{Dtype, Layout, Op, Role};

/// A value of a [`Graph`]: an index into [`Graph::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub u32);

impl Value {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which file a weight comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    Checkpoint,
    TextEncoder,
    /// The spatial x2 one.
    SpatialUpscaler,
    SpatialUpscalerX1_5,
    TemporalUpscaler,
    /// The adapters in the slot of this number.
    Adapter(u8),
    /// The checkpoint with the adapters of this slot merged into it.
    Merged(u8),
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Source::Checkpoint => "checkpoint",
            Source::TextEncoder => "text-encoder",
            Source::SpatialUpscaler => "spatial-upscaler",
            Source::SpatialUpscalerX1_5 => "spatial-upscaler-x1.5",
            Source::TemporalUpscaler => "temporal-upscaler",
            Source::Adapter(_) => "adapter",
            Source::Merged(_) => "checkpoint with adapters",
        }
    }
}

/// A tensor of a model file: its name there, and the extent of its first axis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tensor {
    pub name: String,
    pub rows: usize,
}

/// Elements known at build time, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    Real(Vec<f32>),
    Int(Vec<i32>),
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Def {
    /// Written by the host before the phase, or before every iteration of the enclosing run-time loop, as its role says;
    /// or by an earlier phase.
    Input(Role),
    /// Tensors of a model file, one after the other along the first axis (usually one), converted to the value's
    /// dtype at load. In a loop the names hold one `*` each, which stands for the iteration; `first` is the number
    /// of iteration 0. `keep` is what a matrix of a linear layer is to stay in, if whatever reads it can decode it.
    Weight { source: Source, tensors: Vec<Tensor>, first: usize, layout: Layout, keep: Option<Kept> },
    /// Known at build time.
    Constant(Constant),
    /// The constant of the current iteration: one value per iteration of the enclosing loop.
    PerIteration(Vec<Value>),
    /// Made by an op statement.
    Op,
    /// The state of a loop as its body sees it at the start of an iteration, or as the loop leaves it.
    Carried,
    /// The values of all iterations of a loop, stacked along a new first axis.
    Collected,
}

/// What is known of a value before anything runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// The model's path, as the checkpoint spells it.
    pub path: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub def: Def,
}

impl Info {
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.bytes()
    }

    /// The shape that a tensor of this weight has in its file.
    pub fn file_shape(&self, tensor: &Tensor) -> Vec<usize> {
        let mut shape = [&[tensor.rows], &self.shape[1..]].concat();
        match self.def {
            Def::Weight { layout: Layout::ChannelsLast, .. } => shape[1..].rotate_right(1),
            Def::Weight { layout: Layout::Encoded { columns, .. }, .. } => shape = vec![tensor.rows, columns],
            _ => {}
        }
        shape
    }
}

/// One op applied to values.
#[derive(Clone, Debug, PartialEq)]
pub struct OpStmt {
    pub op: Op,
    pub inputs: Vec<Value>,
    pub output: Value,
}

/// How often a loop runs its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Decided at build time.
    Fixed(usize),
    /// The host says when it replays: the denoising steps.
    Runtime,
}

/// One piece of a loop's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The value before the loop.
    pub init: Value,
    /// What the body reads.
    pub inner: Value,
    /// What the body leaves for the next iteration.
    pub next: Value,
    /// The value after the loop.
    pub result: Value,
}

/// A value of the body kept from every iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collected {
    pub value: Value,
    pub stack: Value,
}

/// One body, executed `count` times.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    pub name: String,
    pub count: Count,
    pub carried: Vec<Carried>,
    pub collected: Vec<Collected>,
    pub body: Vec<Stmt>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Stmt {
    Op(OpStmt),
    Loop(Loop),
}

/// A named result, in the shape it has towards the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    pub name: String,
    pub value: Value,
    pub role: Role,
}

/// A recorded phase.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Graph {
    pub name: String,
    pub values: Vec<Info>,
    pub body: Vec<Stmt>,
    pub outputs: Vec<Output>,
    /// Every name that [`super::Builder::tap`] offered, in order, requested or not.
    pub tap_names: Vec<String>,
    /// What passes changed, and why.
    pub notes: Vec<Note>,
}

/// What a pass did at a place in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub path: String,
    pub text: String,
}

impl Graph {
    pub fn info(&self, value: Value) -> &Info {
        &self.values[value.index()]
    }

    /// All values with their definitions, in order of birth.
    pub fn iter(&self) -> impl Iterator<Item = (Value, &Info)> {
        self.values.iter().enumerate().map(|(i, info)| (Value(i as u32), info))
    }

    /// Inputs in the order they were declared.
    pub fn inputs(&self) -> impl Iterator<Item = (Value, &Info)> {
        self.iter().filter(|(_, info)| matches!(info.def, Def::Input { .. }))
    }

    /// Every op statement with its loop depth, in spec order.
    pub fn statements(&self) -> Vec<(usize, &OpStmt)> {
        fn walk<'a>(body: &'a [Stmt], depth: usize, out: &mut Vec<(usize, &'a OpStmt)>) {
            for stmt in body {
                match stmt {
                    Stmt::Op(op) => out.push((depth, op)),
                    Stmt::Loop(inner) => walk(&inner.body, depth + 1, out),
                }
            }
        }
        let mut out = Vec::new();
        walk(&self.body, 0, &mut out);
        out
    }
}
