//! Convolutions over channels-last maps, with the norm before and the sum, folding or unfolding after.

use zoetrope_model_spec::lang::{Builder, Op, Value};

use crate::Kernel;
use crate::cuda::{Cuda, Source};

mod cuda;

use cuda::{product, transposed, unfold_grid};

const POSITIONS: Source =
    Source { name: "convolution/positions.cu", text: include_str!("positions.cu"), includes: None };
const GATHERED: Source =
    Source { name: "convolution/gathered.cu", text: include_str!("gathered.cu"), includes: Some(&POSITIONS) };
const HALO: Source =
    Source { name: "convolution/halo.cu", text: include_str!("halo.cu"), includes: Some(&GATHERED) };
const PRODUCTS: Source = Source {
    name: "convolution/convolution.cu",
    text: include_str!("convolution.cu"),
    includes: Some(&HALO),
};
const UNFOLDED: Source =
    Source { name: "convolution/unfold.cu", text: include_str!("unfold.cu"), includes: Some(&PRODUCTS) };
const FOLDED: Source =
    Source { name: "convolution/fold.cu", text: include_str!("fold.cu"), includes: Some(&PRODUCTS) };
const TRANSPOSED: Source =
    Source { name: "convolution/transposed.cu", text: include_str!("transposed.cu"), includes: None };

fn conv(m: &Builder, x: Value, w: Value, bias: Value) -> Value {
    m.op(Op::Conv { pads: vec![1; 6], replicate: true, stride: 1, dilation: 1 }, &[x, w, bias])
}

fn norm_silu(m: &Builder, x: Value) -> Value {
    m.silu(m.rms(x, 1e-8))
}

const UNFOLD: Op = Op::DepthToSpace { st: 2, sh: 2, sw: 2, drop: 1 };

fn fold(m: &Builder, x: Value, repeat: usize) -> Value {
    m.op(Op::SpaceToDepth { st: 2, sh: 2, sw: 2, repeat }, &[x])
}

