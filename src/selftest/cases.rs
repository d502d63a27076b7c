//! What the self-test launches: the declared cases of all kernels, as f32 and as bf16, and cases of full size.

use zoetrope_kernels::cuda::{Part, View};
use zoetrope_kernels::{Hidden, IntRange, Kernel, Meaning, OperandDecl, Ref, Sample, catalog};
use zoetrope_model_spec::lang::{BinaryFn, Def, Dtype, Info, Kept, Op, ShapeError, UnaryFn, flops, infer};

/// One launch.
#[derive(Clone)]
pub struct Case {
    /// The row of the table that it belongs to.
    pub name: String,
    pub kernel: &'static str,
    pub meaning: Meaning,
    pub reads: Vec<Read>,
    /// The shape of the result.
    pub write: Vec<usize>,
    /// How real numbers are stored.
    pub dtype: Dtype,
    /// How far the result may be from the CPU's, relative to its largest element.
    pub tolerance: f64,
    /// True where matrix instructions do the work.
    pub multiplies: bool,
    pub flops: u64,
    /// Read and written, every operand once.
    pub bytes: u64,
    pub compared: Compared,
}

/// An operand.
#[derive(Clone)]
pub struct Read {
    pub shape: Vec<usize>,
    pub dtype: Dtype,
    pub numbers: Range,
    /// True where its rows are those of the result, each read for that one alone.
    pub by_row: bool,
}

/// What an operand's numbers are drawn from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Range {
    Real,
    /// For functions that are not defined at zero and below it.
    Positive,
    /// With blocks of the lowest one.
    Hidden(Hidden),
    /// Whole numbers; of rows, which ones there are.
    Ints(IntRange),
    /// Rows of so many numbers that stay encoded.
    Encoded(Kept, usize),
}

/// How much of a result is computed again on the CPU.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    Whole,
    /// A few rows, from the first to the last.
    Rows,
    /// The last positions of every axis: of a convolution with three taps on each.
    Corner,
}

impl Case {
    /// Of attributes, shapes and integers that a kernel takes.
    ///
    /// # Errors
    /// They do not fit its meaning.
    ///
    /// # Panics
    /// When a card does not compute it: a mistake in a declaration.
    pub fn of(kernel: &Kernel, sample: Sample, dtype: Dtype) -> Result<Case, ShapeError> {
        let Sample { meaning, shapes, ints, hidden } = sample;
        let cuda = kernel.cuda.expect("a kernel with CUDA");
        let real = if wants_positive(&meaning) { Range::Positive } else { Range::Real };
        let read = |(i, decl): (usize, &OperandDecl)| {
            let (shape, ints) = (&shapes[i], ints[i]);
            let encoding = meaning.encoding(i);
            let numbers = match ints {
                Some(IntRange::RowsOf(of)) => Range::Ints(IntRange::Below(shapes[of][0] as i32)),
                Some(IntRange::Along(of, axis)) => Range::Ints(IntRange::Below(shapes[of][axis] as i32)),
                Some(ints) => Range::Ints(ints),
                None if encoding.is_some() => {
                    encoding.map_or(real, |(kept, columns)| Range::Encoded(kept, columns))
                }
                None => hidden.filter(|hidden| hidden.operand == i).map_or(real, Range::Hidden),
            };
            let dtype = match numbers {
                Range::Ints(_) => Dtype::I32,
                Range::Encoded(..) => Dtype::U8,
                _ => dtype,
            };
            let by_row = decl.axes.first() == kernel.writes.axes.first();
            Read { shape: shape.clone(), dtype, numbers, by_row }
        };
        let reads: Vec<Read> = kernel.reads.iter().enumerate().map(read).collect();
        let (write, flops) = result(&meaning, &shapes, dtype)?;
        let view = |shape: &[usize], dtype: Dtype| View {
            dtype,
            shape: shape.to_vec(),
            row_stride: shape.last().copied().unwrap_or(1),
            address: 0,
        };
        let part = Part {
            reads: reads.iter().map(|read| view(&read.shape, read.dtype)).collect(),
            write: view(&write, meaning.stores(dtype)),
        };
        let bytes = |shape: &[usize], dtype: Dtype| shape.iter().product::<usize>() * dtype.bytes();
        let read_bytes: usize = reads.iter().map(|read| bytes(&read.shape, read.dtype)).sum();
        Ok(Case {
            name: kernel.name.to_string(),
            kernel: kernel.name,
            // Both sides round to the storage, which may differ by one place.
            tolerance: match dtype {
                Dtype::Bf16 => cuda.tolerance.bf16 + 1.0 / 128.0,
                _ => cuda.tolerance.f32,
            },
            multiplies: (cuda.multiplies)(&meaning, &part),
            flops,
            bytes: (read_bytes + bytes(&write, part.write.dtype)) as u64,
            reads,
            write,
            dtype,
            compared: Compared::Whole,
            meaning,
        })
    }

    /// How the result is stored.
    pub fn stores(&self) -> Dtype {
        self.meaning.stores(self.dtype)
    }
}

/// The declared cases of the kernels that a card computes, as f32 and as bf16.
pub fn declared() -> Vec<Case> {
    let mut cases = Vec::new();
    for kernel in catalog().iter().filter(|kernel| kernel.cuda.is_some()) {
        for sample in kernel.samples() {
            let case = |dtype| Case::of(kernel, sample.clone(), dtype).expect("a declared case");
            cases.extend([Dtype::F32, Dtype::Bf16].map(case));
        }
    }
    cases
}

/// Operands are kept from zero and below it where a function wants that.
fn wants_positive(meaning: &Meaning) -> bool {
    let wants = |op: &Op| {
        matches!(op, Op::Unary { f: UnaryFn::Log | UnaryFn::Sqrt } | Op::Binary { f: BinaryFn::Div })
    };
    meaning.ops.iter().any(|op| wants(&op.op))
}

/// The shape of the result, and the operations of all ops.
fn result(meaning: &Meaning, shapes: &[Vec<usize>], dtype: Dtype) -> Result<(Vec<usize>, u64), ShapeError> {
    let info = |shape: Vec<usize>| Info { path: String::new(), dtype, shape, def: Def::Op };
    let operands: Vec<Info> = shapes.iter().map(|shape| info(shape.clone())).collect();
    let (mut made, mut total): (Vec<Info>, u64) = (Vec::new(), 0);
    for op in &meaning.ops {
        let inputs: Vec<&Info> = op
            .inputs
            .iter()
            .map(|r| match r {
                Ref::Operand(i) => &operands[*i],
                Ref::Inner(i) => &made[*i],
            })
            .collect();
        let shapes: Vec<_> = inputs.iter().map(|i| (i.dtype, i.shape.as_slice())).collect();
        let (_, shape) = infer(&op.op, &shapes)?;
        let output = info(shape);
        total += flops(&op.op, &inputs, &output);
        made.push(output);
    }
    Ok((made.pop().map(|info| info.shape).unwrap_or_default(), total))
}
