//! Machine code of what the catalog's cases need, where NVRTC is found: its registers, the layout of its parameters and,
//! where `nvdisasm` is found too, its matrix instructions. What makes the video and every kernel's first cases are
//! compiled for every architecture.
#![cfg(feature = "cuda")]

mod assembly;
mod cubin;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use assembly::Disassembler;
use zoetrope_kernels::cuda::{ARCHS, Arch, Class, Compiled, Compiler, MAP_BYTES, Part, Variant, View};
use zoetrope_kernels::{Kernel, Meaning, Ref, Sample, catalog};
use zoetrope_model_spec::lang::{Dtype, Op, infer};

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

/// A variant, and the bytes of the argument that its launches have. Of the two dtypes one is that of biases of scores.
fn variant(
    kernel: &Kernel,
    meaning: &Meaning,
    shapes: &[Vec<usize>],
    (dtype, bias): (Dtype, Dtype),
    class: Class,
) -> (Variant, usize) {
    let view = |shape: &[usize], dtype| View {
        dtype,
        shape: shape.to_vec(),
        row_stride: *shape.last().unwrap_or(&1),
        address: 0,
    };
    let reads = kernel.reads.iter().zip(shapes);
    let reads = reads.map(|(decl, shape)| match decl.axes {
        _ if decl.ints.is_some() => view(shape, Dtype::I32),
        _ if decl.encoded => view(shape, Dtype::U8),
        ["queries" | "1", "keys"] => view(shape, bias),
        _ => view(shape, dtype),
    });
    let parts =
        [Part { reads: reads.collect(), write: view(&result_shape(meaning, shapes), meaning.stores(dtype)) }];
    let variant = Variant::of(kernel, meaning, &parts, class).unwrap_or_else(|e| panic!("{e}"));
    let launch = variant.launch(&parts).unwrap_or_else(|e| panic!("{e}"));
    (variant, launch.argument.len())
}

/// Kernels at widths of the model, beside the small declared cases: name, attributes, shapes.
const WIDE: [(&str, &str, &[&[usize]]); 15] = [
    ("linear_bias", "", &[&[512, 4096], &[12288, 4096], &[12288]]),
    ("decode_linear_bias", "0 4096", &[&[512, 4096], &[12288, 4112], &[12288]]),
    ("decode_linear_bias", "1 4096", &[&[512, 4096], &[12288, 4352], &[12288]]),
    ("decode_linear_bias", "2 4096", &[&[512, 4096], &[12288, 2304], &[12288]]),
    ("linear_bias_gelu", "1", &[&[512, 4096], &[16384, 4096], &[16384]]),
    (
        "linear_bias_class_gate_residual",
        "2 0",
        &[&[512, 16384], &[4096, 16384], &[4096], &[3, 4096], &[512], &[512, 4096]],
    ),
    ("linear_bias_gate_residual", "2 0", &[&[512, 4096], &[4096, 4096], &[4096], &[1, 4096], &[512, 4096]]),
    ("linear_bias_residual", "0", &[&[512, 2048], &[2048, 2048], &[2048], &[512, 2048]]),
    ("attention", "32 32 0.088388346 0", &[&[512, 4096], &[512, 4096], &[512, 4096]]),
    (
        "attention_gate",
        "2 2.0 0.0 32 32 0.088388346 0 32",
        &[&[512, 4096], &[512, 4096], &[512, 4096], &[512, 32]],
    ),
    ("attention_bias", "1 1 0.125 0", &[&[512, 64], &[512, 64], &[512, 64], &[512, 512]]),
    (
        "attention_bias_gate",
        "2 2.0 0.0 32 32 0.088388346 0 32",
        &[&[512, 4096], &[512, 4096], &[512, 4096], &[512, 512], &[512, 32]],
    ),
    ("attention_key_bias", "1 1 0.125 0", &[&[512, 64], &[512, 64], &[512, 64], &[1, 512]]),
    (
        "attention_key_bias_gate",
        "2 2.0 0.0 32 32 0.088388346 0 32",
        &[&[512, 4096], &[512, 4096], &[512, 4096], &[1, 512], &[512, 32]],
    ),
    (
        "attention_low_rank_bias_gate",
        "2 2.0 0.0 32 32 0.088388346 0 32",
        &[&[512, 4096], &[512, 4096], &[512, 4096], &[512, 1], &[512, 1], &[512], &[512, 32]],
    ),
];

/// A variant with the bytes of the argument that its launches have, and whether it is compiled for all architectures. Of
/// the others, which only tests launch, one of a class tells as much.
type Wanted = (Variant, usize, bool);

