//! Functions of elements that nothing larger took along.

use zoetrope_model_spec::lang::{BinaryFn, Dtype, Op, UnaryFn};

use crate::Kernel;
use crate::cuda::{Cuda, Source};

const SOURCE: Source =
    Source { name: "elementwise/elementwise.cu", text: include_str!("elementwise.cu"), includes: None };

fn unary(name: &'static str, f: UnaryFn) -> Kernel {
    Kernel::named(name, "a function of each element")
        .reads("x", &["..", "dim"])
        .or_in_place()
        .case(&[&[5, 19]])
        .means("y", &["..", "dim"], move |m, [x]| m.op(Op::Unary { f }, &[x]))
        .cuda(Cuda::of_units(SOURCE, "unary"))
}

fn binary(name: &'static str, f: BinaryFn) -> Kernel {
    Kernel::named(name, "a function of element pairs; y may be one row, one column or one element")
        .reads("x", &["..", "dim"])
        .or_in_place()
        .reads("y", &[".."])
        .case(&[&[5, 19], &[5, 19]])
        .case(&[&[5, 19], &[1, 19]])
        .case(&[&[5, 19], &[5, 1]])
        .case(&[&[5, 19], &[1]])
        .means("z", &["..", "dim"], move |m, [x, y]| m.op(Op::Binary { f }, &[x, y]))
        .cuda(Cuda::of_units(SOURCE, "binary"))
}

/// Single functions, and the pairs that the statistics of latents are made of.
pub fn declare() -> Vec<Kernel> {
    vec![
        unary("silu", UnaryFn::Silu),
        unary("gelu", UnaryFn::Gelu),
        unary("sigmoid", UnaryFn::Sigmoid),
        unary("exp", UnaryFn::Exp),
        unary("log", UnaryFn::Log),
        unary("sin", UnaryFn::Sin),
        unary("cos", UnaryFn::Cos),
        unary("sqrt", UnaryFn::Sqrt),
        binary("add", BinaryFn::Add),
        binary("sub", BinaryFn::Sub),
        binary("mul", BinaryFn::Mul),
        binary("div", BinaryFn::Div),
        Kernel::named("outer_add", "every row of x plus every row of y")
            .reads("x", &["m", "dim"])
            .reads("y", &["n", "dim"])
            .case(&[&[5, 19], &[3, 19]])
            .case(&[&[4, 24], &[1, 24]])
            .means("z", &["m", "n", "dim"], |m, [x, y]| m.op(Op::OuterAdd {}, &[x, y]))
            .cuda(Cuda::of_units(SOURCE, "outer_add")),
        Kernel::named("affine", "x·scale + offset")
            .reads("x", &["..", "dim"])
            .or_in_place()
            .case(&[&[5, 19]])
            .means("y", &["..", "dim"], |m, [x]| m.affine(x, 0.5, 2.0))
            .cuda(Cuda::of_units(SOURCE, "affine")),
        Kernel::named("clamp", "x, limited")
            .reads("x", &["..", "dim"])
            .or_in_place()
            .case(&[&[5, 19]])
            .means("y", &["..", "dim"], |m, [x]| m.clamp(x, -0.5, 0.5))
            .cuda(Cuda::of_units(SOURCE, "clamped")),
        Kernel::named("affine_clamp", "x·scale + offset, limited")
            .reads("x", &["..", "dim"])
            .or_in_place()
            .case(&[&[5, 19]])
            .means("y", &["..", "dim"], |m, [x]| m.clamp(m.affine(x, 0.5, 0.5), 0.0, 1.0))
            .cuda(Cuda::of_units(SOURCE, "affine_clamp")),
        Kernel::named("add_clamp", "x + y, limited")
            .reads("x", &["..", "dim"])
            .or_in_place()
            .reads("y", &["..", "dim"])
            .case(&[&[5, 19], &[5, 19]])
            .means("z", &["..", "dim"], |m, [x, y]| m.clamp(m.add(x, y), -1.0, 1.0))
            .cuda(Cuda::of_units(SOURCE, "add_clamp")),
        Kernel::named("add_affine", "(x + y)·scale + offset: the mean of several blocks")
            .reads("x", &["..", "dim"])
            .or_in_place()
            .reads("y", &["..", "dim"])
            .case(&[&[5, 19], &[5, 19]])
            .means("z", &["..", "dim"], |m, [x, y]| m.affine(m.add(x, y), 0.5, 0.0))
            .cuda(Cuda::of_units(SOURCE, "add_affine")),
        Kernel::named("cast", "the same numbers, stored otherwise")
            .reads("x", &["..", "dim"])
            .case(&[&[5, 19]])
            .means("y", &["..", "dim"], |m, [x]| m.op(Op::Cast { to: Dtype::F32 }, &[x]))
            .cuda(Cuda::of_units(SOURCE, "cast")),
        Kernel::named("cast_ints", "numbers as integers, towards zero")
            .reads("x", &["..", "dim"])
            .case(&[&[5, 19]])
            .means("y", &["..", "dim"], |m, [x]| m.op(Op::Cast { to: Dtype::I32 }, &[x]))
            .cuda(Cuda::of_units(SOURCE, "cast_ints")),
        Kernel::named("denormalize", "x·std + mean, per channel")
            .reads("x", &["..", "channels"])
            .reads("std", &["channels"])
            .reads("mean", &["channels"])
            .case(&[&[3, 4, 8], &[8], &[8]])
            .means("y", &["..", "channels"], |m, [x, std, mean]| m.add(m.mul(x, std), mean))
            .cuda(Cuda::of_units(SOURCE, "denormalize")),
        Kernel::named("normalize", "(x − mean)/std, per channel")
            .reads("x", &["..", "channels"])
            .reads("mean", &["channels"])
            .reads("std", &["channels"])
            .case(&[&[3, 4, 8], &[8], &[8]])
            .means("y", &["..", "channels"], |m, [x, mean, std]| m.div(m.sub(x, mean), std))
            .cuda(Cuda::of_units(SOURCE, "normalize")),
        Kernel::named("magnitude", "sqrt(re² + im²)")
            .reads("re", &["..", "bins"])
            .reads("im", &["..", "bins"])
            .case(&[&[2, 5, 17], &[2, 5, 17]])
            .means("y", &["..", "bins"], |m, [re, im]| m.sqrt(m.add(m.mul(re, re), m.mul(im, im))))
            .cuda(Cuda::of_units(SOURCE, "magnitude")),
    ]
}