/// Convolutions over one to three axes.
pub fn declare() -> Vec<Kernel> {
    vec![
        Kernel::named("conv", "convolution without bias")
            .reads("x", &["..", "in"])
            .reads("w", &["out", "..", "in"])
            .case(&[&[3, 4, 5, 6], &[8, 3, 3, 3, 6]])
            .means("y", &["..", "out"], |m, [x, w]| {
                m.op(Op::Conv { pads: vec![1; 6], replicate: true, stride: 1, dilation: 1 }, &[x, w])
            })
            .cuda(product(PRODUCTS, "conv"))
            .cuda_case("4 0 0 2 0 0 3 1", &[&[1, 40, 1], &[10, 1, 8, 1]]),
        Kernel::named("conv_bias", "convolution")
            .reads("x", &["..", "in"])
            .reads("w", &["out", "..", "in"])
            .reads("bias", &["out"])
            .case(&[&[3, 4, 5, 6], &[8, 3, 3, 3, 6], &[8]])
            .means("y", &["..", "out"], |m, [x, w, bias]| conv(m, x, w, bias))
            .cuda(product(PRODUCTS, "conv_bias"))
            .cuda_case("2 9 9 0 1 3", &[&[70, 16], &[24, 7, 16], &[24]])
            .cuda_case("4 2 0 1 1 0 1 1", &[&[6, 9, 24], &[136, 3, 3, 24], &[136]])
            .cuda_case("4 1 1 0 0 1 1 1", &[&[5, 18, 16], &[9, 3, 1, 16], &[9]])
            .cuda_case("4 0 0 1 0 0 1 1", &[&[5, 18, 40], &[70, 1, 2, 40], &[70]])
            .cuda_case("4 2 0 0 1 0 2 1", &[&[7, 18, 24], &[20, 3, 3, 24], &[20]])
            .cuda_case("6 0 0 0 0 0 0 0 1 1", &[&[3, 4, 5, 16], &[5, 1, 1, 1, 16], &[5]]),
        Kernel::named("conv_bias_residual", "residual + convolution")
            .reads("x", &["..", "in"])
            .reads("w", &["out", "..", "in"])
            .reads("bias", &["out"])
            .reads("residual", &["..", "out"])
            .or_in_place()
            .case(&[&[3, 4, 5, 6], &[8, 3, 3, 3, 6], &[8], &[3, 4, 5, 8]])
            .means("y", &["..", "out"], |m, [x, w, bias, residual]| m.add(residual, conv(m, x, w, bias)))
            .cuda(product(PRODUCTS, "conv_bias_residual")),
        Kernel::named("rms_norm_silu_conv_bias", "RMS norm over channels, SiLU, convolution")
            .reads("x", &["..", "in"])
            .reads("w", &["out", "..", "in"])
            .reads("bias", &["out"])
            .case(&[&[3, 4, 5, 6], &[8, 3, 3, 3, 6], &[8]])
            .means("y", &["..", "out"], |m, [x, w, bias]| conv(m, norm_silu(m, x), w, bias))
            .cuda(product(PRODUCTS, "rms_norm_silu_conv_bias"))
            .cuda_case("1e-8 0.0 1 0 6 1 1 1 1 1 1 1 1 1", &[&[2, 17, 5, 40], &[72, 3, 3, 3, 40], &[72]])
            .cuda_case("1e-6 0.0 1 0 4 2 0 1 1 0 1 1", &[&[6, 9, 24], &[20, 3, 3, 24], &[20]]),
        Kernel::named(
            "rms_norm_silu_conv_bias_residual",
            "residual + convolution of SiLU of RMS norm over channels",
        )
        .reads("x", &["..", "in"])
        .reads("w", &["out", "..", "in"])
        .reads("bias", &["out"])
        .reads("residual", &["..", "out"])
        .or_in_place()
        .case(&[&[3, 4, 5, 6], &[8, 3, 3, 3, 6], &[8], &[3, 4, 5, 8]])
        .means("y", &["..", "out"], |m, [x, w, bias, residual]| {
            m.add(residual, conv(m, norm_silu(m, x), w, bias))
        })
        .cuda(product(PRODUCTS, "rms_norm_silu_conv_bias_residual")),
        Kernel::named("conv_bias_depth_to_space", "convolution whose channels unfold into space and time")
            .reads("x", &["..", "in"])
            .reads("w", &["out", "..", "in"])
            .reads("bias", &["out"])
            .case(&[&[3, 4, 5, 6], &[16, 3, 3, 3, 6], &[16]])
            .means("y", &["..", "channels"], |m, [x, w, bias]| m.op(UNFOLD, &[conv(m, x, w, bias)]))
            .cuda(product(UNFOLDED, "conv_bias_depth_to_space"))
            .cuda_case("6 0 0 1 1 1 1 0 1 1 1 2 2 0", &[&[2, 4, 5, 8], &[12, 1, 3, 3, 8], &[12]]),
        Kernel::named(
            "rms_norm_silu_conv_bias_unpatchify",
            "RMS norm, SiLU, convolution, pixels of each patch",
        )
        .reads("x", &["..", "in"])
        .reads("w", &["out", "..", "in"])
        .reads("bias", &["out"])
        .case(&[&[3, 4, 5, 6], &[12, 3, 3, 3, 6], &[12]])
        .means("y", &["..", "channels"], |m, [x, w, bias]| {
            m.op(Op::Unpatchify { patch: 2 }, &[conv(m, norm_silu(m, x), w, bias)])
        })
        .cuda(product(UNFOLDED, "rms_norm_silu_conv_bias_unpatchify")),
        Kernel::named("depth_to_space", "channels unfold into space and time")
            .reads("x", &["..", "in"])
            .case(&[&[3, 4, 5, 16]])
            .means("y", &["..", "channels"], |m, [x]| m.op(UNFOLD, &[x]))
            .cuda(Cuda { launch: unfold_grid, ..Cuda::of_units(UNFOLDED, "depth_to_space") }),
        Kernel::named("unpatchify", "channels unfold into the pixels of a patch, column offset slower")
            .reads("x", &["..", "in"])
            .case(&[&[3, 4, 5, 12]])
            .means("y", &["..", "channels"], |m, [x]| m.op(Op::Unpatchify { patch: 2 }, &[x]))
            .cuda(Cuda { launch: unfold_grid, ..Cuda::of_units(UNFOLDED, "unpatchify") }),
        Kernel::named(
            "conv_bias_space_to_depth_skip",
            "convolution whose positions fold into channels + means of channels of skip, folded",
        )
        .reads("x", &["..", "in"])
        .reads("w", &["out", "..", "in"])
        .reads("bias", &["out"])
        .reads("skip", &["..", "channels"])
        .case(&[&[4, 4, 6, 6], &[5, 3, 3, 3, 6], &[5], &[3, 4, 6, 10]])
        .means("y", &["..", "folded"], |m, [x, w, bias, skip]| {
            let main = fold(m, conv(m, x, w, bias), 0);
            m.add(main, m.op(Op::GroupMean { size: 2 }, &[fold(m, skip, 1)]))
        })
        .cuda(product(FOLDED, "conv_bias_space_to_depth_skip"))
        // Causal, as an encoder has it; one frame; behind a convolution that repeats.
        .cuda_case(
            "6 3 0 1 1 1 1 1 1 1 2 2 2 0 2 2 2 1 4 0",
            &[&[3, 20, 18, 16], &[9, 3, 3, 3, 16], &[9], &[3, 20, 18, 36]],
        )
        .cuda_case(
            "6 3 0 1 1 1 1 1 1 1 2 1 1 0 2 1 1 1 1 0",
            &[&[1, 3, 5, 8], &[72, 3, 3, 3, 8], &[72], &[1, 3, 5, 72]],
        )
        .cuda_case(
            "6 2 0 1 1 1 1 1 1 1 1 2 2 0 1 2 2 0 2 0",
            &[&[2, 4, 18, 40], &[70, 3, 3, 3, 40], &[70], &[2, 4, 18, 140]],
        )
        .cuda_case(
            "6 1 1 1 1 1 1 1 1 1 2 1 2 3 2 1 2 1 2 0",
            &[&[3, 3, 6, 8], &[6, 3, 3, 3, 8], &[6], &[5, 3, 6, 12]],
        ),
        Kernel::named("space_to_depth", "positions fold into channels")
            .reads("x", &["..", "in"])
            .case(&[&[3, 4, 6, 5]])
            .means("y", &["..", "channels"], |m, [x]| fold(m, x, 1))
            .cuda(Cuda::of_units(FOLDED, "space_to_depth"))
            .cuda_case("1 2 1 0", &[&[2, 4, 3, 20]]),
        Kernel::named("group_mean", "the mean of several channels in a row")
            .reads("x", &["..", "in"])
            .case(&[&[3, 4, 36]])
            .means("y", &["..", "channels"], |m, [x]| m.op(Op::GroupMean { size: 3 }, &[x]))
            .cuda(Cuda::of_units(FOLDED, "group_mean")),
        Kernel::named("patchify", "planes as the channels of patches, column offset slower")
            .reads("x", &["channels", "frames", "height", "width"])
            .case(&[&[3, 2, 4, 6]])
            .means("y", &["..", "patch"], |m, [x]| m.op(Op::Patchify { patch: 2 }, &[x]))
            .cuda(Cuda::of_units(FOLDED, "patchify"))
            .cuda_case("3", &[&[2, 3, 6, 15]]),
        Kernel::named("conv_transpose_bias", "transposed convolution over one axis")
            .reads("x", &["samples", "in"])
            .reads("w", &["in", "out", "k"])
            .reads("bias", &["out"])
            .case(&[&[9, 6], &[6, 3, 11], &[3]])
            .means("y", &["length", "out"], |m, [x, w, bias]| {
                m.op(Op::ConvTranspose { stride: 5, pad: 3 }, &[x, w, bias])
            })
            .cuda(transposed(TRANSPOSED))
            .cuda_case("2 1", &[&[150, 16], &[16, 12, 4], &[12]])
            .cuda_case("6 3", &[&[30, 24], &[24, 12, 11], &[12]]),
    ]
}
