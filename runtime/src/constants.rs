//! Constants in memory: tables from the plan, weights from the model files.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::arena::Arena;
use crate::error::{Error, Result};
use crate::files::{FileDtype, FileError, Tensor};
use crate::plan::{Constant, Dtype, Fetch, Layout, Origin, Phase, Plan, Source, Text};

/// Where weights are found.
pub trait Weights {
    /// A tensor under its official name.
    fn tensor(&self, source: Source, name: &str) -> Option<Tensor<'_>>;

    /// Checks that the files still are what they were when they were opened. Whoever reads tensors asks before and after:
    /// [`crate::files::TensorFile::unchanged`] says what that finds. Allocates nothing where all is well.
    ///
    /// # Errors
    /// The first file that was changed.
    fn unchanged(&self) -> std::result::Result<(), FileError> {
        Ok(())
    }
}

/// How the file format names a plan's storage type.
pub fn file_dtype(dtype: Dtype) -> FileDtype {
    match dtype {
        Dtype::F32 => FileDtype::F32,
        Dtype::Bf16 => FileDtype::Bf16,
        Dtype::I32 => FileDtype::I32,
        Dtype::U8 => FileDtype::U8,
    }
}

enum Held<'a> {
    /// The bytes where they are: in the mapped file, or in the plan.
    There(&'a [u8]),
    /// Converted, put together, in another order, or moved to an aligned place.
    Own(Arena, usize),
    /// Brought to a place that others use, too.
    Streamed(usize, usize),
}

/// The constants of the current phase, by their place in the plan.
pub struct Store<'a> {
    plan: &'a Plan,
    files: &'a dyn Weights,
    held: Vec<Option<Held<'a>>>,
    /// The places of streamed constants, and the address in the plan where it begins.
    shared: Arena,
    shared_from: u64,
}

impl<'a> Store<'a> {
    pub fn new(files: &'a dyn Weights, plan: &'a Plan) -> Store<'a> {
        let held = plan.constants.iter().map(|_| None).collect();
        Store { plan, files, held, shared: Arena::default(), shared_from: 0 }
    }

    /// Makes the constants of `phase` resident that are not streamed, and room for those that are. Of others, those
    /// stay that the plan keeps.
    ///
    /// # Errors
    /// A tensor is missing, has another shape, or has a type that cannot be converted; a file was changed; no memory.
    pub fn keep(&mut self, phase: &Phase) -> Result<()> {
        self.unchanged()?;
        let plan = self.plan;
        let streamed: BTreeSet<u32> =
            phase.fetches().flat_map(|(_, fetch)| fetch.constants.iter().copied()).collect();
        let stays = |i: u32| {
            let among = |list: &[u32]| list.binary_search(&i).is_ok();
            among(&phase.kept) || among(&phase.constants) && !streamed.contains(&i)
        };
        for (i, held) in self.held.iter_mut().enumerate() {
            if !stays(i as u32) || matches!(held, Some(Held::Streamed(..))) {
                *held = None;
            }
        }
        for i in phase.constants.iter().filter(|i| !streamed.contains(i)).map(|i| *i as usize) {
            if self.held[i].is_none() {
                self.held[i] = Some(self.load(&plan.constants[i])?);
            }
        }
        let span = |i: &u32| {
            let at = phase.place(*i)?;
            Some((at, at + plan.constants[*i as usize].bytes()))
        };
        let spans: Vec<_> = streamed.iter().filter_map(span).collect();
        self.shared_from = spans.iter().map(|s| s.0).min().unwrap_or(0);
        let end = spans.iter().map(|s| s.1).max().unwrap_or(0);
        self.shared = Arena::new(end - self.shared_from)?;
        Ok(())
    }

    /// Brings streamed constants to their places. What lay there is gone.
    ///
    /// # Errors
    /// As [`Store::keep`].
    pub fn fetch(&mut self, phase: &Phase, fetch: &Fetch) -> Result<()> {
        self.unchanged()?;
        for i in fetch.constants.iter() {
            let constant = &self.plan.constants[*i as usize];
            let at =
                phase.place(*i).ok_or_else(|| fail(constant, "has no place in this phase".to_string()))?;
            let (at, len) = ((at - self.shared_from) as usize, constant.bytes() as usize);
            self.held
                .iter_mut()
                .filter(|held| held.as_ref().is_some_and(|h| h.meets(at, len)))
                .for_each(|h| *h = None);
            let Origin::Weight { source, tensors, .. } = &constant.origin else {
                return Err(fail(constant, "is no weight and cannot be streamed".to_string()));
            };
            fill(self.files, constant, *source, tensors, &mut self.shared.bytes_mut()[at..at + len])?;
            self.held[*i as usize] = Some(Held::Streamed(at, len));
        }
        Ok(())
    }

    /// See [`Weights::unchanged`].
    ///
    /// # Errors
    /// A file was changed.
    pub fn unchanged(&self) -> Result<()> {
        Ok(self.files.unchanged()?)
    }

    /// Bytes of a resident constant, aligned for its type. Empty when it is not resident.
    pub fn bytes(&self, constant: u32) -> &[u8] {
        match &self.held[constant as usize] {
            Some(Held::There(bytes)) => bytes,
            Some(Held::Own(arena, len)) => &arena.bytes()[..*len],
            Some(Held::Streamed(at, len)) => &self.shared.bytes()[*at..at + len],
            None => &[],
        }
    }

    fn load(&self, constant: &Constant) -> Result<Held<'a>> {
        let plan = self.plan;
        let len = constant.bytes() as usize;
        let align = constant.dtype.bytes() as usize;
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
                let mut own = Arena::new(len as u64)?;
                own.bytes_mut()[..len].copy_from_slice(bytes);
                Ok(Held::Own(own, len))
            }
            Origin::Weight { source, tensors, layout } => {
                if let ([(name, rows)], Layout::Plain) = (tensors.as_ref(), layout) {
                    let found = find(self.files, constant, *source, name, *rows)?;
                    if let Some(bytes) = found.in_place(file_dtype(constant.dtype), align) {
                        return Ok(Held::There(bytes));
                    }
                }
                let mut own = Arena::new(len as u64)?;
                fill(self.files, constant, *source, tensors, &mut own.bytes_mut()[..len])?;
                Ok(Held::Own(own, len))
            }
        }
    }
}

