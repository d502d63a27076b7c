//! Every kernel there is, in families. To add one: its folder, and a line here.

use crate::Kernel;
use crate::{
    attention, audio, convolution, elementwise, group_norm, linear, movement, picture, rms_norm, sampler,
    text,
};

/// All declared kernels. Names are unique.
pub fn catalog() -> Vec<Kernel> {
    let families: [fn() -> Vec<Kernel>; 11] = [
        linear::declare,
        attention::declare,
        rms_norm::declare,
        convolution::declare,
        group_norm::declare,
        elementwise::declare,
        movement::declare,
        text::declare,
        audio::declare,
        sampler::declare,
        picture::declare,
    ];
    families.into_iter().flat_map(|declare| declare()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

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
