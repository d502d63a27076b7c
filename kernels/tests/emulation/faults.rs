//! Planted faults: what the emulation and its comparison must catch.

use std::sync::Mutex;

use zoetrope_kernels::catalog;
use zoetrope_kernels::cuda::Class;

use crate::cases::{Arrangement, Bound, Case, Storage, dtypes};
use crate::program::{Edit, Program, compiler};
use crate::random::Random;

/// Runs a kernel's first case with a fault in it, in order and in some random orders; the first complaint.
fn complaint(number: usize, kernel: &str, edit: Edit) -> Option<String> {
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
        arrangement: Arrangement { gap: 8, multiple: 1, in_place: false, seed },
    };
    let variant = case(0).variant(&bound, Class::Portable);
    let name = format!("fault-{number}");
    let program = Program::build(&name, &[&variant], Some(edit)).expect("a fault that compiles");
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

#[test]
fn faults_are_caught() {
    if compiler().is_none() {
        println!("skipped: {} faults; no C++ compiler", FAULTS.len());
        return;
    }
    let left = Mutex::new((0..FAULTS.len()).collect::<Vec<_>>());
    let missed = Mutex::new(Vec::new());
    let next = || left.lock().unwrap().pop();
    let plant = || {
        while let Some(i) = next() {
            let (kernel, file, from, to) = FAULTS[i];
            if complaint(i, kernel, Edit { file, from, to }).is_none() {
                missed.lock().unwrap().push(format!("{kernel}: {to:?} for {from:?}"));
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(plant);
        scope.spawn(plant);
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}
