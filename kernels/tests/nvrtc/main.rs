//! Machine code of every variant of the catalog's cases, for every architecture, where NVRTC is found:
//! its registers, the layout of its parameters and, where `nvdisasm` is found too, its matrix instructions.
#![cfg(feature = "cuda")]

mod assembly;
mod cubin;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use assembly::Disassembler;
use zoetrope_kernels::cuda::{ARCHS, Arch, Compiled, Compiler, Part, Variant, View};
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

/// A variant, and the bytes of the argument that its launches have.
fn variant(kernel: &Kernel, meaning: &Meaning, shapes: &[Vec<usize>], dtype: Dtype) -> (Variant, usize) {
    let view = |shape: &[usize], dtype| View {
        dtype,
        shape: shape.to_vec(),
        row_stride: *shape.last().unwrap_or(&1),
        address: 0,
    };
    let reads = kernel.reads.iter().zip(shapes);
    let reads = reads.map(|(decl, shape)| view(shape, if decl.ints.is_some() { Dtype::I32 } else { dtype }));
    let part = Part { reads: reads.collect(), write: view(&result_shape(meaning, shapes), dtype) };
    let variant = Variant::of(kernel, meaning, &part).unwrap_or_else(|e| panic!("{e}"));
    let launch = variant.launch(&[part]).unwrap_or_else(|e| panic!("{e}"));
    (variant, launch.argument.len())
}

fn variants() -> BTreeMap<String, (Variant, usize)> {
    let mut all = BTreeMap::new();
    for kernel in catalog().iter().filter(|k| k.cuda.is_some()) {
        let declared = kernel.cases.iter().map(|shapes| (kernel.meaning.clone(), shapes.clone()));
        for (meaning, shapes) in declared.chain(kernel.cuda_cases.iter().cloned()) {
            for dtype in [Dtype::F32, Dtype::Bf16] {
                let (variant, argument) = variant(kernel, &meaning, &shapes, dtype);
                all.insert(variant.key(), (variant, argument));
            }
        }
    }
    all
}

/// Bytes of a report of the assembler in front of these words.
fn bytes(report: &str, what: [&str; 2]) -> usize {
    let words: Vec<&str> =
        report.split(|c: char| c.is_whitespace() || c == ',').filter(|w| !w.is_empty()).collect();
    let found = words.windows(4).filter(|w| w[1] == "bytes" && w[2..] == what);
    found.filter_map(|w| w[0].parse::<usize>().ok()).sum()
}

/// Registers of a multiprocessor, of every architecture.
const REGISTERS: usize = 64 * 1024;

/// Whether a report names registers of which a multiprocessor has enough for a block; warps get them by eights a lane.
fn fits_multiprocessor(report: &str, threads: usize) -> bool {
    let behind = report.split("Used ").nth(1).and_then(|text| text.split_once(" registers"));
    let registers: Option<usize> = behind.and_then(|(number, _)| number.parse().ok());
    registers.is_some_and(|n| n.next_multiple_of(8) * threads.next_multiple_of(32) <= REGISTERS)
}

/// Sines and cosines of f64 keep a few numbers in memory for large arguments; these kernels take them once per run or
/// step.
const TAKE_F64_SINES: [&str; 5] = ["sin", "cos", "sinusoid", "affine_sinusoid", "normal"];

/// What is wrong with the machine code of a variant. Those of bf16 make the video; all their numbers stay in registers.
fn complaint(variant: &Variant, report: &str) -> Option<&'static str> {
    let hot = variant.reads.iter().any(|operand| operand.dtype == Dtype::Bf16);
    if !report.contains("stack frame") {
        return Some("the assembler says nothing of its stack");
    }
    if !fits_multiprocessor(report, variant.threads) {
        return Some("has blocks with more registers than a multiprocessor");
    }
    let spilled = bytes(report, ["spill", "stores"]) + bytes(report, ["spill", "loads"]);
    if hot && spilled > 0 {
        return Some("spills registers");
    }
    let frame = bytes(report, ["stack", "frame"]) > 0 && !TAKE_F64_SINES.contains(&variant.name);
    (hot && frame).then_some("keeps numbers in local memory")
}

/// Of a kernel's argument: it begins with numbers, and tensors have addresses.
const ALIGNMENT: usize = 8;

