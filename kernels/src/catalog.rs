//! Every kernel there is, in families. To add one: its folder, and a line here.

use crate::Kernel;
use crate::{
    attention, audio, blur, convolution, elementwise, frames, group_norm, linear, movement, rms_norm,
    sampler, text,
};

/// All declared kernels. Names are unique.
pub fn catalog() -> Vec<Kernel> {
    let families: [fn() -> Vec<Kernel>; 12] = [
        linear::declare,
        attention::declare,
        rms_norm::declare,
        convolution::declare,
        group_norm::declare,
        elementwise::declare,
        movement::declare,
        blur::declare,
        text::declare,
        audio::declare,
        sampler::declare,
        frames::declare,
    ];
    families.into_iter().flat_map(|declare| declare()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use zoetrope_model_spec::lang::{BinaryFn, Op, UnaryFn};

    use super::*;

    #[test]
    fn attributes_have_the_names_that_ops_give_them() {
        let text = |name: &str| {
            let kernels = catalog();
            kernels.iter().find(|k| k.name == name).map(|k| k.meaning.attrs_text())
        };
        assert_eq!(text("rms_norm_weight").as_deref(), Some("eps=1e-6 offset=0.0 groups=1"));
        // What the name says is left out; two ops with an offset are told from each other.
        assert_eq!(text("add").as_deref(), Some(""));
        let modulate = text("rms_norm_modulate").expect("a kernel");
        assert!(modulate.starts_with("eps=1e-6 rms_norm.offset=0.0 groups=1"), "{modulate}");
        assert!(modulate.contains("affine.offset=1.0"), "{modulate}");
    }

    /// An attribute is pinned exactly where two ops that differ in it are not taken for each other.
    #[test]
    fn what_a_name_says_is_what_patterns_compare() {
        for op in catalog().iter().flat_map(|k| &k.meaning.ops).map(|op| &op.op) {
            for (field, _) in op.fields() {
                let other = match op {
                    Op::Unary { f } => {
                        Op::Unary { f: if *f == UnaryFn::Exp { UnaryFn::Sin } else { UnaryFn::Exp } }
                    }
                    Op::Binary { f } => {
                        Op::Binary { f: if *f == BinaryFn::Add { BinaryFn::Sub } else { BinaryFn::Add } }
                    }
                    Op::Attention { heads, kv_heads, scale, causal } if field == "causal" => {
                        Op::Attention { heads: *heads, kv_heads: *kv_heads, scale: *scale, causal: !causal }
                    }
                    _ => continue,
                };
                assert!(op.pins(field) && !op.stands_for(&other), "{field} of {op}");
            }
        }
    }

    #[test]
    fn names_are_unique_and_attributes_survive_the_flat_form() {
        let kernels = catalog();
        let names: BTreeSet<_> = kernels.iter().map(|k| k.name).collect();
        assert_eq!(names.len(), kernels.len());
        for kernel in kernels {
            assert_eq!(
                kernel.meaning.with_attrs(&kernel.meaning.attrs()),
                Some(kernel.meaning.clone()),
                "{}",
                kernel.name
            );
        }
    }
}
