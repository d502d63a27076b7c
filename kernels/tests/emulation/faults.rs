//! Planted faults: what the emulation and its comparison must catch.

use std::sync::Mutex;

use zoetrope_kernels::catalog;

use crate::cases::{Arrangement, Bound, Case, Storage, dtypes};
use crate::program::{Edit, Program};
use crate::random::Random;
use crate::sanitize;

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
        arrangement: Arrangement { gap: 8, in_place: false, seed },
    };
    let variant = case(0).variant(&bound);
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

/// Faults that change no result, only what a GPU does at memory that is not there or not aligned. The plain build does
/// not see them, or ends without a word: kernel, file, what stands there, the fault in its place, and what of it is in
/// the line that a report must name.
const TRACELESS: [(&str, &str, &str, &str, &str); 4] = [
    // An element behind an operand's last one, read and not used.
    (
        "affine",
        "tensor.cuh",
        "        to[i] = i < count ? real(from[i]) : 0.0f;",
        "        float x = real(from[i]);\n        to[i] = i < count ? x : 0.0f;",
        "float x = real(from[i]);",
    ),
    // A row behind the last one, copied for a row of the tile that the result does not have.
    (
        "linear_bias",
        "product.cuh",
        "return row < rows && column < columns ? data",
        "return row <= rows && column < columns ? data",
        "copy_async(place(row, eight), from",
    ),
    // The next number read ahead, behind shared memory at last.
    (
        "rms_norm_weight",
        "functions.cuh",
        "        for (int warp = 0; warp < TEAM / 32; warp++) {\n            x += scratch[warp];",
        "        float next = scratch[0];\n        for (int warp = 0; warp < TEAM / 32; warp++) {\n            x += next;\n            \
         next = scratch[warp + 1];",
        "next = scratch[warp + 1];",
    ),
    // Sixteen bytes at once from where no sixteen bytes begin.
    (
        "affine",
        "tensor.cuh",
        "if (count >= N && aligned<T, N>(from)) {",
        "if (count >= N) {",
        "Pack<T, some> pack = *(const Pack<T, some>*)(from + i);",
    ),
];

/// Plants faults with two threads; what `plant` says of those that are missed.
fn none_is_missed(count: usize, plant: impl Fn(usize) -> Option<String> + Sync) {
    if let Some(reason) = sanitize::missing() {
        println!("skipped: {count} faults; {reason}");
        return;
    }
    let (left, missed) = (Mutex::new((0..count).collect::<Vec<_>>()), Mutex::new(Vec::new()));
    let next = || left.lock().unwrap().pop();
    let plant_all = || {
        while let Some(i) = next() {
            missed.lock().unwrap().extend(plant(i));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(plant_all);
        scope.spawn(plant_all);
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}

#[test]
fn faults_are_caught() {
    none_is_missed(FAULTS.len(), |i| {
        let (kernel, file, from, to) = FAULTS[i];
        let complaint = complaint(i, kernel, Edit { file, from, to });
        complaint.is_none().then(|| format!("{kernel}: {to:?} for {from:?}"))
    });
}

#[test]
fn sanitizers_name_the_line() {
    if !sanitize::asked() {
        println!("skipped: {} faults; only sanitizers see them: ZOETROPE_SANITIZE=1", TRACELESS.len());
        return;
    }
    none_is_missed(TRACELESS.len(), |i| {
        let (kernel, file, from, to, line) = TRACELESS[i];
        let edit = Edit { file, from, to };
        let text = edit.apply(edit.original());
        let at = text.lines().position(|l| l.contains(line)).expect("a line of the fault");
        let named = format!("{file}:{}", at + 1);
        let complaint = complaint(FAULTS.len() + i, kernel, edit).unwrap_or_default();
        (!complaint.contains(&named)).then(|| format!("{kernel}: {named} is not in {complaint:?}"))
    });
}
