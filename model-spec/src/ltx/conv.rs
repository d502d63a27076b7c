//! Convolutions by the names of their weights.

use crate::lang::{Builder, Op, Value};

/// The convolution `op` of `x` [space.., channels] to `out` channels whose filters `weight` and `bias` stand at path
/// `name`.
pub fn conv(b: &Builder, name: &str, x: Value, out: usize, kernel: &[usize], op: Op) -> Value {
    b.scope(name, || {
        let weight = b.filters("weight", out, kernel, b.width(x));
        b.op(op, &[x, weight, b.weight("bias", &[out])])
    })
}
