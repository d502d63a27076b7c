//! Planted faults: what the emulation and its comparison must catch.

use zoetrope_kernels::catalog;

use crate::cases::{Arrangement, Bound, Case, Storage, dtypes};
use crate::program::{Edit, Program, compiler};
use crate::random::Random;

/// Runs a kernel's first case with a fault in it, in order and in some random orders; the first complaint.
fn complaint(kernel: &str, edit: Edit) -> Option<String> {
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
    let name = format!("fault-{}-{}", kernel.name, edit.to.len());
    let program = Program::build(&name, &[&variant], Some(edit)).expect("a fault that compiles");
    (0..6).find_map(|seed| case(seed).run(&bound, (&variant, 0), &mut program.start(), &mut Random(5)).err())
}

#[test]
fn faults_are_caught() {
    if compiler().is_none() {
        println!("skipped: faults; no C++ compiler");
        return;
    }
    let faults = [
        // One row too many.
        ("affine", Edit { file: "tensor.cuh", from: "if (row < rows)", to: "if (row <= rows)" }),
        // Arguments exchanged.
        (
            "normalize",
            Edit {
                file: "elementwise/elementwise.cu",
                from: "part.mean, part.std, part.y",
                to: "part.std, part.mean, part.y",
            },
        ),
    ];
    for (kernel, edit) in faults {
        let what = format!("{kernel}: {} for {}", edit.to, edit.from);
        assert!(complaint(kernel, edit).is_some(), "not caught: {what}");
    }
}
