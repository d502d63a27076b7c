//! One launch: random operands, memory for them, the result that the meaning gives, and the comparison.

use zoetrope_kernels::cuda::{Class, Part, Variant, View};
use zoetrope_kernels::eval::{Operand, Tensor, evaluate_unrounded};
use zoetrope_kernels::{Hidden, IntRange, Kernel, Meaning, Ref, Sample};
use zoetrope_model_spec::lang::{BinaryFn, Dtype, Op, UnaryFn, infer};

use crate::memory::{Buffer, Place, Values};
use crate::program::Running;
use crate::random::Random;
use crate::sanitize::Build;

/// How real numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Storage {
    F32,
    Bf16,
    /// Operands alternately, the result as the last operand's opposite.
    Mixed,
    /// Factors of products as bf16, all others as f32.
    Factors,
}

/// How far rows are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rows {
    /// With at least so many unused elements behind every row, which begin at multiples of so many elements.
    Gap(usize, usize),
    /// So far that the last row begins behind 2^31 elements; each in pages of its own.
    Far,
}

impl Rows {
    /// Whole pages of the smallest elements, so that rows are aligned as a buffer is.
    const PAGE: usize = 4096;

    fn stride(self, rows: usize, width: usize) -> usize {
        match self {
            Rows::Gap(gap, multiple) => (width + gap).next_multiple_of(multiple),
            Rows::Far => ((1 << 31) / (rows - 1).max(1) + width).next_multiple_of(Rows::PAGE) + Rows::PAGE,
        }
    }
}

/// How operands lie, and how threads run.
#[derive(Clone, Copy, Debug)]
pub struct Arrangement {
    pub build: Build,
    pub rows: Rows,
    pub in_place: bool,
    /// Order of threads; 0 is in order. Asynchronous copies arrive at once where it is odd, else as late as may be;
    /// products of warpgroups are done at once where its second bit is set, else as late as may be.
    pub seed: u64,
}

/// A kernel with bound attributes, what its operands of integers hold, and where one of real numbers holds the lowest.
#[derive(Clone, Copy)]
pub struct Bound<'a> {
    pub kernel: &'a Kernel,
    pub meaning: &'a Meaning,
    pub ints: &'a [Option<IntRange>],
    pub hidden: Option<Hidden>,
}

impl<'a> Bound<'a> {
    pub fn new(kernel: &'a Kernel, sample: &'a Sample) -> Bound<'a> {
        Bound { kernel, meaning: &sample.meaning, ints: &sample.ints, hidden: sample.hidden }
    }
}

/// A launch to be made: shapes of the operands of each part, and the dtypes of operands and result.
#[derive(Debug)]
pub struct Case {
    pub shapes: Vec<Vec<Vec<usize>>>,
    pub dtypes: Vec<Dtype>,
    pub arrangement: Arrangement,
}

/// Dtypes of operands and, last, of the result.
pub fn dtypes(kernel: &Kernel, storage: Storage, in_place: bool) -> Vec<Dtype> {
    let real = |i: usize| match storage {
        Storage::F32 => Dtype::F32,
        Storage::Bf16 => Dtype::Bf16,
        Storage::Mixed => [Dtype::Bf16, Dtype::F32][i % 2],
        Storage::Factors => match kernel.reads.get(i).map(|decl| decl.name) {
            Some("x" | "w" | "q" | "k" | "v") => Dtype::Bf16,
            _ => Dtype::F32,
        },
    };
    let reads = kernel.reads.iter().enumerate();
    let mut dtypes: Vec<Dtype> = reads
        .map(|(i, decl)| match (decl.ints, decl.encoded) {
            (Some(_), _) => Dtype::I32,
            (None, true) => Dtype::U8,
            (None, false) => real(i),
        })
        .collect();
    let result = kernel.in_place.filter(|_| in_place).map_or(real(dtypes.len()), |i| dtypes[i]);
    dtypes.push(kernel.meaning.stores(result));
    dtypes
}

/// Operands are kept from zero and below it where a function wants that.
fn wants_positive(meaning: &Meaning) -> bool {
    let wants = |op: &Op| {
        matches!(op, Op::Unary { f: UnaryFn::Log | UnaryFn::Sqrt } | Op::Binary { f: BinaryFn::Div })
    };
    meaning.ops.iter().any(|op| wants(&op.op))
}

