//! The code of a plan for both classes of cards: which kernels are chosen, and tensor maps that the verifier refuses.

use std::collections::BTreeSet;

use zoetrope_compiler::emit::{emit, emit_code};
use zoetrope_compiler::frontend::compile_target;
use zoetrope_compiler::{Class, Error, Selected, select, verify};
use zoetrope_model_spec::lang::Kept;
use zoetrope_model_spec::ltx::recipe::Recipe;
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::{Code, Detail, Dtype, Item, Launch, Map, Plan};

fn plan() -> Plan {
    compile_target(&Target::preset("res-tiny").unwrap(), "".as_ref()).unwrap()
}

#[test]
fn a_class_has_its_own_architectures_and_kernels() {
    let plan = plan();
    let [portable, hopper] = Class::ALL.map(|class| select(&plan, class).unwrap());
    let archs = |of: &Selected| of.code.archs.iter().map(|a| a.name.to_string()).collect::<Vec<_>>();
    assert_eq!((archs(&portable), archs(&hopper)), (vec!["80".into(), "120".into()], vec!["90a".into()]));
    assert!(portable.code.arch((9, 0)).is_none() && hopper.code.arch((9, 0)).is_some());
    assert!(portable.code.maps.is_empty());
    for class in [Class::Portable, Class::Hopper] {
        assert!(hopper.variants.iter().any(|v| v.class == class), "{}", class.name());
    }
    for ((function, variant), i) in hopper.code.functions.iter().zip(&hopper.variants).zip(0..) {
        let mut calls = hopper.code.calls.iter().filter(|call| call.function == i);
        assert!(calls.all(|call| (call.maps.1 > 0) != variant.maps.is_empty()), "{}", function.key);
    }
}

/// The build script writes them unread: rustc is the first to parse them.
#[test]
fn what_is_emitted_is_rust() {
    let plan = plan();
    let mut files = vec![emit(&plan, "plan.tables").unwrap().rust];
    for class in Class::ALL {
        let code = select(&plan, class).unwrap().code;
        files.push(emit_code(&code, "code.arguments").unwrap().rust);
    }
    for (rust, item) in files.iter().zip(["PLAN", "CODE", "CODE"]) {
        let file = syn::parse_file(rust).unwrap();
        let wanted = |i: &&syn::Item| matches!(i, syn::Item::Static(s) if s.ident == item);
        assert_eq!(file.items.iter().filter(wanted).count(), 1);
    }
}

/// Names in emitted Rust are those that it imports: rustc sees plans of a recipe in builds of such plans alone.
#[test]
fn emitted_names_are_imported() {
    let size = Size { width: 64, height: 64, frames: 9, fps: 24.0, stride: 1 };
    for name in ["two-stage-hq", "retake-dev", "upscale"] {
        let recipe = Recipe::named(name).unwrap();
        let target = Target { recipe, size, ..Target::preset("res-tiny").unwrap() };
        let rust = emit(&compile_target(&target, "".as_ref()).unwrap(), "plan.tables").unwrap().rust;
        let (_, rest) = rust.split_once("use zoetrope_runtime::plan::{").unwrap();
        let (imported, body) = rest.split_once("};").unwrap();
        let known: BTreeSet<&str> =
            imported.split(',').map(str::trim).chain(["Some", "None", "Cow", "Self"]).collect();
        // Neither texts nor comments, and of a path its first name alone.
        let code = body.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code: String = code.flat_map(|line| line.split('"').step_by(2).chain(["\n"])).collect();
        let words = code.split(|c: char| !(c.is_alphanumeric() || "_:".contains(c)));
        let names = words
            .filter_map(|word| word.split("::").next())
            .filter(|word| word.starts_with(char::is_uppercase) && word.contains(char::is_lowercase));
        let unknown: BTreeSet<&str> =
            names.filter(|word| !known.contains(word.trim_end_matches(':'))).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        assert_eq!(rust.contains("rank: Some(384u32)"), name == "two-stage-hq", "{name}");
    }
}

