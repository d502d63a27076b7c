//! Machine code of the functions of a plan at full size: everything compiles for an architecture of every class, and
//! what works on bf16 spills no register. Without NVRTC this is a skip that says so.

#![cfg(feature = "cuda")]

use zoetrope_compiler::frontend::compile_target;
use zoetrope_compiler::{Class, select};
use zoetrope_kernels::cuda::{ARCHS, Arch, Compiler, Variant};
use zoetrope_model_spec::lang::Dtype;
use zoetrope_model_spec::ltx::enhance::Enhance;
use zoetrope_model_spec::target::Target;

/// Bytes that `ptxas` says are spilled.
fn spilled(report: &str) -> u64 {
    let before = |text: &str| text.split_whitespace().last().and_then(|n| n.parse::<u64>().ok());
    // What stands behind the last of these words is no number of theirs.
    report.lines().flat_map(|line| line.rsplit(" bytes spill").skip(1).map(before)).flatten().sum()
}

#[test]
fn a_plan_at_full_size_compiles_without_spills() {
    let Ok(compiler) = Compiler::find() else {
        println!("skipped: NVRTC was not found (docs/cards.md)");
        return;
    };
    let enhance = Some(Enhance { image: true, ..Enhance::default() });
    let target = Target { enhance, ..Target::preset("res-1080p").unwrap() };
    let plan = compile_target(&target, "".as_ref()).unwrap();
    let classes = Class::ALL.map(|class| (class, select(&plan, class).unwrap().variants));
    // One of each class: kernels/tests/nvrtc compiles for all.
    let archs = |class: Class| ARCHS.iter().filter(move |arch| arch.class == class).take(1);
    let work: Vec<(&Variant, &Arch)> = classes
        .iter()
        .flat_map(|(class, variants)| variants.iter().map(|v| (*class, v)))
        .flat_map(|(class, v)| archs(class).map(move |arch| (v, arch)))
        .collect();
    let mut wrong = Vec::new();
    for ((variant, arch), made) in work.iter().zip(compiler.compile_all(&work)) {
        let half = variant.reads.iter().chain([&variant.write]).any(|b| b.dtype == Dtype::Bf16);
        match made {
            Err(e) => wrong.push(e.to_string()),
            Ok(made) if half && spilled(&made.report) > 0 => {
                wrong.push(format!("{} for sm_{}:\n{}", variant.key(), arch.name, made.report));
            }
            Ok(_) => {}
        }
    }
    let functions: usize = classes.iter().map(|(_, variants)| variants.len()).sum();
    println!("{functions} functions, {} compilations", work.len());
    assert!(wrong.is_empty(), "{} are wrong: {wrong:#?}", wrong.len());
}

#[test]
fn a_report_says_what_is_spilled() {
    let report = "ptxas info : Compiling entry function 'x' for 'sm_80'\n\
                  \x20   16 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads\n\
                  ptxas info : Used 255 registers, 344 bytes cmem[0]\n\
                  a warning about something else, number 177";
    assert_eq!(spilled(report), 20);
    assert_eq!(spilled("    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"), 0);
}
