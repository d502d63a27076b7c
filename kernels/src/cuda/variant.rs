//! One compiled form of a kernel, and its launches.

use sha2::{Digest, Sha256};
use zoetrope_model_spec::lang::Dtype;

use super::arguments::{self, HEADER_BYTES, MAP_BYTES, MAX_AXES, MAX_PARTS, Map, TENSOR_BYTES};
use super::hopper::lies_well;
use super::{Class, Cuda, Grid, MappedOperand, Part, View};
use crate::{Kernel, Meaning};

/// What is compiled in of an operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baked {
    pub name: &'static str,
    pub dtype: Dtype,
    /// Number of axes.
    pub rank: usize,
    /// The last extent.
    pub width: usize,
    /// All extents, where the kernel wants them.
    pub shape: Option<Vec<usize>>,
}

impl Baked {
    /// What is known of the shape, in words.
    fn extents(&self) -> String {
        match &self.shape {
            Some(shape) => format!("{shape:?}"),
            None => format!("[{}{}]", "_, ".repeat(self.rank - 1), self.width),
        }
    }
}

/// A kernel with everything that its machine code depends on.
#[derive(Clone)]
pub struct Variant {
    /// The declaration's.
    pub name: &'static str,
    /// With the attributes bound.
    pub meaning: Meaning,
    pub reads: Vec<Baked>,
    pub write: Baked,
    pub class: Class,
    pub cuda: Cuda,
    /// What is read through tensor maps; empty for portable kernels.
    pub maps: Vec<MappedOperand>,
    /// Whether fewer blocks do the same work ([`Hopper::strides`](super::Hopper::strides)).
    pub strides: bool,
    /// Whether the kernel is meant to have matrix instructions.
    pub multiplies_matrices: bool,
    pub threads: usize,
    pub shared: usize,
}

/// A launch as a driver wants it: one dimension of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub blocks: usize,
    pub threads: usize,
    pub shared: usize,
    /// The bytes of the kernel's one argument.
    pub argument: Vec<u8>,
    /// Tensor maps that are missing in the argument.
    pub maps: Vec<Map>,
}

