//! Linear layers, with an adapter beside them or without.

use super::{BinaryFn, Builder, Op, Source, Value};

/// A place for adapters (LoRA) of some phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdapterSlot {
    /// Which of a plan's slots.
    pub number: u8,
    /// The rank that there is room for, of all adapters in the slot together, where they stay apart from the weights:
    /// beside each linear layer y = W·x + b stand A [rank, in] and B [out, rank], and the layer computes
    /// W·x + B·(A·x) + b. A layer has at most the smaller of its widths, with which any change of it can be written.
    /// `None` where they are merged: the phases then have weights of their own ([`Source::Merged`]).
    pub rank: Option<usize>,
}

impl Builder {
    /// Records `f` with a place for adapters beside every linear layer ([`Builder::linear`]), or without.
    pub fn with_adapters<T>(&self, slot: Option<AdapterSlot>, f: impl FnOnce() -> T) -> T {
        let outer = self.adapters.replace(slot);
        let result = f();
        self.adapters.set(outer);
        result
    }

    /// Where tensors of the current component come from, and what their names begin with.
    pub(super) fn source(&self) -> (Source, String) {
        let (source, prefix) = self.component.borrow().clone();
        match (source, self.adapters.get()) {
            (Source::Checkpoint, Some(AdapterSlot { number, rank: None })) => {
                (Source::Merged(number), prefix)
            }
            _ => (source, prefix),
        }
    }

    /// The linear layer whose `weight` and `bias` stand at path `name`.
    pub fn linear(&self, name: &str, x: Value, out: usize) -> Value {
        self.scope(name, || {
            let (w, b) = (self.matrix("weight", [out, self.width(x)]), self.weight("bias", &[out]));
            let Some(AdapterSlot { number, rank: Some(rank) }) = self.adapters.get() else {
                return self.op(Op::Linear {}, &[x, w, b]);
            };
            let rank = rank.min(out).min(self.width(x));
            let prefix = self.component.borrow().1.clone();
            let [down, up] = self.component(Source::Adapter(number), &prefix, || {
                let down = self.scope("lora_A", || self.weight("weight", &[rank, self.width(x)]));
                [down, self.scope("lora_B", || self.weight("weight", &[out, rank]))]
            });
            let inner = self.op(Op::Linear {}, &[x, down]);
            // The bias goes with the second product, which adds to the first one in its place.
            let base = self.op(Op::Linear {}, &[x, w]);
            self.op(Op::Binary { f: BinaryFn::Add }, &[base, self.op(Op::Linear {}, &[inner, up, b])])
        })
    }

    /// As [`Builder::linear`], without bias and without adapters.
    pub fn linear_no_bias(&self, name: &str, x: Value, out: usize) -> Value {
        self.scope(name, || {
            let w = self.matrix("weight", [out, self.width(x)]);
            self.op(Op::Linear {}, &[x, w])
        })
    }
}
