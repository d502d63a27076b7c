//! Planted faults: what the emulation and its comparison must catch.

use std::sync::Mutex;

use zoetrope_kernels::catalog;
use zoetrope_kernels::cuda::{Class, Variant};

use crate::cases::{Arrangement, Bound, Case, Storage, dtypes};
use crate::program::{Edit, Program, compiler};
use crate::random::Random;

/// Runs a kernel's last case with a fault in it, in order and in some random orders; the first complaint. `change` may
/// change the variant, too.
fn complaint(
    name: &str,
    (kernel, class): (&str, Class),
    edit: Option<Edit>,
    change: impl Fn(&mut Variant),
) -> Option<String> {
    let kernel = catalog().into_iter().find(|k| k.name == kernel).expect("a declared kernel");
    let (meaning, shapes) = kernel
        .cuda_cases
        .last()
        .cloned()
        .unwrap_or_else(|| (kernel.meaning.clone(), kernel.cases[0].clone()));
    let bound = Bound { kernel: &kernel, meaning: &meaning };
    let case = |seed| Case {
        shapes: vec![shapes.clone()],
        dtypes: dtypes(&kernel, Storage::Bf16, false),
        arrangement: Arrangement { gap: 8, multiple: 8, in_place: false, seed },
    };
    let mut variant = case(0).variant(&bound, class);
    assert_eq!(variant.class, class, "{} has a kernel of the class", kernel.name);
    change(&mut variant);
    let program = Program::build(name, &[&variant], edit).expect("a fault that compiles");
    (0..6).find_map(|seed| case(seed).run(&bound, (&variant, 0), &mut program.start(), &mut Random(5)).err())
}

/// Kernel, file, what stands there, and the fault in its place.
const FAULTS: [(&str, &str, &str, &str); 9] = [
    // One row too many.
    ("affine", "tensor.cuh", "if (row < rows)", "if (row <= rows)"),
    // Arguments exchanged.
    ("normalize", "elementwise/elementwise.cu", "part.mean, part.std, part.y", "part.std, part.mean, part.y"),
    // Sums of warps read before all are there.
    ("rms_norm_weight", "functions.cuh", "        block_barrier();\n        x = 0.0f;", "        x = 0.0f;"),
    // A square turned before it is whole.
    ("permute", "movement/movement.cu", "    block_barrier();", ""),
    // A step's numbers used before other threads' copies are seen.
    (
        "linear_bias",
        "product.cuh",
        "            block_barrier();\n            if (step + stages - 1 < steps)",
        "            if (step + stages - 1 < steps)",
    ),
    // A wait that is one group too weak.
    ("linear_bias", "product.cuh", "copy_async_wait<stages - 2>", "copy_async_wait<stages - 1>"),
    // Keys overwritten while slower warps still read them.
    (
        "attention",
        "attention/attention.cu",
        "            // The next turn brings keys to where these lie.\n            block_barrier();",
        "",
    ),
    // A query that does not see itself.
    ("attention_causal", "attention/attention.cu", "key <= query", "key < query"),
    // A barrier that not all threads reach.
    (
        "rms_norm",
        "norm.cuh",
        "active = row < rows;",
        "active = row < rows; if (thread_index() == 7) { block_barrier(); }",
    ),
];

