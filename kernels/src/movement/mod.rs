//! Elements moved, not changed. Joining is no kernel: what is joined is made in its place.

use zoetrope_model_spec::lang::Op;

use crate::Kernel;

/// Copies, orders of axes, joins.
pub fn declare() -> Vec<Kernel> {
    vec![
        Kernel::named("copy", "x, in a place of its own").reads("x", &[".."]).case(&[&[5, 19]]).means(
            "y",
            &[".."],
            |m, [x]| m.op(Op::Copy {}, &[x]),
        ),
        Kernel::named("permute", "axes in another order").reads("x", &[".."]).case(&[&[2, 3, 5]]).means(
            "y",
            &[".."],
            |m, [x]| m.permute(x, &[2, 0, 1]),
        ),
        Kernel::named("upsample", "nearest, twice the height and width")
            .reads("x", &["height", "width", "channels"])
            .case(&[&[3, 4, 5]])
            .means("y", &["rows", "columns", "channels"], |m, [x]| m.op(Op::Upsample {}, &[x])),
    ]
}
