//! The same products with a weight that stays encoded: its rows are decoded on their way into the tile, and take less
//! memory until then. Each is declared by the one without, with a `decode` in front of the weight.

use zoetrope_model_spec::lang::{Dtype, Kept, Op};

use super::SOURCE;
use crate::cuda::{Cuda, Part, Source};
use crate::{Kernel, Meaning, MeaningOp, OperandDecl, Ref};

const ENCODED: Source =
    Source { name: "linear/encoded.cu", text: include_str!("encoded.cu"), includes: Some(&SOURCE) };

/// What the declarations are called whose weight is decoded, and what they are.
const NAMES: [(&str, &str, &str); 13] = [
    ("linear", "decode_linear", "x·decode(w)ᵀ"),
    ("linear_bias", "decode_linear_bias", "x·decode(w)ᵀ + bias"),
    ("linear_bias_gelu", "decode_linear_bias_gelu", "gelu(x·decode(w)ᵀ + bias)"),
    ("linear_bias_silu", "decode_linear_bias_silu", "silu(x·decode(w)ᵀ + bias)"),
    ("silu_linear_bias", "decode_silu_linear_bias", "silu(x)·decode(w)ᵀ + bias"),
    ("linear_bias_residual", "decode_linear_bias_residual", "residual + x·decode(w)ᵀ + bias"),
    (
        "linear_bias_residual_gelu",
        "decode_linear_bias_residual_gelu",
        "gelu(partial + x·decode(w)ᵀ + bias): the second of two products",
    ),
    (
        "linear_bias_gate_residual",
        "decode_linear_bias_gate_residual",
        "residual + (x·decode(w)ᵀ + bias)·gate, one gate row for all tokens",
    ),
    (
        "linear_bias_class_gate_residual",
        "decode_linear_bias_class_gate_residual",
        "residual + (x·decode(w)ᵀ + bias)·gate, the gate row of each token's class",
    ),
    (
        "linear_bias_partial_gate_residual",
        "decode_linear_bias_partial_gate_residual",
        "residual + (partial + x·decode(w)ᵀ + bias)·gate, one gate row for all tokens",
    ),
    (
        "linear_bias_partial_class_gate_residual",
        "decode_linear_bias_partial_class_gate_residual",
        "residual + (partial + x·decode(w)ᵀ + bias)·gate, the gate row of each token's class",
    ),
    ("linear_gelu", "decode_linear_gelu", "gelu(x·decode(w)ᵀ)"),
    ("linear_times", "decode_linear_times", "factor·(x·decode(w)ᵀ): the second half of a gated unit"),
];

/// Of every second operand: the weight.
const WEIGHT: usize = 1;

/// Rows, columns of x and rows of w of further cases: more than a tile, and columns that end inside a step.
const SHAPES: [(Kept, [usize; 3]); 5] = [
    (Kept::Fp8, [150, 208, 200]),
    (Kept::Q8_0, [150, 224, 200]),
    (Kept::Q4_K, [150, 512, 200]),
    (Kept::Fp8, [3, 512, 130]),
    (Kept::Q4_K, [5, 256, 9]),
];

/// The twins of `plain` that decode their weight.
pub fn declare(plain: &[Kernel]) -> Vec<Kernel> {
    let twins = NAMES.iter().filter_map(|(of, name, doc)| {
        let kernel = plain.iter().find(|kernel| kernel.name == *of)?;
        Some(decoding(kernel, name, doc))
    });
    let mut twins: Vec<Kernel> = twins.collect();
    // How rows are decoded does not depend on what follows the product.
    for (kept, [rows, columns, n]) in SHAPES {
        let shapes = vec![vec![rows, columns], vec![n, row_bytes(kept, columns)]];
        let product = &mut twins[0];
        let sample = product.sample(in_front(&plain[0].meaning, kept, columns), shapes);
        product.cuda_cases.push(sample);
    }
    twins
}

fn row_bytes(kept: Kept, columns: usize) -> usize {
    kept.row_bytes(columns).expect("a case with whole rows")
}

/// The meaning with a decoded weight.
fn in_front(meaning: &Meaning, kept: Kept, columns: usize) -> Meaning {
    let decode = MeaningOp { op: Op::Decode { kept, columns }, inputs: vec![Ref::Operand(WEIGHT)] };
    let moved = |r: &Ref| match *r {
        Ref::Operand(WEIGHT) => Ref::Inner(0),
        Ref::Operand(i) => Ref::Operand(i),
        Ref::Inner(i) => Ref::Inner(i + 1),
    };
    let behind = meaning
        .ops
        .iter()
        .map(|op| MeaningOp { op: op.op.clone(), inputs: op.inputs.iter().map(moved).collect() });
    Meaning { ops: std::iter::once(decode).chain(behind).collect() }
}

fn decoding(kernel: &Kernel, name: &'static str, doc: &'static str) -> Kernel {
    let kept = Kept::Q8_0;
    let mut shapes = kernel.cases[0].clone();
    let columns = shapes[WEIGHT][1];
    shapes[WEIGHT][1] = row_bytes(kept, columns);
    let mut reads = kernel.reads.clone();
    reads[WEIGHT] = OperandDecl { axes: &["n", "bytes"], encoded: true, ..reads[WEIGHT].clone() };
    Kernel {
        name,
        doc,
        reads,
        meaning: in_front(&kernel.meaning, kept, columns),
        cases: vec![shapes],
        cuda: kernel.cuda.map(|cuda| Cuda { source: ENCODED, multiplies, ..cuda }),
        // Boxes of bytes are not decoded on Hopper: its cards take the portable kernel.
        hopper: None,
        cuda_cases: Vec::new(),
        ..kernel.clone()
    }
}

/// Whether x is a factor on tensor cores; what is decoded becomes one.
fn multiplies(_: &Meaning, part: &Part) -> bool {
    part.reads[0].dtype == Dtype::Bf16
}
