//! The feed-forward module of transformer and connectors (docs/model/transformer.md 1).

use crate::lang::{Builder, Value};

/// Linear d → 4d, GELU (tanh), Linear 4d → d on `x` [tokens, d].
pub fn feed_forward(b: &Builder, x: Value) -> Value {
    let width = b.width(x);
    b.linear("net.2", b.gelu(b.linear("net.0.proj", x, 4 * width)), width)
}
