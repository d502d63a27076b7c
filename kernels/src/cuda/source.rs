//! Texts for compilers: the description of a variant, and whole programs. The same variant, the same bytes.

use std::collections::BTreeMap;
use std::fmt::Write;

use zoetrope_model_spec::lang::{BinaryFn, Dtype, Op, UnaryFn};

use super::{Baked, Class, Variant};

/// The headers that sources include, by name.
pub const HEADERS: [(&str, &str); 12] = [
    ("isa.cuh", include_str!("../../cuda/isa.cuh")),
    ("device.cuh", include_str!("../../cuda/device.cuh")),
    ("tensor.cuh", include_str!("../../cuda/tensor.cuh")),
    ("functions.cuh", include_str!("../../cuda/functions.cuh")),
    ("norm.cuh", include_str!("../../cuda/norm.cuh")),
    ("product.cuh", include_str!("../../cuda/product.cuh")),
    ("encoded.cuh", include_str!("../../cuda/encoded.cuh")),
    ("hopper/isa.cuh", include_str!("../../cuda/hopper/isa.cuh")),
    ("hopper/device.cuh", include_str!("../../cuda/hopper/device.cuh")),
    ("hopper/wgmma.cuh", include_str!("../../cuda/hopper/wgmma.cuh")),
    ("hopper/pipeline.cuh", include_str!("../../cuda/hopper/pipeline.cuh")),
    ("hopper/product.cuh", include_str!("../../cuda/hopper/product.cuh")),
];

/// Files of the emulation, beside [`HEADERS`].
pub const HOST_FILES: [(&str, &str); 17] = [
    ("host/memory.h", include_str!("../../cuda/host/memory.h")),
    ("host/block.h", include_str!("../../cuda/host/block.h")),
    ("host/block.cpp", include_str!("../../cuda/host/block.cpp")),
    ("host/isa.h", include_str!("../../cuda/host/isa.h")),
    ("host/isa.cpp", include_str!("../../cuda/host/isa.cpp")),
    ("host/buffer.h", include_str!("../../cuda/host/buffer.h")),
    ("host/run.h", include_str!("../../cuda/host/run.h")),
    ("host/run.cpp", include_str!("../../cuda/host/run.cpp")),
    ("host/hopper.h", include_str!("../../cuda/host/hopper.h")),
    ("host/plain_map.h", include_str!("../../cuda/host/plain_map.h")),
    ("host/tensor_map.h", include_str!("../../cuda/host/tensor_map.h")),
    ("host/wgmma.h", include_str!("../../cuda/host/wgmma.h")),
    ("host/function.h", include_str!("../../cuda/host/function.h")),
    ("host/driver.h", include_str!("../../cuda/host/driver.h")),
    ("host/calls.cpp", include_str!("../../cuda/host/calls.cpp")),
    ("host/program.h", include_str!("../../cuda/host/program.h")),
    ("host/library.h", include_str!("../../cuda/host/library.h")),
];