/// All that is wrong with the machine code of a variant whose launches have an argument of `argument` bytes.
fn complaints(
    variant: &Variant,
    argument: usize,
    compiled: &Compiled,
    disassembler: Option<&Disassembler>,
) -> Vec<String> {
    // Starting the disassembler takes longer than compiling: only what has to have matrix instructions is looked at.
    let disassembler = disassembler.filter(|_| variant.multiplies_matrices());
    let report = complaint(variant, &compiled.report);
    let of_report = report.map(|what| format!("{what}:\n{}", compiled.report));
    let of_parameters = cubin::complaint(&compiled.cubin, &variant.symbol(), argument, ALIGNMENT);
    let of_code = disassembler.and_then(|d| d.complaint(&compiled.cubin));
    of_report.into_iter().chain(of_parameters).chain(of_code).collect()
}

#[test]
fn every_variant_compiles_for_every_architecture() {
    let variants = variants();
    let Some(compiler) = Compiler::find() else {
        assert!(std::env::var_os("ZOETROPE_CUDA").is_none(), "ZOETROPE_CUDA names a folder without NVRTC");
        println!(
            "skipped: {} variants for {} architectures; for NVRTC: \
             python3 -m venv VENV && VENV/bin/pip install nvidia-cuda-nvrtc==13.0.88, then \
             ZOETROPE_CUDA=VENV/lib/python3.*/site-packages/nvidia/cu13",
            variants.len(),
            ARCHS.len()
        );
        return;
    };
    if Disassembler::find(0).is_none() {
        println!(
            "skipped: whether matrix instructions are there; for nvdisasm, beside NVRTC: \
             VENV/bin/pip install nvidia-cuda-nvdisasm==13.2.78"
        );
    }
    let work: Vec<(&(Variant, usize), &Arch)> =
        variants.values().flat_map(|v| ARCHS.iter().map(move |arch| (v, arch))).collect();
    let (left, failures) = (Mutex::new(work), Mutex::new(Vec::new()));
    let times: Mutex<BTreeMap<&str, (usize, Duration, usize)>> = Mutex::new(BTreeMap::new());
    let next = || left.lock().unwrap().pop();
    let compile = |worker| {
        let disassembler = Disassembler::find(worker);
        while let Some(((variant, argument), arch)) = next() {
            let start = Instant::now();
            match compiler.compile(variant, arch) {
                Ok(compiled) => {
                    let mut times = times.lock().unwrap();
                    let (count, time, bytes) = times.entry(arch.name).or_default();
                    *count += 1;
                    *time += start.elapsed();
                    *bytes += compiled.cubin.len();
                    drop(times);
                    for what in complaints(variant, *argument, &compiled, disassembler.as_ref()) {
                        let text = format!("{} for {} {what}", variant.key(), arch.name);
                        failures.lock().unwrap().push(text);
                    }
                }
                Err(e) => failures.lock().unwrap().push(e.to_string()),
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| compile(1));
        scope.spawn(|| compile(2));
    });
    for (arch, (count, time, bytes)) in times.into_inner().unwrap() {
        println!("sm_{arch}: {count} variants, {:.1} s of one thread, {bytes} bytes", time.as_secs_f64());
    }
    let failures = failures.into_inner().unwrap();
    let shown = failures.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} failures\n{shown}", failures.len());
}

/// What must be found: another argument, another symbol, a product without matrix instructions.
#[test]
fn checks_see_what_is_wrong() {
    let Some(compiler) = Compiler::find() else {
        println!("skipped: no NVRTC");
        return;
    };
    let variants = variants();
    let plain = variants.values().find(|(v, _)| v.name == "linear" && !v.multiplies_matrices());
    let (variant, argument) = plain.expect("a product of f32");
    for arch in &ARCHS {
        let cubin = compiler.compile(variant, arch).unwrap_or_else(|e| panic!("{e}")).cubin;
        let symbol = variant.symbol();
        assert_eq!(cubin::complaint(&cubin, &symbol, *argument, ALIGNMENT), None);
        assert!(
            cubin::complaint(&cubin, &symbol, argument + 8, ALIGNMENT).is_some(),
            "an argument of another size"
        );
        assert!(cubin::complaint(&cubin, "linear", *argument, ALIGNMENT).is_some(), "another symbol");
        let half = &cubin[..cubin.len() / 2];
        assert!(cubin::complaint(half, &symbol, *argument, ALIGNMENT).is_some(), "half a cubin");
        if let Some(disassembler) = Disassembler::find(0) {
            assert!(disassembler.complaint(&cubin).is_some(), "no matrix instructions");
            assert!(disassembler.complaint(&cubin[..100]).is_some(), "no cubin");
        }
    }
}
