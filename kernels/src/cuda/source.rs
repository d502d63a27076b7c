//! Texts for compilers: the description of a variant, and whole programs. The same variant, the same bytes.

use std::collections::BTreeMap;
use std::fmt::Write;

use zoetrope_model_spec::lang::{BinaryFn, Dtype, Op, UnaryFn};

use super::{Baked, Variant};

/// The headers that sources include, by name.
pub const HEADERS: [(&str, &str); 6] = [
    ("isa.cuh", include_str!("../../cuda/isa.cuh")),
    ("device.cuh", include_str!("../../cuda/device.cuh")),
    ("tensor.cuh", include_str!("../../cuda/tensor.cuh")),
    ("functions.cuh", include_str!("../../cuda/functions.cuh")),
    ("norm.cuh", include_str!("../../cuda/norm.cuh")),
    ("product.cuh", include_str!("../../cuda/product.cuh")),
];

/// Headers of the emulation, beside [`HEADERS`].
pub const HOST_HEADERS: [(&str, &str); 6] = [
    ("host/memory.h", include_str!("../../cuda/host/memory.h")),
    ("host/block.h", include_str!("../../cuda/host/block.h")),
    ("host/isa.h", include_str!("../../cuda/host/isa.h")),
    ("host/run.h", include_str!("../../cuda/host/run.h")),
    ("host/driver.h", include_str!("../../cuda/host/driver.h")),
    ("host/calls.h", include_str!("../../cuda/host/calls.h")),
];

/// The calls of a stand-in for the CUDA driver; with [`library`]'s texts it makes a library.
pub const STAND_IN: &str = "#include \"isa.cuh\"\n#include \"host/calls.h\"\n";

/// Shared memory of the smallest multiprocessor that is served (8.6, 8.9, 12.0), and what of it every block takes for
/// the system.
const MULTIPROCESSOR_SHARED: usize = 100 << 10;
const BLOCK_SHARED: usize = 1 << 10;

const INCLUDES: &str = "#include \"isa.cuh\"\n#include \"tensor.cuh\"\n#include \"functions.cuh\"\n#include \"norm.cuh\"\n#include \"product.cuh\"\n";

/// The program of one variant for a device; its kernel is [`Variant::symbol`].
pub fn device(variant: &Variant) -> String {
    let cuda = &variant.cuda;
    // Where shared memory leaves room for one block, registers are not to be saved for a second one.
    let alone = if 2 * (variant.shared + BLOCK_SHARED) > MULTIPROCESSOR_SHARED { ", 1" } else { "" };
    let mut text = format!("// {}\n{INCLUDES}#include \"{}\"\n\n", variant.key(), cuda.source.name);
    text += &description(variant, "Kernel");
    let _ = write!(
        text,
        "
extern \"C\" __global__ void __launch_bounds__({threads}{alone}) {symbol}(const __grid_constant__ Launch<Kernel> launch) {{
    run_part(launch, [](const Kernel::Part& part, int block) {{ {entry}<Kernel>(part, block); }});
}}
",
        threads = variant.threads,
        symbol = variant.symbol(),
        entry = cuda.entry,
    );
    text
}

/// The program that runs launches of `variants`, all of one source, on a CPU.
pub fn host(variants: &[&Variant]) -> String {
    let mut text = INCLUDES.to_string();
    if let Some(variant) = variants.first() {
        let _ = writeln!(text, "#include \"{}\"", variant.cuda.source.name);
    }
    text += "#include \"host/run.h\"\n";
    for (i, variant) in variants.iter().enumerate() {
        let _ = writeln!(text, "\n// {}", variant.key());
        text += &description(variant, &format!("Kernel{i}"));
    }
    text += "\nstatic const emulation::Variant VARIANTS[] = {\n";
    for (i, variant) in variants.iter().enumerate() {
        let _ = writeln!(text, "    {},", runner(variant, i));
    }
    text += "};\n\nint main() {\n    return emulation::serve(VARIANTS);\n}\n";
    text
}

/// The part of a stand-in for the CUDA driver that has `variants`, all of one source.
pub fn library(variants: &[&Variant]) -> String {
    let mut text = INCLUDES.to_string();
    if let Some(variant) = variants.first() {
        let _ = writeln!(text, "#include \"{}\"", variant.cuda.source.name);
    }
    text += "#include \"host/driver.h\"\n";
    // Nameless outside of its file: others have a Kernel0, too.
    text += "\nnamespace {\n";
    for (i, variant) in variants.iter().enumerate() {
        let _ = writeln!(text, "\n// {}", variant.key());
        text += &description(variant, &format!("Kernel{i}"));
    }
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
    format!(
        "{{[](const void* launch) {{
         run_part(*(const Launch<Kernel{i}>*)launch,
                  [](const Kernel{i}::Part& part, int block) {{ {}<Kernel{i}>(part, block); }});
     }}, {}, sizeof(Launch<Kernel{i}>)}}",
        variant.cuda.entry,
        variant.reads.len() + 1,
    )
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
