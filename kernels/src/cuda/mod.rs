//! CUDA kernels: how a declaration gets one, what of a launch is compiled into it, and what remains an argument.
//!
//! A [`Variant`] is a declaration with bound attributes and what is *baked*: dtypes, numbers of axes and last extents
//! of all operands. Addresses, row strides, all other extents and the number of parts are arguments
//! ([`Variant::launch`]). The source of a variant is the family's `.cu` behind a description of the variant
//! ([`source`]); the kernel sees operands and attributes by the names of its declaration, so what does not fit does
//! not compile.
//!
//! A declaration has a portable kernel and may have another one for Hopper ([`Class`], [`Hopper`]), which is taken where
//! it fits all parts of a launch.
//!
//! Kernels are written in the instructions of `kernels/cuda/isa.cuh`. The same text runs under an emulation on a CPU
//! (`kernels/cuda/host`, `kernels/tests/emulation`).

mod arch;
mod arguments;
mod hopper;
mod host_compiler;
mod host_folder;
mod norm;
#[cfg(feature = "cuda")]
mod nvrtc;
mod product;
pub mod source;
mod variant;

pub use arch::{ARCHS, Arch, Class};
pub use arguments::{HEADER_BYTES, MAP_BYTES, MAX_AXES, MAX_PARTS, Map, TENSOR_BYTES};
pub use hopper::{Hopper, MappedOperand};
pub use host_compiler::HostCompiler;
pub use host_folder::HostFolder;
#[cfg(feature = "cuda")]
pub use nvrtc::{CompileError, Compiled, Compiler, Made, NoCompiler};
pub use product::two_factors;
pub use variant::{Baked, Launch, LaunchError, Variant};

use zoetrope_model_spec::lang::{Attr, Dtype};

use crate::{Hidden, IntRange, Kernel, Meaning};

/// A family's `.cu`: its name for messages of compilers, and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    pub name: &'static str,
    pub text: &'static str,
    /// The source of the family that it includes.
    pub includes: Option<&'static Source>,
}

impl Source {
    /// Names and texts of the source, of what it includes, and so on.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        std::iter::successors(Some(*self), |source| source.includes.copied())
            .map(|source| (source.name, source.text))
    }
}

/// How far a result may be from the meaning's, relative to the largest element of the result. A bf16 result may also
/// be off by the rounding of its storage.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Where everything is stored as f32.
    pub f32: f64,
    /// Where something is stored as bf16: products may then round what they multiply.
    pub bf16: f64,
}

/// As exact as sums in another order are.
pub const EXACT: Tolerance = Tolerance { f32: 2e-5, bf16: 2e-5 };

/// Products of bf16 numbers, some of them rounded to bf16 between two steps of a kernel.
pub const ROUNDED: Tolerance = Tolerance { f32: 2e-5, bf16: 6e-3 };

/// An operand or a result of a launch. An address is a number: nothing here follows it.
#[derive(Clone, Debug)]
pub struct View {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Elements from one row to the next.
    pub row_stride: usize,
    pub address: u64,
}

impl View {
    /// The last extent.
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The product of all extents but the last.
    pub fn rows(&self) -> usize {
        self.shape[..self.shape.len().max(1) - 1].iter().product()
    }

    /// Whether every row begins at a multiple of 16 bytes.
    pub fn has_aligned_rows(&self) -> bool {
        self.address.is_multiple_of(16) && (self.row_stride * self.dtype.bytes()).is_multiple_of(16)
    }
}

/// One of the results that a launch makes.
#[derive(Clone, Debug)]
pub struct Part {
    pub reads: Vec<View>,
    pub write: View,
}

impl Part {
    /// Whether the first operands are all stored as bf16. Tensor cores would round factors that are stored as f32.
    pub fn starts_with_bf16(&self, operands: usize) -> bool {
        self.reads[..operands].iter().all(|view| view.dtype == Dtype::Bf16)
    }
}

/// What a part needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub blocks: usize,
    /// Threads of a block; like `shared`, a function of attributes and of what is baked alone.
    pub threads: usize,
    /// Bytes of shared memory of a block.
    pub shared: usize,
}