fn variants() -> BTreeMap<String, Wanted> {
    let mut all = BTreeMap::new();
    for kernel in catalog().iter().filter(|k| k.cuda.is_some()) {
        let wide = WIDE.iter().filter(|(name, ..)| *name == kernel.name);
        let wide =
            wide.flat_map(|(_, attrs, shapes)| kernel.clone().cuda_case(attrs, shapes).cuda_cases.pop());
        for Sample { meaning, shapes, .. } in kernel.samples().chain(wide) {
            let stored = [(Dtype::F32, Dtype::F32), (Dtype::Bf16, Dtype::Bf16), (Dtype::Bf16, Dtype::F32)];
            for (dtypes, class) in stored.into_iter().flat_map(|s| Class::ALL.map(|class| (s, class))) {
                let (variant, argument) = variant(kernel, &meaning, &shapes, dtypes, class);
                let everywhere = kernel.cases.contains(&shapes) || is_hot(&variant);
                all.insert(variant.key(), (variant, argument, everywhere));
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

/// Registers of a thread; warps get them by eights a lane.
fn registers_of_thread(report: &str) -> Option<usize> {
    let (number, _) = report.split("Used ").nth(1)?.split_once(" registers")?;
    number.parse().ok().map(|n: usize| n.next_multiple_of(8))
}

/// Whether a report names registers of which a multiprocessor has enough for a block.
fn fits_multiprocessor(report: &str, threads: usize) -> bool {
    registers_of_thread(report).is_some_and(|n| n * threads.next_multiple_of(32) <= REGISTERS)
}

/// Whether a block begins with all registers that it can have. Warpgroups take from each other only what the block
/// began with: where that is less, they wait for ever.
fn begins_with_all(report: &str, threads: usize) -> bool {
    registers_of_thread(report) == Some(REGISTERS / threads / 8 * 8)
}

/// Sines and cosines of f64 keep a few numbers in memory for large arguments; these kernels take them once per run or
/// step.
const TAKE_F64_SINES: [&str; 5] = ["sin", "cos", "sinusoid", "affine_sinusoid", "normal"];

/// Widths of heads that the model has.
const HEADS: [usize; 3] = [64, 128, 256];

/// Whether a variant makes the video: of bf16, and no attention with heads that only tests have.
fn is_hot(variant: &Variant) -> bool {
    let heads = variant.meaning.ops.iter().find_map(|op| match op.op {
        Op::Attention { heads, .. } => Some(heads),
        _ => None,
    });
    let known = heads.is_none_or(|heads| HEADS.contains(&(variant.reads[0].width / heads)));
    known && variant.reads.iter().any(|operand| operand.dtype == Dtype::Bf16)
}

/// Kernels that spill, and bytes that they store and load again: a pointer, once for a tile, behind its product.
const KNOWN_SPILLS: [(&str, usize); 1] = [("linear_bias_partial_gate_residual", 16)];

/// What is wrong with the machine code of a variant. Of those that make the video all numbers stay in registers.
fn complaint(variant: &Variant, report: &str) -> Option<&'static str> {
    let hot = is_hot(variant);
    if !report.contains("stack frame") {
        return Some("the assembler says nothing of its stack");
    }
    if !fits_multiprocessor(report, variant.threads) {
        return Some("has blocks with more registers than a multiprocessor");
    }
    let spilled = bytes(report, ["spill", "stores"]) + bytes(report, ["spill", "loads"]);
    let known = KNOWN_SPILLS.iter().find(|(name, _)| *name == variant.name).map_or(0, |(_, bytes)| *bytes);
    if hot && spilled > known {
        return Some("spills registers");
    }
    if report.contains("serialized") {
        return Some("waits for its products one by one");
    }
    if report.contains("setmaxnreg") {
        return Some("moves no registers between warpgroups");
    }
    if variant.class == Class::Hopper && !begins_with_all(report, variant.threads) {
        return Some("begins with fewer registers than its warpgroups share");
    }
    let frame = bytes(report, ["stack", "frame"]) > known && !TAKE_F64_SINES.contains(&variant.name);
    (hot && frame).then_some("keeps numbers in local memory")
}

/// Of a kernel's argument: tensors have addresses, and a tensor map begins at a multiple of its size.
fn alignment(variant: &Variant) -> usize {
    if variant.maps.is_empty() { 8 } else { MAP_BYTES }
}

/// What a report says of registers.
fn registers(report: &str) -> &str {
    report.lines().find_map(|line| line.split("Used ").nth(1)).unwrap_or("no report")
}

/// All that is wrong with the machine code of a variant whose launches have an argument of `argument` bytes.
fn complaints(
    variant: &Variant,
    argument: usize,
    compiled: &Compiled,
    disassembler: Option<&Disassembler>,
) -> Vec<String> {
    // Starting the disassembler takes longer than compiling: only what has to have matrix instructions is looked at.
    let disassembler = disassembler.filter(|_| variant.multiplies_matrices);
    let report = complaint(variant, &compiled.report);
    let of_report = report.map(|what| format!("{what}:\n{}", compiled.report));
    let of_parameters = cubin::complaint(&compiled.cubin, &variant.symbol(), argument, alignment(variant));
    let of_code = disassembler.and_then(|d| d.complaint(&compiled.cubin, variant.class));
    of_report.into_iter().chain(of_parameters).chain(of_code).collect()
}

#[test]
fn every_kernel_compiles_for_every_architecture() {
    let mut variants = variants();
    // COMPILE=linear compiles the variants with that in their keys.
    if let Ok(only) = std::env::var("COMPILE") {
        variants.retain(|key, _| key.contains(&only));
        assert!(!variants.is_empty(), "COMPILE={only}: no variant has that in its key");
    }
    let Ok(compiler) = Compiler::find() else {
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
    let takes =
        |arch: &Arch, variant: &Variant| variant.class == Class::Portable || variant.class == arch.class;
    let archs = |(variant, _, everywhere): &Wanted| {
        let taking = ARCHS.iter().filter(|arch| takes(arch, variant));
        taking.take(if *everywhere { ARCHS.len() } else { 1 }).collect::<Vec<_>>()
    };
    let work: Vec<(&Wanted, &Arch)> = variants
        .values()
        .flat_map(|wanted| archs(wanted).into_iter().map(move |arch| (wanted, arch)))
        .collect();
    let (left, failures) = (Mutex::new(work), Mutex::new(Vec::new()));
    let times: Mutex<BTreeMap<&str, (usize, Duration, usize)>> = Mutex::new(BTreeMap::new());
    let next = || left.lock().unwrap().pop();
    let compile = |worker| {
        let disassembler = Disassembler::find(worker);
        while let Some(((variant, argument, _), arch)) = next() {
            let start = Instant::now();
            match compiler.compile(variant, arch) {
                Ok(compiled) => {
                    if variant.class == Class::Hopper {
                        println!("{}: {}", variant.key(), registers(&compiled.report));
                    }
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
    let Ok(compiler) = Compiler::find() else {
        println!("skipped: no NVRTC");
        return;
    };
    let variants = variants();
    let plain = variants.values().find(|(v, ..)| v.name == "linear" && !v.multiplies_matrices);
    let (variant, argument, _) = plain.expect("a product of f32");
    let alignment = alignment(variant);
    for arch in &ARCHS {
        let cubin = compiler.compile(variant, arch).unwrap_or_else(|e| panic!("{e}")).cubin;
        let symbol = variant.symbol();
        assert_eq!(cubin::complaint(&cubin, &symbol, *argument, alignment), None);
        assert!(
            cubin::complaint(&cubin, &symbol, argument + 8, alignment).is_some(),
            "an argument of another size"
        );
        assert!(cubin::complaint(&cubin, "linear", *argument, alignment).is_some(), "another symbol");
        let half = &cubin[..cubin.len() / 2];
        assert!(cubin::complaint(half, &symbol, *argument, alignment).is_some(), "half a cubin");
        if let Some(disassembler) = Disassembler::find(0) {
            for class in [Class::Portable, Class::Hopper] {
                assert!(disassembler.complaint(&cubin, class).is_some(), "no matrix instructions");
                assert!(disassembler.complaint(&cubin[..100], class).is_some(), "no cubin");
            }
        }
    }
}

/// A product by warps is not one by warpgroups.
#[test]
fn instructions_of_a_class_are_told_apart() {
    let (Ok(compiler), Some(disassembler)) = (Compiler::find(), Disassembler::find(3)) else {
        println!("skipped: no NVRTC or no nvdisasm");
        return;
    };
    let arch = Arch::of_card(9, 0).expect("the architecture of Hopper");
    for class in [Class::Portable, Class::Hopper] {
        let all = variants();
        let mut own = all.values().filter(|(v, ..)| v.class == class && v.name == "linear");
        let (variant, ..) = own.find(|(v, ..)| v.multiplies_matrices).expect("a product of the class");
        let cubin = compiler.compile(variant, arch).unwrap_or_else(|e| panic!("{e}")).cubin;
        assert_eq!(disassembler.complaint(&cubin, class), None);
        let other = if class == Class::Hopper { Class::Portable } else { Class::Hopper };
        assert!(disassembler.complaint(&cubin, other).is_some(), "another class's instructions");
    }
}