/// The shape of the result; none where operands of these shapes do not fit the meaning.
pub fn result_shape(meaning: &Meaning, shapes: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut made: Vec<(Dtype, Vec<usize>)> = Vec::new();
    for op in &meaning.ops {
        let inputs: Vec<(Dtype, &[usize])> = op
            .inputs
            .iter()
            .map(|r| match r {
                Ref::Operand(i) => (Dtype::F32, shapes[*i].as_slice()),
                Ref::Inner(i) => (Dtype::F32, made[*i].1.as_slice()),
            })
            .collect();
        made.push(infer(&op.op, &inputs).ok()?);
    }
    made.pop().map(|(_, shape)| shape)
}

/// Operands, memory and wanted result of one part.
struct Prepared {
    part: Part,
    places: Vec<Place>,
    /// Numbers of the buffers of operands and result.
    buffers: Vec<usize>,
    want: Vec<f32>,
}

impl Case {
    /// How an operand lies in memory number `memory`.
    fn view(&self, shape: &[usize], dtype: Dtype, memory: usize) -> View {
        let (width, guard) = (shape.last().copied().unwrap_or(1), self.arrangement.build.guard());
        let address = (memory as u64) << 40 | guard as u64;
        let rows = shape[..shape.len().max(1) - 1].iter().product();
        View { dtype, shape: shape.to_vec(), row_stride: self.arrangement.rows.stride(rows, width), address }
    }

    /// The variant that the case's launch needs on cards of a class; none where shapes do not fit the kernel.
    pub fn variant(&self, bound: &Bound<'_>, class: Class) -> Option<Variant> {
        let part = |shapes: &Vec<Vec<usize>>| {
            let reads = shapes.iter().zip(&self.dtypes).map(|(shape, dtype)| self.view(shape, *dtype, 0));
            let result = result_shape(bound.meaning, shapes)?;
            Some(Part { reads: reads.collect(), write: self.view(&result, self.dtypes[shapes.len()], 0) })
        };
        let parts: Option<Vec<Part>> = self.shapes.iter().map(part).collect();
        Variant::of(bound.kernel, bound.meaning, &parts?, class).ok()
    }

    /// The most rows that an operand or a result has.
    pub fn rows(&self, bound: &Bound<'_>) -> usize {
        let results = self.shapes.iter().filter_map(|shapes| result_shape(bound.meaning, shapes));
        let rows = |shape: &Vec<usize>| shape[..shape.len().max(1) - 1].iter().product();
        self.shapes.iter().flatten().cloned().chain(results).map(|shape| rows(&shape)).max().unwrap_or(0)
    }

    /// Runs the launch and compares everything with what the meaning says.
    pub fn run(
        &self,
        bound: &Bound<'_>,
        (variant, number): (&Variant, usize),
        program: &mut Running,
        random: &mut Random,
    ) -> Result<(), String> {
        let mut memory = Vec::new();
        let parts: Vec<Prepared> =
            self.shapes.iter().map(|shapes| self.prepare(bound, shapes, &mut memory, random)).collect();
        let before = memory.clone();
        let views: Vec<Part> = parts.iter().map(|p| p.part.clone()).collect();
        let launch = variant.launch(&views).map_err(|e| e.to_string())?;
        program.launch(number, &launch, self.arrangement.seed, &mut memory)?;
        let tolerance = variant.cuda.tolerance;
        let tolerance = if self.dtypes.contains(&Dtype::Bf16) { tolerance.bf16 } else { tolerance.f32 };
        for (i, part) in parts.iter().enumerate() {
            let (result, place) = (*part.buffers.last().unwrap(), part.places.last().unwrap());
            for (operand, buffer) in part.buffers.iter().enumerate().filter(|(_, b)| **b != result) {
                if memory[*buffer] != before[*buffer] {
                    return Err(format!("part {i}: operand {operand} was written"));
                }
            }
            if let Some(at) = place.touched(&memory[result]) {
                return Err(format!("part {i}: byte {at} outside the result was written"));
            }
            close(&place.read(&memory[result]), &part.want, place.dtype, tolerance)
                .map_err(|e| format!("part {i}: {e}"))?;
        }
        Ok(())
    }