/// Why there is no variant or no launch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    #[error("{0} has no CUDA kernel")]
    NoKernel(&'static str),
    #[error("{kernel}: {parts} parts, and a launch has 1 to {MAX_PARTS}")]
    Parts { kernel: &'static str, parts: usize },
    #[error("{kernel}: a part with other dtypes, axes, widths or numbers of operands than the variant's")]
    OtherVariant { kernel: &'static str },
    #[error("{kernel}: {name} has the shape {shape:?}; 1 to {MAX_AXES} axes below 2^31 are possible")]
    Shape { kernel: &'static str, name: &'static str, shape: Vec<usize> },
    #[error("{kernel}: {blocks} blocks are too many for one launch")]
    Blocks { kernel: &'static str, blocks: usize },
    #[error("{kernel}: {shared} bytes of shared memory; kernels of its class have {limit}")]
    Shared { kernel: &'static str, shared: usize, limit: usize },
}

fn bake(kernel: &'static str, name: &'static str, view: &View, whole: bool) -> Result<Baked, LaunchError> {
    let fits =
        (1..=MAX_AXES).contains(&view.shape.len()) && view.shape.iter().all(|n| i32::try_from(*n).is_ok());
    if !fits {
        return Err(LaunchError::Shape { kernel, name, shape: view.shape.clone() });
    }
    Ok(Baked {
        name,
        dtype: view.dtype,
        rank: view.shape.len(),
        width: view.width(),
        shape: whole.then(|| view.shape.clone()),
    })
}

impl Variant {
    /// The variant of `kernel` with the attributes of `meaning` that computes `parts`, all in one launch, on cards of
    /// a class: the kernel of that class where it fits every part, else the portable one.
    ///
    /// # Errors
    /// The kernel has no CUDA, or the operands do not fit it.
    pub fn of(
        kernel: &Kernel,
        meaning: &Meaning,
        parts: &[Part],
        class: Class,
    ) -> Result<Variant, LaunchError> {
        let name = kernel.name;
        let part = parts.first().ok_or(LaunchError::Parts { kernel: name, parts: 0 })?;
        if parts.iter().any(|part| part.reads.len() != kernel.reads.len()) {
            return Err(LaunchError::OtherVariant { kernel: name });
        }
        let hopper = kernel.hopper.filter(|h| class == Class::Hopper && h.takes(meaning, parts));
        let (class, cuda, maps) = match hopper {
            Some(hopper) => (class, hopper.cuda, (hopper.maps)(meaning, part)),
            None => (Class::Portable, kernel.cuda.ok_or(LaunchError::NoKernel(name))?, Vec::new()),
        };
        let reads = kernel.reads.iter().zip(&part.reads).enumerate();
        let reads = reads.map(|(i, (decl, view))| bake(name, decl.name, view, cuda.bakes.contains(&i)));
        let reads = reads.collect::<Result<_, _>>()?;
        let write = bake(name, kernel.writes.name, &part.write, false)?;
        let Grid { threads, shared, .. } = (cuda.launch)(meaning, part);
        if shared > class.shared() {
            return Err(LaunchError::Shared { kernel: name, shared, limit: class.shared() });
        }
        let multiplies_matrices = (cuda.multiplies)(meaning, part);
        let meaning = meaning.clone();
        let strides = hopper.is_some_and(|hopper| hopper.strides);
        Ok(Variant {
            name,
            meaning,
            reads,
            write,
            class,
            cuda,
            maps,
            strides,
            multiplies_matrices,
            threads,
            shared,
        })
    }

    /// What a driver needs to launch `parts`.
    ///
    /// # Errors
    /// A part is another variant's, or there are too many parts or blocks.
    pub fn launch(&self, parts: &[Part]) -> Result<Launch, LaunchError> {
        let kernel = self.name;
        if parts.is_empty() || parts.len() > MAX_PARTS {
            return Err(LaunchError::Parts { kernel, parts: parts.len() });
        }
        let (mut blocks, mut ends) = (0, Vec::new());
        for part in parts {
            let grid = (self.cuda.launch)(&self.meaning, part);
            let baked = self.reads.iter().zip(&part.reads).chain([(&self.write, &part.write)]);
            let mut same = part.reads.len() == self.reads.len();
            for (baked, view) in baked {
                same &= bake(kernel, baked.name, view, baked.shape.is_some())? == *baked;
            }
            same &= self.class == Class::Portable || lies_well(part, &self.maps);
            if !same || (grid.threads, grid.shared) != (self.threads, self.shared) {
                return Err(LaunchError::OtherVariant { kernel });
            }
            blocks += grid.blocks;
            ends.push(i32::try_from(blocks).map_err(|_| LaunchError::Blocks { kernel, blocks })?);
        }
        let (mut argument, mut maps) = (arguments::header(&ends), Vec::new());
        let tensors = self.reads.len() + 1;
        for (i, part) in parts.iter().enumerate() {
            part.reads.iter().chain([&part.write]).for_each(|view| arguments::tensor(view, &mut argument));
            for mapped in &self.maps {
                maps.push(arguments::map(mapped, &part.reads[mapped.operand], i, tensors, maps.len()));
            }
        }
        // A kernel declares room for all parts.
        argument.resize(HEADER_BYTES + MAX_PARTS * tensors * TENSOR_BYTES, 0);
        if !self.maps.is_empty() {
            argument.resize(arguments::maps_at(tensors) + MAX_PARTS * self.maps.len() * MAP_BYTES, 0);
        }
        Ok(Launch { blocks, threads: self.threads, shared: self.shared, argument, maps })
    }

    /// The name of the kernel in its machine code: no other variant has it.
    pub fn symbol(&self) -> String {
        let digest = Sha256::digest(self.key());
        let digits: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}_{digits}", self.name)
    }

    /// All that tells this variant from others, in words.
    pub fn key(&self) -> String {
        let operands = self.reads.iter().chain([&self.write]);
        let operands: Vec<String> =
            operands.map(|b| format!("{}:{}{}", b.name, b.dtype, b.extents())).collect();
        let attrs: Vec<String> = self
            .meaning
            .ops
            .iter()
            .flat_map(|op| op.op.fields())
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let class = if self.class == Class::Hopper { " (Hopper)" } else { "" };
        format!("{}{class} {} {}", self.name, operands.join(" "), attrs.join(" ")).trim_end().to_string()
    }
}