impl Held<'_> {
    fn meets(&self, from: usize, bytes: usize) -> bool {
        matches!(self, Held::Streamed(at, len) if *at < from + bytes && from < at + len)
    }
}

/// All tensors of a weight, one after the other.
fn fill(
    files: &dyn Weights,
    constant: &Constant,
    source: Source,
    tensors: &[(Text, u32)],
    mut out: &mut [u8],
) -> Result<()> {
    let rows = constant.shape.first().copied().unwrap_or(1).max(1);
    let row = constant.bytes() as usize / rows as usize;
    for (name, rows) in tensors {
        let found = find(files, constant, source, name, *rows)?;
        let (here, rest) = out.split_at_mut((row * *rows as usize).min(out.len()));
        let dtype = file_dtype(constant.dtype);
        let read = match constant.layout() {
            Layout::Plain => found.read_into(dtype, here),
            Layout::ChannelsLast => found.read_channels_last(dtype, 0, here),
            Layout::Encoded { kept, .. } => found.read_kept(kept, 0, here),
        };
        read.map_err(|e| fail(constant, e.to_string()))?;
        out = rest;
    }
    Ok(())
}

/// A tensor of a weight, as the plan wants it.
pub(crate) fn find<'f>(
    files: &'f dyn Weights,
    of: &Constant,
    source: Source,
    name: &str,
    rows: u32,
) -> Result<Tensor<'f>> {
    let found = files.tensor(source, name);
    let found = found.ok_or_else(|| fail(of, format!("the {} has no tensor {name}", source.name())))?;
    let shape: Vec<usize> = of.file_shape(rows).into_iter().map(|d| d as usize).collect();
    if found.shape == shape {
        Ok(found)
    } else {
        Err(fail(of, format!("{name} has shape {:?}, the plan wants {shape:?}", found.shape)))
    }
}

pub(crate) fn fail(constant: &Constant, message: String) -> Error {
    Error::Constant { name: constant.name.to_string(), message }
}
