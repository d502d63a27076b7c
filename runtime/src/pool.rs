//! Weights that stay in memory from one plan to the next.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::arena::Arena;
use crate::constants::Weights;
use crate::error::Result;
use crate::plan::{Constant, Dtype, Layout, Origin, Source, Text};

/// What two constants of any plans have in common that are the same bytes: type, shape, layout, and the tensors that they are
/// made of, in this order.
type Key = (Dtype, Vec<u32>, Source, Vec<(Text, u32)>, Layout);

/// The weights of one model as plans want them, each once, for as long as this lives: what one plan has brought, another
/// one of the same process finds.
///
/// A plan's peak does not count it. It takes as much as the weights of all plans that were run with it; those that lie in
/// a mapped file as a plan wants them take nothing.
pub struct Pool<'f> {
    files: &'f dyn Weights,
    held: RefCell<HashMap<Key, Rc<Arena>>>,
    brought: Cell<u64>,
}

impl<'f> Pool<'f> {
    /// An empty one.
    pub fn new(files: &'f dyn Weights) -> Pool<'f> {
        Pool { files, held: RefCell::default(), brought: Cell::new(0) }
    }

    /// Where the weights are found.
    pub fn files(&self) -> &'f dyn Weights {
        self.files
    }

    /// Bytes of all weights that were brought here so far.
    pub fn brought_bytes(&self) -> u64 {
        self.brought.get()
    }

    /// A weight, which `bring` makes where it is not here.
    ///
    /// # Errors
    /// Those of `bring`.
    pub(crate) fn weight(
        &self,
        constant: &Constant,
        bring: impl FnOnce() -> Result<Arena>,
    ) -> Result<Rc<Arena>> {
        let Origin::Weight { source, tensors, layout } = &constant.origin else {
            return Ok(Rc::new(bring()?));
        };
        let key = (constant.dtype, constant.shape.to_vec(), *source, tensors.to_vec(), *layout);
        if let Some(known) = self.held.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        let weight = Rc::new(bring()?);
        self.brought.set(self.brought.get() + constant.bytes());
        self.held.borrow_mut().insert(key, Rc::clone(&weight));
        Ok(weight)
    }
}
