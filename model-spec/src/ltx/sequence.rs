//! Equal blocks in sequence.

use crate::lang::{Builder, Value};

/// `count` blocks, each fed with what the one before returns; the weights of block n stand at `name.n`.
pub fn sequence(
    b: &Builder,
    name: &str,
    count: usize,
    x: Value,
    block: impl FnOnce(Value) -> Value,
) -> Value {
    b.repeat(name, 0..count, &[x], |state| vec![b.scope(&format!("{name}.*"), || block(state[0]))])[0]
}
