//! Constants in memory: tables from the plan, weights from the model files.

use std::borrow::Cow;

use crate::arena::Arena;
use crate::error::{Error, Result};
use crate::files::{FileDtype, Tensor};
use crate::plan::{Constant, Dtype, Origin, Plan, Source};

/// Where weights are found.
pub trait Weights {
    /// A tensor under its official name.
    fn tensor(&self, source: Source, name: &str) -> Option<Tensor<'_>>;
}

/// How the file format names a plan's storage type.
pub fn file_dtype(dtype: Dtype) -> FileDtype {
    match dtype {
        Dtype::F32 => FileDtype::F32,
        Dtype::Bf16 => FileDtype::Bf16,
        Dtype::I32 => FileDtype::I32,
    }
}

enum Held<'a> {
    /// The bytes where they are: in the mapped file, or in the plan.
    There(&'a [u8]),
    /// Converted, or moved to an aligned place.
    Own(Arena, usize),
}

/// The constants of the current phase, by their place in the plan.
pub struct Store<'a> {
    files: &'a dyn Weights,
    held: Vec<Option<Held<'a>>>,
}

impl<'a> Store<'a> {
    pub fn new(files: &'a dyn Weights, plan: &Plan) -> Store<'a> {
        Store { files, held: plan.constants.iter().map(|_| None).collect() }
    }

    /// Makes exactly the constants in `wanted` (ascending) resident.
    ///
    /// # Errors
    /// A tensor is missing, has another shape, or has a type that cannot be converted.
    pub fn keep(&mut self, plan: &'a Plan, wanted: &[u32]) -> Result<()> {
        for i in 0..self.held.len() {
            if wanted.binary_search(&(i as u32)).is_err() {
                self.held[i] = None;
            }
        }
        for i in wanted.iter().map(|i| *i as usize) {
            if self.held[i].is_none() {
                self.held[i] = Some(self.load(plan, &plan.constants[i])?);
            }
        }
        Ok(())
    }

    /// Bytes of a resident constant, aligned for its type. Empty when it is not resident.
    pub fn bytes(&self, constant: u32) -> &[u8] {
        match &self.held[constant as usize] {
            Some(Held::There(bytes)) => bytes,
            Some(Held::Own(arena, len)) => &arena.bytes()[..*len],
            None => &[],
        }
    }

    fn load(&self, plan: &'a Plan, constant: &Constant) -> Result<Held<'a>> {
        let len = constant.bytes() as usize;
        let align = constant.dtype.bytes() as usize;
        let own = |fill: &mut dyn FnMut(&mut [u8]) -> Result<()>| {
            let mut arena = Arena::new(len as u64)?;
            fill(&mut arena.bytes_mut()[..len])?;
            Ok(Held::Own(arena, len))
        };
        match &constant.origin {
            Origin::Table { offset } => {
                let there = match &plan.tables {
                    Cow::Borrowed(blob) => blob.get(*offset as usize..*offset as usize + len),
                    Cow::Owned(blob) => blob.get(*offset as usize..*offset as usize + len),
                };
                let bytes =
                    there.ok_or_else(|| fail(constant, "is outside the plan's tables".to_string()))?;
                if bytes.as_ptr().addr().is_multiple_of(align) {
                    return Ok(Held::There(bytes));
                }
                own(&mut |out| {
                    out.copy_from_slice(bytes);
                    Ok(())
                })
            }
            Origin::Weight { source, tensor } => {
                let found = self.files.tensor(*source, tensor);
                let found = found
                    .ok_or_else(|| fail(constant, format!("the {} has no tensor {tensor}", source.name())))?;
                let shape: Vec<usize> = constant.shape.iter().map(|d| *d as usize).collect();
                if found.shape != shape {
                    let message = format!("{tensor} has shape {:?}, the plan wants {shape:?}", found.shape);
                    return Err(fail(constant, message));
                }
                let dtype = file_dtype(constant.dtype);
                if let Some(bytes) = found.in_place(dtype, align) {
                    return Ok(Held::There(bytes));
                }
                own(&mut |out| found.read_into(dtype, out).map_err(|e| fail(constant, e.to_string())))
            }
        }
    }
}

fn fail(constant: &Constant, message: String) -> Error {
    Error::Constant { name: constant.name.to_string(), message }
}
