//! How a kernel is declared: operands with named axes, one meaning, cases.

use std::fmt;

use half::bf16;
use zoetrope_model_spec::lang::{Builder, Dtype, Value};

use crate::cuda::{Cuda, Hopper};
use crate::meaning::Meaning;

/// Named extents of an operand, outermost first. `".."` stands for any number of axes.
pub type Axes = &'static [&'static str];

/// Which integers an operand may hold; what a test draws from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntRange {
    /// Row numbers of the operand at this place.
    RowsOf(usize),
    /// Places along an axis of an operand: the operand's place, and the axis.
    Along(usize, usize),
    /// 0 up to but not including this.
    Below(i32),
    /// Nothing but this.
    Just(i32),
    /// Zeros before this place, ones from there on: what a mask of tokens behind padding looks like.
    OnesFrom(usize),
    /// The place of each, but in a span of this first place and this many that of its last: how far the tokens of a text with
    /// an image see.
    Until(usize, usize),
}

impl IntRange {
    /// The integers of an operand with `count` elements where all operands have `shapes`; `below(n)` draws one of n.
    pub fn draw(
        self,
        count: usize,
        shapes: &[Vec<usize>],
        mut below: impl FnMut(usize) -> usize,
    ) -> Vec<i32> {
        let all = 0..count;
        match self {
            IntRange::RowsOf(of) => all.map(|_| below(shapes[of][0]) as i32).collect(),
            IntRange::Along(of, axis) => all.map(|_| below(shapes[of][axis]) as i32).collect(),
            IntRange::Below(n) => all.map(|_| below(n as usize) as i32).collect(),
            IntRange::Just(n) => vec![n; count],
            IntRange::OnesFrom(place) => all.map(|i| i32::from(i >= place)).collect(),
            IntRange::Until(first, span) => {
                let spanned = first..first + span;
                all.map(|i| if spanned.contains(&i) { spanned.end - 1 } else { i } as i32).collect()
            }
        }
    }
}

/// Blocks of a matrix of real numbers that hold the lowest one there is: what a bias of what is not seen looks like. In
/// every third band of rows all blocks do, in the others two of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// The operand's place.
    pub operand: usize,
    /// Extents of a block.
    pub rows: usize,
    pub columns: usize,
}

impl Hidden {
    /// The lowest number of its storage at the places of such a block, counted through rows of `width`; nothing at others.
    pub fn number(self, place: usize, width: usize, dtype: Dtype) -> Option<f32> {
        let (band, block) = (place / width / self.rows, place % width / self.columns);
        let lowest = if dtype == Dtype::Bf16 { bf16::MIN.to_f32() } else { f32::MIN };
        (band % 3 == 2 || (band + block) % 3 != 0).then_some(lowest)
    }
}

#[derive(Clone, Debug)]
pub struct OperandDecl {
    pub name: &'static str,
    pub axes: Axes,
    /// Set for operands of integers.
    pub ints: Option<IntRange>,
    /// True for a weight whose rows stay encoded: bytes that an op of the meaning decodes.
    pub encoded: bool,
}

/// Something to test a kernel with: attributes, shapes of all operands, what those of integers hold, and where one of
/// real numbers holds the lowest.
#[derive(Clone, Debug)]
pub struct Sample {
    pub meaning: Meaning,
    pub shapes: Vec<Vec<usize>>,
    pub ints: Vec<Option<IntRange>>,
    pub hidden: Option<Hidden>,
}

/// A declared kernel.
#[derive(Clone)]
pub struct Kernel {
    /// Says what is computed, in order; never a place in the model.
    pub name: &'static str,
    pub doc: &'static str,
    pub reads: Vec<OperandDecl>,
    pub writes: OperandDecl,
    pub meaning: Meaning,
    /// The operand whose memory the result may take over.
    pub in_place: Option<usize>,
    /// Small shapes of all operands, for tests: one list per case.
    pub cases: Vec<Vec<Vec<usize>>>,
    /// How a card computes it, where that is written.
    pub cuda: Option<Cuda>,
    /// How Hopper computes it, where that differs.
    pub hopper: Option<Hopper>,
    /// Further cases of the CUDA kernel: other attributes, shapes or integers.
    pub cuda_cases: Vec<Sample>,
}

