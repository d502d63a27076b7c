//! Weights that stay in memory from one plan to the next.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::arena::Arena;
use crate::constants::{Weights, editions};
use crate::error::Result;
use crate::plan::{Constant, Identity};

/// The weights of one model as plans want them, each once, for as long as one of its handles lives: what one plan has
/// brought, another one of the same process finds.
///
/// A plan's peak does not count it. It takes at most as much as the weights of all plans that were run with it, each once:
/// another edition of a weight takes the place of the one that was there. Weights that lie in a mapped file as a plan wants
/// them take nothing.
#[derive(Clone, Default)]
pub struct Pool(Rc<Shared>);

#[derive(Default)]
struct Shared {
    held: RefCell<HashMap<Identity, Held>>,
    brought: Cell<u64>,
}

struct Held {
    /// Of its tensors, in their order.
    editions: Vec<u64>,
    bytes: Rc<Arena>,
}

impl Pool {
    /// Bytes of all weights that were brought here so far.
    pub fn brought_bytes(&self) -> u64 {
        self.0.brought.get()
    }

    /// A weight of `files`, which `bring` makes where it is not here.
    ///
    /// # Errors
    /// Those of `bring`.
    pub(crate) fn weight(
        &self,
        files: &dyn Weights,
        constant: &Constant,
        bring: impl FnOnce() -> Result<Arena>,
    ) -> Result<Rc<Arena>> {
        let Some(identity) = constant.identity() else { return Ok(Rc::new(bring()?)) };
        let editions = editions(files, constant);
        if let Some(known) = self.0.held.borrow().get(&identity).filter(|held| held.editions == editions) {
            return Ok(Rc::clone(&known.bytes));
        }
        // What it replaces is given back first.
        self.0.held.borrow_mut().remove(&identity);
        let bytes = Rc::new(bring()?);
        self.0.brought.set(self.0.brought.get() + constant.bytes());
        self.0.held.borrow_mut().insert(identity, Held { editions, bytes: Rc::clone(&bytes) });
        Ok(bytes)
    }
}