impl Grid {
    /// A thread for each unit of `width` elements of each row of the result: what `unit_of` in `tensor.cuh` expects.
    pub fn of_units(result: &View) -> Grid {
        let threads = 256;
        Grid { blocks: (result.rows() * result.width().div_ceil(UNIT)).div_ceil(threads), threads, shared: 0 }
    }
}

/// Elements that a thread takes at a time; `UNIT` in `tensor.cuh`.
pub const UNIT: usize = 8;

/// A declaration's CUDA kernel.
#[derive(Clone, Copy)]
pub struct Cuda {
    pub source: Source,
    /// The function template of the source that computes a block of a part.
    pub entry: &'static str,
    pub tolerance: Tolerance,
    /// Operands whose whole shape is compiled in, not only its last extent.
    pub bakes: &'static [usize],
    /// Whether matrix instructions multiply operands of a part; of most kernels never.
    pub multiplies: fn(&Meaning, &Part) -> bool,
    pub launch: fn(&Meaning, &Part) -> Grid,
}

impl Cuda {
    /// A kernel whose threads each take a unit of the result, as exact as sums are.
    pub fn of_units(source: Source, entry: &'static str) -> Cuda {
        let launch = |_: &_, part: &Part| Grid::of_units(&part.write);
        Cuda { source, entry, tolerance: EXACT, bakes: &[], multiplies: never, launch }
    }
}

/// No operand is a factor of a product on tensor cores.
pub fn never(_: &Meaning, _: &Part) -> bool {
    false
}

impl Kernel {
    /// Gives the declaration a CUDA kernel.
    #[must_use]
    pub fn cuda(self, cuda: Cuda) -> Kernel {
        Kernel { cuda: Some(cuda), ..self }
    }

    /// Adds a case of the CUDA kernel: all attributes of its ops as numbers, in order (`1e-6 0.0 16`), and the shapes of all operands.
    ///
    /// # Panics
    /// When the attributes do not fit the meaning: a mistake in the declaration.
    #[must_use]
    pub fn cuda_case(mut self, attrs: &str, shapes: &[&[usize]]) -> Kernel {
        let attr = |word: &str| match word.parse() {
            Ok(number) => Some(Attr::Int(number)),
            Err(_) => word.parse().ok().map(Attr::Real),
        };
        let attrs: Option<Vec<Attr>> = attrs.split_whitespace().map(attr).collect();
        let meaning = attrs.and_then(|attrs| self.meaning.with_attrs(&attrs));
        let meaning = meaning.unwrap_or_else(|| panic!("{}: attributes that do not fit", self.name));
        let sample = self.sample(meaning, shapes.iter().map(|s| s.to_vec()).collect());
        self.cuda_cases.push(sample);
        self
    }

    /// Says what an operand of integers holds in the last case added, where that is not what the declaration says.
    ///
    /// # Panics
    /// When there is no such case or operand: a mistake in the declaration.
    #[must_use]
    pub fn with(mut self, operand: &str, ints: IntRange) -> Kernel {
        let place = self.reads.iter().position(|read| read.name == operand && read.ints.is_some());
        let (Some(place), Some(sample)) = (place, self.cuda_cases.last_mut()) else {
            panic!("{}: no integers {operand} or no case", self.name);
        };
        sample.ints[place] = Some(ints);
        self
    }

    /// Says that an operand of real numbers holds the lowest one in blocks of the last case added.
    ///
    /// # Panics
    /// When there is no such case or operand: a mistake in the declaration.
    #[must_use]
    pub fn hides(mut self, operand: &str, rows: usize, columns: usize) -> Kernel {
        let place = self.reads.iter().position(|read| read.name == operand && read.ints.is_none());
        let (Some(operand), Some(sample)) = (place, self.cuda_cases.last_mut()) else {
            panic!("{}: no real numbers {operand} or no case", self.name);
        };
        sample.hidden = Some(Hidden { operand, rows, columns });
        self
    }
}