/// Plans whose weights stay encoded: smaller, with functions for both classes of cards, written as Rust.
#[test]
fn weights_that_stay_encoded_are_read_by_what_decodes_them() {
    let size = Size { width: 64, height: 64, frames: 9, fps: 24.0, stride: 1 };
    let recipe = Recipe::named("distilled-single-stage").unwrap();
    let target = Target { recipe, size, ..Target::preset("res-tiny").unwrap() };
    let compiled = |weights| compile_target(&Target { weights, ..target.clone() }, "".as_ref()).unwrap();
    let weights = |plan: &Plan| plan.phase("denoise-1").unwrap().weight_bytes;
    let plain = compiled(None);
    assert!(plain.kept().is_empty());
    for kept in [Kept::Fp8, Kept::Q8_0] {
        let plan = compiled(Some(kept));
        assert_eq!(plan.kept(), BTreeSet::from([kept]));
        assert!(weights(&plan) * 5 < weights(&plain) * 4, "{kept}: {} bytes", weights(&plan));
        assert!(plan.text(Detail::Listing).contains(&format!("bf16 with weights in {kept}, demo")));
        for (launch, _) in plan.phase("denoise-1").unwrap().launches() {
            let name = &plan.kernels[launch.kernel as usize].name;
            let bytes = launch.parts.iter().any(|part| part.reads.iter().any(|read| read.dtype == Dtype::U8));
            assert_eq!(bytes, name.starts_with("decode_"), "{name} at {}", launch.path());
        }
        for class in Class::ALL {
            let selected = select(&plan, class).unwrap();
            let decoding = selected.variants.iter().filter(|v| v.name.starts_with("decode_"));
            assert!(decoding.clone().count() > 0 && decoding.clone().all(|v| v.class == Class::Portable));
            assert!(decoding.clone().all(|v| v.multiplies_matrices));
        }
        let rust = emit(&plan, "plan.tables").unwrap().rust;
        assert!(syn::parse_file(&rust).is_ok());
        let name = kept.name().to_uppercase();
        let row = |line: &str| {
            line.starts_with("    encoded(Source::Checkpoint") && line.contains(&format!("({name}, "))
        };
        assert!(rust.lines().any(row));
    }
    // Rows of the demo model are shorter than a block of Q4_K, but for those of its widest layers.
    assert!(weights(&compiled(Some(Kept::Q4_K))) < weights(&plain));
}

/// What is wrong with a tensor map.
type Change = fn(&mut Map);

/// What the verifier says of code with one map changed.
fn refused(plan: &Plan, code: &Code, change: Change) -> &'static str {
    let mut code = code.clone();
    change(&mut code.maps.to_mut()[1]);
    match verify::code(plan, &code) {
        Err(Error::Verifier { rule, .. }) => rule,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_verifier_refuses_changed_maps() {
    let plan = plan();
    let code = select(&plan, Class::Hopper).unwrap().code;
    let changes: [(Change, &str); 9] = [
        (|map| map.extents[0] -= 8, "describes all"),
        (|map| map.extents[1] += 1, "describes all"),
        (|map| map.stride += 16, "describes all"),
        (|map| map.operand = 1000, "that of an operand"),
        (|map| map.at += 32, "behind the operands"),
        (|map| map.at += 1 << 20, "behind the operands"),
        (|map| map.tile[0] = 32, "a driver makes"),
        (|map| map.tile[1] = 257, "a driver makes"),
        (|map| map.tile[1] = 0, "a driver makes"),
    ];
    for (change, words) in changes {
        let rule = refused(&plan, &code, change);
        assert!(rule.contains(words), "{rule:?} is not about {words:?}");
    }
    // A table that ends too early, a call with a map less, and maps in portable code.
    let mut short = code.clone();
    short.maps.to_mut().pop();
    assert!(verify::code(&plan, &short).is_err());
    let mut fewer = code.clone();
    fewer.calls.to_mut().iter_mut().find(|call| call.maps.1 > 0).unwrap().maps.1 -= 1;
    assert!(verify::code(&plan, &fewer).is_err());
    let portable = Code { class: Class::Portable.name().into(), ..code };
    assert!(verify::code(&plan, &portable).is_err());
}

/// All launches of a plan in order, each by its number.
fn each_launch(plan: &mut Plan, mut change: impl FnMut(u32, &mut Launch)) {
    for phase in plan.phases.to_mut() {
        let mut numbers = phase.first..;
        let mut one = |launch: &mut Launch| change(numbers.next().expect("no end"), launch);
        for item in phase.segments.to_mut().iter_mut().flat_map(|segment| segment.items.to_mut()) {
            match item {
                Item::Launch(launch) => one(launch),
                Item::Loop(inner) => inner.body.to_mut().iter_mut().for_each(&mut one),
            }
        }
    }
}

/// Kernels with tensor maps move sixteen bytes of their results at once.
#[test]
fn the_verifier_refuses_results_between_sixteens() {
    let mut plan = plan();
    let code = select(&plan, Class::Hopper).unwrap().code;
    let mapped = code.calls.iter().position(|call| call.maps.1 > 0).unwrap() as u32;
    verify::code(&plan, &code).unwrap();
    each_launch(&mut plan, |number, launch| {
        if number == mapped {
            launch.parts.to_mut()[0].write.offset += 8;
        }
    });
    match verify::code(&plan, &code) {
        Err(Error::Verifier { rule, .. }) => assert!(rule.contains("has aligned rows"), "{rule:?}"),
        other => panic!("not refused: {other:?}"),
    }
}