/// What a plan depends on; how a card computes a kernel is no part of that.
impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel")
            .field("name", &self.name)
            .field("doc", &self.doc)
            .field("reads", &self.reads)
            .field("writes", &self.writes)
            .field("meaning", &self.meaning)
            .field("in_place", &self.in_place)
            .field("cases", &self.cases)
            .finish()
    }
}

/// A kernel being declared; [`KernelDraft::means`] completes it.
pub struct KernelDraft {
    name: &'static str,
    doc: &'static str,
    reads: Vec<OperandDecl>,
    in_place: Option<usize>,
    cases: Vec<Vec<Vec<usize>>>,
}

impl Kernel {
    /// Begins a declaration.
    pub fn named(name: &'static str, doc: &'static str) -> KernelDraft {
        KernelDraft { name, doc, reads: Vec::new(), in_place: None, cases: Vec::new() }
    }

    /// All cases that the CUDA kernel is tested with: those of the meaning, and its own.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        let declared = self.cases.iter().map(|shapes| self.sample(self.meaning.clone(), shapes.clone()));
        declared.chain(self.cuda_cases.iter().cloned())
    }

    /// A case in which integers are what the declaration says.
    pub fn sample(&self, meaning: Meaning, shapes: Vec<Vec<usize>>) -> Sample {
        Sample { meaning, shapes, ints: self.reads.iter().map(|read| read.ints).collect(), hidden: None }
    }
}

impl KernelDraft {
    /// An operand of real numbers.
    pub fn reads(mut self, name: &'static str, axes: Axes) -> Self {
        self.reads.push(OperandDecl { name, axes, ints: None, encoded: false });
        self
    }

    /// An operand of integers.
    pub fn reads_ints(mut self, name: &'static str, axes: Axes, ints: IntRange) -> Self {
        self.reads.push(OperandDecl { name, axes, ints: Some(ints), encoded: false });
        self
    }

    /// The result may be written over the last operand declared.
    pub fn or_in_place(mut self) -> Self {
        self.in_place = Some(self.reads.len() - 1);
        self
    }

    /// Adds a case: the shapes of all operands. The first one is also the sample that the meaning is recorded on.
    pub fn case(mut self, shapes: &[&[usize]]) -> Self {
        self.cases.push(shapes.iter().map(|s| s.to_vec()).collect());
        self
    }

    /// The last word: what the result is, in the vocabulary of the spec.
    ///
    /// # Panics
    /// When the meaning does not fit its own first case: a mistake in the declaration.
    pub fn means<const N: usize>(
        self,
        result: &'static str,
        axes: Axes,
        meaning: impl FnOnce(&Builder, [Value; N]) -> Value,
    ) -> Kernel {
        let sample =
            self.cases.first().unwrap_or_else(|| panic!("{}: a kernel has at least one case", self.name));
        assert_eq!(
            (self.reads.len(), sample.len()),
            (N, N),
            "{}: operands, case and meaning differ",
            self.name
        );
        let builder = Builder::new(self.name, Dtype::F32);
        let inputs = std::array::from_fn(|i| {
            let dtype = if self.reads[i].ints.is_some() { Dtype::I32 } else { Dtype::F32 };
            builder.input(self.reads[i].name, dtype, &sample[i])
        });
        let value = meaning(&builder, inputs);
        builder.output(result, value);
        let graph = builder.finish().unwrap_or_else(|e| panic!("{}: {}", self.name, e.0));
        Kernel {
            name: self.name,
            doc: self.doc,
            reads: self.reads,
            writes: OperandDecl { name: result, axes, ints: None, encoded: false },
            meaning: Meaning::of(&graph),
            in_place: self.in_place,
            cases: self.cases,
            cuda: None,
            hopper: None,
            cuda_cases: Vec::new(),
        }
    }
}
