//! Constants in memory: tables from the plan, weights from the model files.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::arena::Arena;
use crate::error::{Error, Result};
use crate::files::{FileDtype, FileError, Tensor};
use crate::plan::{Constant, Dtype, Fetch, Layout, Origin, Phase, Plan, Source, Text};
use crate::pool::Pool;

/// How much of what is loaded next is asked for in advance: enough for a disk to read in long pieces, little beside any
/// memory.
pub(crate) const AHEAD_BYTES: u64 = 256 << 20;

/// Where weights are found.
pub trait Weights {
    /// A tensor under its official name.
    fn tensor(&self, source: Source, name: &str) -> Option<Tensor<'_>>;

    /// Which edition of a tensor it is: of those that one process reads from the files of one model, tensors of the same
    /// name and edition have the same values. 0 is the edition of the files.
    fn edition(&self, _source: Source, _name: &str) -> u64 {
        0
    }

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
    Own(Rc<Arena>, usize),
    /// Brought to a place that others use, too.
    Streamed(usize, usize),
}

/// The constants of the current phase, by their place in the plan.
pub struct Store<'a> {
    plan: &'a Plan,
    files: &'a dyn Weights,
    /// Where weights are that other plans have, too.
    pool: Option<Pool>,
    held: Vec<Option<Held<'a>>>,
    /// The places of streamed constants, and the address in the plan where it begins.
    shared: Arena,
    shared_from: u64,
}

impl<'a> Store<'a> {
    pub fn new(files: &'a dyn Weights, plan: &'a Plan) -> Store<'a> {
        let held = plan.constants.iter().map(|_| None).collect();
        Store { plan, files, pool: None, held, shared: Arena::default(), shared_from: 0 }
    }

    /// One whose weights stay in `pool`, except those that are streamed.
    pub fn pooled(files: &'a dyn Weights, plan: &'a Plan, pool: &Pool) -> Store<'a> {
        Store { pool: Some(pool.clone()), ..Store::new(files, plan) }
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
        let wanted = phase.constants.iter().filter(|i| !streamed.contains(i)).map(|i| *i as usize);
        let wanted: Vec<usize> = wanted.filter(|i| self.held[*i].is_none()).collect();
        // What is loaded next is on its way from the disk while another one is converted.
        let (mut ahead, mut coming) = (wanted.iter(), 0);
        for i in &wanted {
            while coming < AHEAD_BYTES
                && let Some(next) = ahead.next()
            {
                coming += soon(self.files, &plan.constants[*next]);
            }
            let held = self.load(&plan.constants[*i])?;
            // What is read where it is mapped is still to come.
            if matches!(held, Held::Own(..)) {
                coming = coming.saturating_sub(plan.constants[*i].bytes());
            }
            self.held[*i] = Some(held);
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
            give_back(self.files, constant);
            self.held[*i as usize] = Some(Held::Streamed(at, len));
        }
        Ok(())
    }

    /// Asks for what the phase behind `phase` reads first, so that it comes from the disk while this one computes.
    pub fn expect_next(&self, phase: &Phase) {
        let behind = self.plan.phases.iter().skip_while(|other| other.name != phase.name).nth(1);
        let mut coming = 0;
        for i in behind.into_iter().flat_map(|next| next.constants.iter().map(|i| *i as usize)) {
            if coming < AHEAD_BYTES && self.held[i].is_none() {
                coming += soon(self.files, &self.plan.constants[i]);
            }
        }
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
                Ok(Held::Own(Rc::new(own), len))
            }
            Origin::Weight { source, tensors, layout } => {
                if let ([(name, rows)], Layout::Plain) = (tensors.as_ref(), layout) {
                    let found = find(self.files, constant, *source, name, *rows)?;
                    if let Some(bytes) = found.in_place(file_dtype(constant.dtype), align) {
                        return Ok(Held::There(bytes));
                    }
                }
                let bring = || {
                    let mut own = Arena::new(len as u64)?;
                    fill(self.files, constant, *source, tensors, &mut own.bytes_mut()[..len])?;
                    give_back(self.files, constant);
                    Ok(own)
                };
                let own = match &self.pool {
                    Some(pool) => pool.weight(self.files, constant, bring)?,
                    None => Rc::new(bring()?),
                };
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

/// Asks for the stored bytes of a weight, which will be read soon; how many it has in the plan.
pub(crate) fn soon(files: &dyn Weights, constant: &Constant) -> u64 {
    let Origin::Weight { source, tensors, .. } = &constant.origin else { return 0 };
    tensors.iter().filter_map(|(name, _)| files.tensor(*source, name)).for_each(|tensor| tensor.soon());
    constant.bytes()
}

/// Gives back the memory that the stored tensors of a weight take which has been made: no second copy of what is not wanted as
/// it is stored.
pub(crate) fn give_back(files: &dyn Weights, constant: &Constant) {
    let Origin::Weight { source, tensors, .. } = &constant.origin else { return };
    tensors.iter().filter_map(|(name, _)| files.tensor(*source, name)).for_each(|tensor| tensor.done());
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

/// The editions of the tensors of a weight: with them, it is the same bytes wherever it is brought from.
pub(crate) fn editions(files: &dyn Weights, constant: &Constant) -> Vec<u64> {
    match &constant.origin {
        Origin::Weight { source, tensors, .. } => {
            tensors.iter().map(|(name, _)| files.edition(*source, name)).collect()
        }
        Origin::Table { .. } => Vec::new(),
    }
}

pub(crate) fn fail(constant: &Constant, message: String) -> Error {
    Error::Constant { name: constant.name.to_string(), message }
}
