//! Every declared kernel on its declared cases, against the naive ops one after the other.

use zoetrope_kernels::{Kernel, catalog};
use zoetrope_model_spec::lang::Kept;

use crate::cases::{Random, Storage, close, run};
use crate::meanings::chain;
use crate::naive::Array;

/// Rows that stay encoded, of random numbers.
pub fn encoded(r: &mut Random, kept: Kept, rows: usize, columns: usize) -> Array {
    let mut bytes = Vec::new();
    for _ in 0..rows {
        let numbers: Vec<f32> = (0..columns).map(|_| r.real(-1.5, 1.5) as f32).collect();
        let mut row = vec![0; kept.row_bytes(columns).expect("whole rows")];
        kept.encode(&numbers, &mut row);
        bytes.extend(row);
    }
    Array::rows_of_bytes(rows, &bytes)
}

fn operands(kernel: &Kernel, shapes: &[Vec<usize>], r: &mut Random) -> Vec<Array> {
    let reads = kernel.reads.iter().zip(shapes);
    reads
        .enumerate()
        .map(|(i, (decl, shape))| match decl.ints {
            None if decl.encoded => {
                let (kept, columns) = kernel.meaning.encoding(i).expect("an operand that is decoded");
                encoded(r, kept, shape[0], columns)
            }
            Some(ints) => {
                let drawn = ints.draw(shape.iter().product(), shapes, |n| r.below(n));
                Array { ints: true, ..Array::new(shape, drawn.into_iter().map(f64::from).collect()) }
            }
            // Logarithms and roots are taken of these, and quotients made: no zeros.
            None => r.reals(shape, 0.25, 1.5),
        })
        .collect()
}

#[test]
fn every_kernel_computes_its_meaning_on_its_cases() {
    let mut r = Random(11);
    let kernels = catalog();
    assert!(kernels.len() > 70);
    // Random numbers have no naive twin; their known answers stand beside the generator.
    for kernel in kernels.iter().filter(|k| k.name != "normal") {
        for shapes in &kernel.cases {
            let inputs = operands(kernel, shapes, &mut r);
            let want = chain(&kernel.meaning, &inputs);
            for storage in [Storage::F32, Storage::Bf16] {
                for place in [None, kernel.in_place] {
                    let got = run(&kernel.meaning, &inputs, &want, storage, (0, place, true)).unwrap();
                    close(kernel.name, &got, &want, storage, 2e-5);
                }
            }
        }
    }
}
