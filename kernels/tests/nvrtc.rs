//! Machine code of every variant of the catalog's cases, for every architecture, where NVRTC is found.
#![cfg(feature = "cuda")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use zoetrope_kernels::cuda::{ARCHS, Arch, Compiler, Part, Variant, View};
use zoetrope_kernels::{Kernel, Meaning, Ref, catalog};
use zoetrope_model_spec::lang::{Dtype, infer};

/// The result's shape of a meaning.
fn result_shape(meaning: &Meaning, shapes: &[Vec<usize>]) -> Vec<usize> {
    let mut made: Vec<Vec<usize>> = Vec::new();
    for op in &meaning.ops {
        let shape = |r: &Ref| match r {
            Ref::Operand(i) => shapes[*i].clone(),
            Ref::Inner(i) => made[*i].clone(),
        };
        let inputs: Vec<Vec<usize>> = op.inputs.iter().map(shape).collect();
        let inputs: Vec<(Dtype, &[usize])> = inputs.iter().map(|s| (Dtype::F32, s.as_slice())).collect();
        made.push(infer(&op.op, &inputs).expect("a case fits its meaning").1);
    }
    made.pop().expect("a meaning has an op")
}

fn variant(kernel: &Kernel, meaning: &Meaning, shapes: &[Vec<usize>], dtype: Dtype) -> Variant {
    let view = |shape: &[usize], dtype| View {
        dtype,
        shape: shape.to_vec(),
        row_stride: *shape.last().unwrap_or(&1),
        address: 0,
    };
    let reads = kernel.reads.iter().zip(shapes);
    let reads = reads.map(|(decl, shape)| view(shape, if decl.ints.is_some() { Dtype::I32 } else { dtype }));
    let part = Part { reads: reads.collect(), write: view(&result_shape(meaning, shapes), dtype) };
    Variant::of(kernel, meaning, &part).unwrap_or_else(|e| panic!("{e}"))
}

fn variants() -> BTreeMap<String, Variant> {
    let mut all = BTreeMap::new();
    for kernel in catalog().iter().filter(|k| k.cuda.is_some()) {
        let declared = kernel.cases.iter().map(|shapes| (kernel.meaning.clone(), shapes.clone()));
        for (meaning, shapes) in declared.chain(kernel.cuda_cases.iter().cloned()) {
            for dtype in [Dtype::F32, Dtype::Bf16] {
                let variant = variant(kernel, &meaning, &shapes, dtype);
                all.insert(variant.key(), variant);
            }
        }
    }
    all
}

/// Bytes that a report says are spilled.
fn spills(report: &str) -> usize {
    let words: Vec<&str> = report.split_whitespace().collect();
    words
        .windows(3)
        .filter(|w| w[1] == "bytes" && w[2] == "spill")
        .filter_map(|w| w[0].parse::<usize>().ok())
        .sum()
}

#[test]
fn every_variant_compiles_for_every_architecture() {
    let variants = variants();
    let Some(compiler) = Compiler::find() else {
        println!(
            "skipped: {} variants for {} architectures; for NVRTC: \
             python3 -m venv VENV && VENV/bin/pip install nvidia-cuda-nvrtc==13.0.88, then \
             ZOETROPE_CUDA=VENV/lib/python3.*/site-packages/nvidia/cu13",
            variants.len(),
            ARCHS.len()
        );
        return;
    };
    let work: Vec<(&Variant, &Arch)> =
        variants.values().flat_map(|v| ARCHS.iter().map(move |arch| (v, arch))).collect();
    let (left, failures) = (Mutex::new(work), Mutex::new(Vec::new()));
    let times: Mutex<BTreeMap<&str, (usize, Duration, usize)>> = Mutex::new(BTreeMap::new());
    let next = || left.lock().unwrap().pop();
    let compile = || {
        while let Some((variant, arch)) = next() {
            let start = Instant::now();
            match compiler.compile(variant, arch) {
                Ok(compiled) => {
                    let mut times = times.lock().unwrap();
                    let (count, time, bytes) = times.entry(arch.name).or_default();
                    *count += 1;
                    *time += start.elapsed();
                    *bytes += compiled.cubin.len();
                    if spills(&compiled.report) > 0 {
                        let message =
                            format!("{} for {} spills:\n{}", variant.key(), arch.name, compiled.report);
                        failures.lock().unwrap().push(message);
                    }
                }
                Err(e) => failures.lock().unwrap().push(e.to_string()),
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(compile);
        scope.spawn(compile);
    });
    for (arch, (count, time, bytes)) in times.into_inner().unwrap() {
        println!("sm_{arch}: {count} variants, {:.1} s of one thread, {bytes} bytes", time.as_secs_f64());
    }
    let failures = failures.into_inner().unwrap();
    let shown = failures.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} failures\n{shown}", failures.len());
}