/// The same for kernels of the Hopper class.
const HOPPER_FAULTS: [(&str, &str, &str, &str); 18] = [
    // A stage that is never given back.
    ("linear_bias", "hopper/pipeline.cuh", "mbarrier_arrive(empty + place.stage);", ""),
    // A wait for the phase before.
    (
        "linear_bias",
        "hopper/pipeline.cuh",
        "full + place.stage, place.parity);",
        "full + place.stage, place.parity ^ 1);",
    ),
    // Fewer bytes announced than come.
    ("linear_bias", "hopper/pipeline.cuh", "full + place.stage, bytes)", "full + place.stage, bytes - 16)"),
    // Barriers that copies may not know yet.
    ("linear_bias", "hopper/product.cuh", "            mbarrier_init_fence();", ""),
    // More registers than there are.
    ("linear_bias", "hopper/pipeline.cuh", "COMPUTING_REGISTERS = 232", "COMPUTING_REGISTERS = 240"),
    // Sums used before the last product is done.
    ("linear_bias", "hopper/product.cuh", "        products_wait<0>(sums);", ""),
    // A stage given back while a product still reads it.
    ("linear_bias", "hopper/product.cuh", "products_wait<1>(sums)", "products_wait<2>(sums)"),
    // Products without a fence in front of them.
    ("linear_bias", "hopper/product.cuh", "            products_fence();", ""),
    // Columns of the right factor too close together, and its rows.
    ("linear_bias", "hopper/product.cuh", "advance(b, k * 2)", "advance(b, k)"),
    (
        "linear_bias",
        "hopper/product.cuh",
        "left + left_bytes, 0, PATTERN_BYTES",
        "left + left_bytes, 0, PATTERN_BYTES / 2",
    ),
    // Boxes that lie in another order than products read.
    ("linear_bias", "host/tensor_map.h", "swizzled(place / PIECE * PIECE)", "(place / PIECE * PIECE)"),
    // One operand for the other.
    ("linear_bias", "linear/hopper.cu", "copy_box(left, block.maps.x", "copy_box(left, block.maps.w"),
    // One row too many.
    ("linear_bias", "linear/hopper.cu", "row < part.y.rows()", "row <= part.y.rows()"),
    // Scores used before they are there.
    ("attention_gate", "attention/hopper.cu", "products_wait<1>(scores)", "products_wait<2>(scores)"),
    // Sums changed while a product adds to them.
    (
        "attention_gate",
        "attention/hopper.cu",
        "        products_wait<0>(sums);\n        if (some)",
        "        if (some)",
    ),
    // A turn that nobody begins.
    ("attention_gate", "attention/hopper.cu", "me == 1 && tiles > 1", "me == 1 && tiles > 99"),
    // Half of the values' columns at a wrong distance.
    (
        "attention_gate",
        "attention/hopper.cu",
        "tile_bytes, box_bytes, PATTERN",
        "tile_bytes, PATTERN_BYTES, PATTERN",
    ),
    // Keys behind the last one are seen.
    ("attention_gate", "attention/attention.cu", "return end <= keys;", "return true;"),
];

/// A tensor map whose boxes have too few rows.
fn small_box() -> Option<String> {
    complaint("fault-box", ("linear_bias", Class::Hopper), None, |variant| variant.maps[1].tile[0] -= 8)
}

#[test]
fn faults_are_caught() {
    if compiler().is_none() {
        println!("skipped: {} faults; no C++ compiler", FAULTS.len() + HOPPER_FAULTS.len());
        return;
    }
    let portable = FAULTS.iter().map(|fault| (Class::Portable, *fault));
    let all: Vec<_> = portable.chain(HOPPER_FAULTS.iter().map(|fault| (Class::Hopper, *fault))).collect();
    let left = Mutex::new(all.into_iter().enumerate().collect::<Vec<_>>());
    let missed = Mutex::new(Vec::new());
    let next = || left.lock().unwrap().pop();
    let plant = || {
        while let Some((i, (class, (kernel, file, from, to)))) = next() {
            let edit = Some(Edit { file, from, to });
            match complaint(&format!("fault-{i}"), (kernel, class), edit, |_| {}) {
                Some(words) => println!("{kernel}, {to:?}: {}", words.lines().last().unwrap_or_default()),
                None => missed.lock().unwrap().push(format!("{kernel}: {to:?} for {from:?}")),
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(plant);
        scope.spawn(plant);
    });
    let mut missed = missed.into_inner().unwrap();
    missed.extend(small_box().is_none().then(|| "a small box".to_string()));
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}