/// What kernels are compiled into for a CPU: which of [`HOST_FILES`] texts begin with, and which they are linked with.
#[derive(Clone, Copy, Debug)]
pub struct Harness {
    pub begin: &'static str,
    pub with: [&'static str; 3],
}

/// A program that runs launches: [`host`].
pub const PROGRAM: Harness =
    Harness { begin: "host/program.h", with: ["host/block.cpp", "host/isa.cpp", "host/run.cpp"] };

/// A stand-in for the CUDA driver: [`library`].
pub const LIBRARY: Harness =
    Harness { begin: "host/library.h", with: ["host/block.cpp", "host/isa.cpp", "host/calls.cpp"] };

/// How a C++ compiler is asked for what includes [`HOST_FILES`]: fused multiply-adds only where a source has them, as
/// on a card; instructions of this machine, which change no bit then and spare calls of `fmaf`.
pub const HOST_FLAGS: &[&str] = &[
    "-std=c++20",
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-pthread",
    "-w",
    "-U_FORTIFY_SOURCE",
    "-DZOETROPE_EMULATED",
    "-I.",
    #[cfg(target_arch = "x86_64")]
    "-march=native",
];

/// Shared memory of the smallest multiprocessor that is served (8.6, 8.9, 12.0), and what of it every block takes for
/// the system.
const MULTIPROCESSOR_SHARED: usize = 100 << 10;
const BLOCK_SHARED: usize = 1 << 10;

const INCLUDES: [&str; 5] = ["isa.cuh", "tensor.cuh", "functions.cuh", "norm.cuh", "product.cuh"];

/// What kernels for Hopper include behind [`INCLUDES`].
const HOPPER_INCLUDES: [&str; 3] = ["hopper/isa.cuh", "hopper/pipeline.cuh", "hopper/product.cuh"];

/// `headers`, those of a class of kernels, and the source of the family.
fn includes(headers: &[&str], variant: &Variant) -> String {
    let of_class: &[&str] = if variant.class == Class::Hopper { &HOPPER_INCLUDES } else { &[] };
    let names = headers.iter().chain(of_class).chain([&variant.cuda.source.name]);
    names.map(|name| format!("#include \"{name}\"\n")).collect()
}

/// The type of the kernel's argument, and the function that calls the entry with the block's part.
fn launch_of(variant: &Variant) -> [&'static str; 3] {
    match variant.class {
        Class::Portable => ["Launch", "run_part", "int"],
        Class::Hopper => ["MappedLaunch", "run_mapped_part", "auto"],
    }
}

/// The program of one variant for a card; its kernel is [`Variant::symbol`].
pub fn device(variant: &Variant) -> String {
    // Where shared memory leaves room for one block, registers are not to be saved for a second one.
    let alone = if 2 * (variant.shared + BLOCK_SHARED) > MULTIPROCESSOR_SHARED { ", 1" } else { "" };
    let mut text = format!("// {}\n{}\n", variant.key(), includes(&INCLUDES, variant));
    text += &description(variant, "Kernel");
    let [launch, run, block] = launch_of(variant);
    let _ = write!(
        text,
        "
extern \"C\" __global__ void __launch_bounds__({threads}{alone}) {symbol}(const __grid_constant__ {launch}<Kernel> launch) {{
    {run}(launch, [](const Kernel::Part& part, {block} block) {{ {entry}<Kernel>(part, block); }});
}}
",
        threads = variant.threads,
        symbol = variant.symbol(),
        entry = variant.cuda.entry,
    );
    text
}

/// The program that runs launches of `variants`, all of one source and class, on a CPU.
pub fn host(variants: &[&Variant]) -> String {
    let mut text = variants.first().map(|variant| includes(&[PROGRAM.begin], variant)).unwrap_or_default();
    text += &descriptions(variants);
    text += "\nstatic const emulation::Variant VARIANTS[] = {\n";
    for (i, variant) in variants.iter().enumerate() {
        let _ = writeln!(text, "    {},", runner(variant, i));
    }
    text += "};\n\nint main() {\n    return emulation::serve(VARIANTS);\n}\n";
    text
}

/// The part of a stand-in for the CUDA driver that has `variants`, all of one source and class.
pub fn library(variants: &[&Variant]) -> String {
    let mut text = variants.first().map(|variant| includes(&[LIBRARY.begin], variant)).unwrap_or_default();
    // Nameless outside of its file: others have a Kernel0, too.
    text += "\nnamespace {\n";
    text += &descriptions(variants);
    text += "\n}  // namespace\n\nstatic const bool known = [] {\n    auto& all = emulation::functions();\n";
    for (i, variant) in variants.iter().enumerate() {
        let operands = variant.reads.iter().chain([&variant.write]);
        let operands: Vec<String> =
            operands.map(|b| format!("{{{}, {}}}", b.dtype.bytes(), b.width)).collect();
        let _ = writeln!(
            text,
            "    all[\"{symbol}\"] = {{{run}, {threads}, {shared}, {{{operands}}}}};",
            symbol = variant.symbol(),
            run = runner(variant, i),
            threads = variant.threads,
            shared = variant.shared,
            operands = operands.join(", "),
        );
    }
    text + "    return true;\n}();\n"
}