    fn prepare(
        &self,
        bound: &Bound<'_>,
        shapes: &[Vec<usize>],
        memory: &mut Vec<Buffer>,
        random: &mut Random,
    ) -> Prepared {
        let Bound { kernel, meaning, ints, hidden } = *bound;
        let result = result_shape(meaning, shapes).expect("a case fits its meaning");
        let low = if wants_positive(meaning) { 0.25 } else { -1.5 };
        let values: Vec<Values> = ints
            .iter()
            .zip(shapes.iter().zip(&self.dtypes))
            .enumerate()
            .map(|(i, (ints, (shape, dtype)))| {
                let count: usize = shape.iter().product();
                let hidden = hidden.filter(|hidden| hidden.operand == i);
                let lowest = |place| hidden?.number(place, *shape.last()?, *dtype);
                match (ints, meaning.encoding(i)) {
                    (Some(ints), _) => Values::I32(ints.draw(count, shapes, |n| random.below(n))),
                    (None, Some((kept, columns))) => {
                        let mut rows = vec![0; count];
                        for row in rows.chunks_exact_mut(count / shape[0]) {
                            let numbers: Vec<f32> = (0..columns).map(|_| random.real(low, 1.5)).collect();
                            kept.encode(&numbers, row);
                        }
                        Values::U8(rows)
                    }
                    (None, None) => {
                        let real = |place| lowest(place).unwrap_or_else(|| random.real(low, 1.5));
                        Values::reals(*dtype, (0..count).map(real))
                    }
                }
            })
            .collect();
        let want = wanted(meaning, shapes, &values, &result);
        let view = |shape: &[usize], dtype: Dtype, memory: usize| {
            let view = self.view(shape, dtype, memory);
            let far = self.arrangement.rows == Rows::Far && view.rows() > 1;
            let row_stride = view.row_stride;
            let guard = self.arrangement.build.guard();
            let place = Place { dtype, rows: view.rows(), width: view.width(), row_stride, far, guard };
            (view, place)
        };
        let (mut reads, mut places, mut buffers) = (Vec::new(), Vec::new(), Vec::new());
        for ((shape, dtype), values) in shapes.iter().zip(&self.dtypes).zip(&values) {
            let (read, place) = view(shape, *dtype, memory.len());
            buffers.push(memory.len());
            memory.push(place.filled(values));
            reads.push(read);
            places.push(place);
        }
        let over = kernel.in_place.filter(|_| self.arrangement.in_place);
        let at = over.map_or(memory.len(), |i| buffers[i]);
        let (write, place) = view(&result, self.dtypes[shapes.len()], at);
        if over.is_none() {
            memory.push(place.empty());
        }
        buffers.push(at);
        places.push(place);
        Prepared { part: Part { reads, write }, places, buffers, want }
    }
}

/// What the meaning gives, before a rounding to the result's storage.
fn wanted(meaning: &Meaning, shapes: &[Vec<usize>], values: &[Values], result: &[usize]) -> Vec<f32> {
    let tensors = values.iter().zip(shapes).map(|(values, shape)| {
        let row_stride = *shape.last().unwrap_or(&1);
        Operand::Tensor(Tensor { data: values.data(), shape, row_stride })
    });
    let tensors: Vec<Operand<'_>> = tensors.collect();
    evaluate_unrounded(meaning, &tensors, result)
        .unwrap_or_else(|e| panic!("a case does not fit its meaning: {e}"))
}

/// Holds a result against the wanted one; a NaN is never close.
fn close(got: &[f32], want: &[f32], dtype: Dtype, tolerance: f64) -> Result<(), String> {
    let largest = want.iter().fold(1e-3f64, |m, x| m.max(f64::from(x.abs())));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let (got, want) = (f64::from(*got), f64::from(*want));
        let rounding = if dtype == Dtype::Bf16 { want.abs() / 256.0 } else { 0.0 };
        let error = (got - want).abs();
        let near = error <= tolerance * (largest + want.abs()) + rounding;
        if !near {
            return Err(format!("element {i} is {got}, and {want} is right (the largest is {largest})"));
        }
    }
    Ok(())
}
