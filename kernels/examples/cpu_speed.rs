//! Prints how fast the evaluator's products are, each beside a plain library product of as many operations.
//!
//! Medians of several runs on all threads of the machine: `cargo run --release -p zoetrope-kernels --example cpu_speed`.

use std::time::Instant;

use gemm_common::Parallelism;
use gemm_f32::gemm::f32::get_gemm_fn;
use zoetrope_kernels::eval::{Data, DataMut, Operand, Tensor, TensorMut, evaluate, pack};
use zoetrope_kernels::{Meaning, MeaningOp, Ref};
use zoetrope_model_spec::lang::{Op, UnaryFn};

/// Numbers that are not all alike.
fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 2_654_435_761) % 1000) as f32 * 1e-3 - 0.5).collect()
}

/// The median of the seconds that `f` takes, after one run that is not counted.
fn median(runs: usize, mut f: impl FnMut()) -> f64 {
    f();
    let mut seconds: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[runs / 2]
}

/// Seconds of an op on f32 operands, weights packed beforehand.
fn of(op: Op, shapes: &[&[usize]], result: &[usize]) -> f64 {
    let stored: Vec<Vec<f32>> = shapes.iter().map(|s| numbers(s.iter().product())).collect();
    let tensors: Vec<Tensor<'_>> = stored
        .iter()
        .zip(shapes)
        .map(|(data, shape)| Tensor { data: Data::F32(data), shape, row_stride: shape[shape.len() - 1] })
        .collect();
    let packed: Vec<_> = tensors.iter().enumerate().map(|(i, t)| pack(&op, i, t)).collect();
    let packed: Vec<_> = packed.iter().map(Option::as_ref).collect();
    let operands: Vec<Operand<'_>> = tensors.iter().copied().map(Operand::Tensor).collect();
    let inputs = (0..shapes.len()).map(Ref::Operand).collect();
    let meaning = Meaning { ops: vec![MeaningOp { op, inputs }] };
    let mut out = vec![0.0f32; result.iter().product()];
    median(7, || {
        let out = TensorMut { data: DataMut::F32(&mut out), shape: result };
        evaluate(&meaning, &operands, &packed, out).expect("the shapes fit");
    })
}

/// Seconds of a product `[m, k]`·`[k, n]` of the library on all threads.
fn library(m: usize, n: usize, k: usize) -> f64 {
    let (a, b) = (numbers(m * k), numbers(k * n));
    let mut c = vec![0.0f32; m * n];
    let (m_, n_, k_) = (m as isize, n as isize, k as isize);
    assert!(m_ >= 0 && n_ >= 0 && k_ >= 0 && a.len() == m * k && b.len() == k * n && c.len() == m * n);
    median(7, || {
        // SAFETY: the three slices hold exactly the elements that the extents and strides reach.
        unsafe {
            let threads = Parallelism::Rayon(0);
            let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
            // The transpose: the library's columns lie side by side.
            let product = get_gemm_fn();
            product(n, m, k, c, n_, 1, false, b, n_, 1, a, k_, 1, 0.0, 1.0, false, false, false, threads);
        }
    })
}

fn line(name: &str, operations: f64, seconds: f64, library: f64) {
    let [ours, theirs] = [seconds, library].map(|s| operations / s * 1e-9);
    println!(
        "{name:44} {:8.2} ms {ours:7.1} GFLOP/s   library {theirs:7.1}   {:.2}",
        seconds * 1e3,
        ours / theirs
    );
}

fn main() {
    let (t, k, n) = (2000, 1024, 4096);
    let operations = 2.0 * (t * k * n) as f64;
    line(
        "linear 2000x1024 by 1024x4096",
        operations,
        of(Op::Linear {}, &[&[t, k], &[n, k]], &[t, n]),
        library(t, n, k),
    );

    let operations = 2.0 * (t * k * n) as f64;
    line(
        "linear 2000x4096 by 4096x1024",
        operations,
        of(Op::Linear {}, &[&[t, n], &[k, n]], &[t, k]),
        library(t, k, n),
    );

    let operations = 2.0 * (8 * k * n) as f64;
    line(
        "linear 8x1024 by 1024x4096",
        operations,
        of(Op::Linear {}, &[&[8, k], &[n, k]], &[8, n]),
        library(8, n, k),
    );

    let (heads, d) = (16, 64);
    let attention = Op::Attention { heads, kv_heads: heads, scale: 0.125, causal: false };
    let operations = 4.0 * (t * t * heads * d) as f64;
    let row: &[usize] = &[t, heads * d];
    line(
        "attention 2000x2000, 16 heads of 64",
        operations,
        of(attention, &[row; 3], row),
        library(t, 2 * t, heads * d),
    );

    for (c, frames, h, w) in [(256, 9, 48, 64), (128, 5, 96, 128), (512, 9, 24, 32)] {
        let conv = Op::Conv { pads: vec![1; 6], replicate: true, stride: 1, dilation: 1 };
        let positions = frames * h * w;
        let operations = 2.0 * (positions * c * c * 27) as f64;
        let image: &[usize] = &[frames, h, w, c];
        let name = format!("conv {c} to {c}, 3x3x3, at {frames}x{h}x{w}");
        let weight: &[usize] = &[c, 3, 3, 3, c];
        line(&name, operations, of(conv, &[image, weight], image), library(positions, 3 * c, 9 * c));
    }

    let (l, c) = (40_000, 48);
    let conv = Op::Conv { pads: vec![25, 25], replicate: false, stride: 1, dilation: 5 };
    let operations = 2.0 * (l * c * c * 11) as f64;
    let (samples, weight): (&[usize], &[usize]) = (&[l, c], &[c, 11, c]);
    line(
        "conv 48 to 48, 11, dilation 5, at 40000",
        operations,
        of(conv, &[samples, weight], samples),
        library(l, c, 11 * c),
    );

    for f in [UnaryFn::Gelu, UnaryFn::Silu, UnaryFn::Sigmoid] {
        let seconds = of(Op::Unary { f }, &[&[t, n]], &[t, n]);
        println!(
            "{:44} {:8.2} ms {:7.2} ns an element",
            f.name(),
            seconds * 1e3,
            seconds * 1e9 / (t * n) as f64
        );
    }
}