/// What runs a block of `Kernel{i}` on a CPU.
fn runner(variant: &Variant, i: usize) -> String {
    let [launch, run, block] = launch_of(variant);
    format!(
        "{{[](const void* launch) {{
         {run}(*(const {launch}<Kernel{i}>*)launch,
               [](const Kernel{i}::Part& part, {block} block) {{ {}<Kernel{i}>(part, block); }});
     }}, {}, {}, sizeof({launch}<Kernel{i}>)}}",
        variant.cuda.entry,
        variant.reads.len() + 1,
        variant.maps.len(),
    )
}

/// `Kernel0`, `Kernel1`.. of a program.
fn descriptions(variants: &[&Variant]) -> String {
    let all = variants.iter().enumerate();
    all.map(|(i, v)| format!("\n// {}\n{}", v.key(), description(v, &format!("Kernel{i}")))).collect()
}

/// A struct that tells a kernel all that is known when it is compiled.
fn description(variant: &Variant, name: &str) -> String {
    let operands: Vec<&Baked> = variant.reads.iter().chain([&variant.write]).collect();
    let mut text = format!("struct {name} {{\n    struct Part {{\n");
    for Baked { name, dtype, rank, width, .. } in &operands {
        let element = element(*dtype);
        let _ = writeln!(text, "        Tensor<{element}, {rank}, {width}> {};", identifier(name));
    }
    text += "    };\n";
    if !variant.maps.is_empty() {
        text += "    struct Maps {\n";
        for map in &variant.maps {
            let _ = writeln!(text, "        TensorMap {};", identifier(variant.reads[map.operand].name));
        }
        text += "    };\n";
    }
    for Baked { name, width, shape, .. } in &operands {
        let _ = writeln!(text, "    static constexpr int {name}_width = {width};");
        if let Some(shape) = shape {
            let list: Vec<String> = shape.iter().map(usize::to_string).collect();
            let _ = writeln!(text, "    static constexpr int {name}_shape[] = {{{}}};", list.join(", "));
        }
    }
    let _ = writeln!(text, "    static constexpr int threads = {};", variant.threads);
    let _ = writeln!(text, "    static constexpr int shared = {};", variant.shared);
    // A second op of a kind is told from the first one by its number.
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for op in variant.meaning.ops.iter().map(|op| &op.op).filter(|op| !op.attrs().is_empty()) {
        let count = seen.entry(op.name()).and_modify(|n| *n += 1).or_insert(1);
        let number = if *count == 1 { String::new() } else { format!("_{count}") };
        let _ = writeln!(text, "    struct {}{number} {{", op.name());
        for (name, value) in op.fields() {
            text += &attribute(op, name, &value);
        }
        text += "    };\n";
    }
    text + "};\n"
}

fn element(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "float",
        Dtype::Bf16 => "bf16",
        Dtype::I32 => "int",
        Dtype::U8 => "unsigned char",
    }
}

/// Names of operands as names of C++: `class` is none.
fn identifier(name: &str) -> String {
    if matches!(name, "class" | "template" | "register" | "default") {
        format!("{name}_")
    } else {
        name.to_string()
    }
}

fn attribute(op: &Op, name: &str, value: &str) -> String {
    let constant = |kind: &str, value: &str| format!("        static constexpr {kind} {name} = {value};\n");
    let function = match op {
        Op::Unary { f } => Some(UnaryFn::name(*f)),
        Op::Binary { f } => Some(BinaryFn::name(*f)),
        _ => None,
    };
    if let Some(function) = function {
        return constant("Function", &format!("Function::{function}"));
    }
    if let (Op::Decode { kept, .. }, "kept") = (op, name) {
        return constant("Kept", &format!("Kept::{kept}"));
    }
    if let Some(list) = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')) {
        return format!(
            "        static constexpr int {name}_count = {};\n        static constexpr int {name}[] = {{{list}}};\n",
            list.split(',').filter(|item| !item.is_empty()).count(),
        );
    }
    if value == "true" || value == "false" {
        return constant("bool", value);
    }
    if value.parse::<i64>().is_ok() {
        return constant("int", value);
    }
    match value.parse::<f32>() {
        Ok(number) if number.is_finite() => constant("float", &format!("{number:e}f")),
        // A dtype: the result's own, which is baked.
        _ => String::new(),
    }
}
