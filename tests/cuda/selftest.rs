//! `zoetropec selftest` on the stand-in: all declared cases, and shapes like those of full size.

use std::time::Instant;

use zoetrope::failure::Kind;
use zoetrope::finite;
use zoetrope::model_files::ModelFiles;
use zoetrope::selftest::cases::{Case, declared};
use zoetrope::selftest::{Effort, Outcome, plan, run, sizes, table, verdict};
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::Named;
use zoetrope_compiler::{Class, select};
use zoetrope_model_spec::lang::Dtype;
use zoetrope_runtime::Executor;
use zoetrope_runtime::cuda::{Card, Cuda, Supply};
use zoetrope_runtime::plan::{Code, Item, Plan};
use zoetrope_test_support::asks_for_long;

use crate::run::ByName;
use crate::standin::StandIn;

/// Every kind of `sizes.txt`, as small as an emulation wants it; the first two are the ceilings.
const LINES: [&str; 9] = [
    "copy 64 40",
    "linear 136 72 264",
    "attention 70 90 2 64",
    "conv3d 16 24 7 8 9",
    "rms_norm_silu_conv3d 24 16 3 18 17",
    "rms_norm_modulate 40 512",
    "rms_norm_weight 9 512",
    "rope 21 768 6",
    "rms_norm_rope 21 768 6",
];

/// The ceilings and all cases; few of these in tests that shall not take long: the emulation's own tests launch them all.
pub fn cases() -> Vec<Case> {
    let every = if asks_for_long("most declared cases of the self-test") { 1 } else { 8 };
    let some = declared().into_iter().enumerate().filter(|(i, case)| i % every == 0 || is_of_pixels(case));
    LINES.map(|line| sizes::case(line).unwrap()).into_iter().chain(some.map(|(_, case)| case)).collect()
}

/// What makes the bytes of frames of f32.
fn is_of_pixels(case: &Case) -> bool {
    case.kernel == "rgb_to_yuv420" && case.dtype == Dtype::F32
}

fn outcomes(cases: &[Case], plan: &Plan, code: &Code) -> Vec<Outcome> {
    let files = ModelFiles::default();
    let cuda = Cuda::new(Card::first().unwrap(), plan, code, &ByName, Supply::Files(&files)).unwrap();
    let mut all = Vec::new();
    // Every third case is also launched over and over, as for its time.
    let effort = |number| Effort { repeats: 1, seconds: if number % 3 == 0 { 0.002 } else { 0.0 } };
    run(cases, cuda, effort, &mut |_| {}, &mut |number, measured| {
        assert_eq!(number, all.len());
        all.push(Outcome { case: cases[number].clone(), measured: Ok(measured) });
    })
    .unwrap();
    all
}

#[test]
fn every_kind_of_full_size_is_tried() {
    let kind = |line: &str| line.split(' ').next().unwrap().to_string();
    let unknown: Vec<&str> = sizes::lines(sizes::SIZES)
        .filter(|line| !LINES.iter().any(|small| kind(small) == kind(line)))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn all_cases_pass_and_a_planted_error_does_not() {
    let Some(stand_in) = StandIn::apart() else { return };
    for (class, capability) in [(Class::Portable, 80), (Class::Hopper, 90)] {
        stand_in.set("capability", capability);
        let start = Instant::now();
        let mut cases = cases();
        if class == Class::Hopper {
            // The others are the portable ones again.
            cases.retain(|case| case.multiplies || LINES.contains(&case.name.as_str()));
        }
        let plan = plan(&cases);
        let code = select(&plan, class).unwrap().code;
        let all = outcomes(&cases, &plan, &code);
        let text = table("Stand-in Card", &all);
        println!("{text}run in {:.1?}", start.elapsed());
        verdict("Stand-in Card", &all).unwrap();
        assert!(text.contains(" 0 wrong") && !text.contains("WRONG"));
        assert!(text.contains("own copy, copy 64 40: ") && text.contains("own product, linear 136 72 264: "));
        assert!(all.iter().all(|outcome| outcome.measured.as_ref().unwrap().error.is_finite()));
    }
}

#[test]
fn a_planted_error_is_marked() {
    let Some(_stand_in) = StandIn::open() else { return };
    // The second factor's rows in another order, of the product and of one declared case.
    let cases: Vec<Case> = LINES[..3].iter().map(|line| sizes::case(line).unwrap()).collect();
    let plan = plan(&cases);
    let code = select(&plan, Class::Portable).unwrap().code;
    for wrong in 0..cases.len() {
        let mut planted = plan.clone();
        let launch = planted.phases.to_mut()[wrong].segments.to_mut()[0].items.to_mut();
        let Item::Launch(launch) = &mut launch[0] else { panic!("a launch") };
        let reads = launch.parts.to_mut()[0].reads.to_mut();
        // The last operand is read an element too early; of the first case it is the only one.
        let last = reads.last_mut().unwrap();
        last.offset += last.dtype.bytes();
        let all = outcomes(&cases, &planted, &code);
        let marked: Vec<bool> = all.iter().map(|outcome| !outcome.passed()).collect();
        let expected: Vec<bool> = (0..cases.len()).map(|i| i == wrong).collect();
        assert_eq!(marked, expected);
        let text = table("Stand-in Card", &all);
        let line = text.lines().find(|line| line.starts_with(&cases[wrong].name)).unwrap();
        assert!(line.ends_with("WRONG") && text.contains("1 wrong"), "{text}");
        let failure = verdict("Stand-in Card", &all).unwrap_err();
        assert_eq!((failure.kind, failure.kind as u8), (Kind::Failure, 1));
    }
    assert!(cases.iter().all(|case| case.dtype == Dtype::Bf16));
}

/// What is no number is cast to 0, so that luma tells (`zoetrope::finite`).
#[test]
fn pixels_that_are_no_numbers_are_marked() {
    let Some(_stand_in) = StandIn::open() else { return };
    let cases: Vec<Case> = declared().into_iter().filter(is_of_pixels).take(1).collect();
    let plan = plan(&cases);
    let code = select(&plan, Class::Portable).unwrap().code;
    let files = ModelFiles::default();
    let cuda = Cuda::new(Card::first().unwrap(), &plan, &code, &ByName, Supply::Files(&files)).unwrap();
    let (mut session, phase) = (Session::on(cuda), &plan.phases[0]);
    let (port, result) = (&phase.inputs[0], &phase.outputs[0]);
    let mut count = |numbers: &mut dyn FnMut(usize) -> f32| {
        let bytes: Vec<u8> = (0..port.bytes() as usize / 4).flat_map(|i| numbers(i).to_le_bytes()).collect();
        session.executor().write(port, &bytes).unwrap();
        session.run(&phase.name, &Named::new(), &[], &mut Unwatched).unwrap();
        finite::count(result, &session.executor().read(result).unwrap())
    };
    assert_eq!(count(&mut |i| (i as f32 * 0.7).sin() * 3.0), 0);
    // The green of every second pixel.
    let pixels = port.bytes() as usize / 12;
    assert_eq!(count(&mut |i| if i % 6 == 1 { f32::NAN } else { 0.1 }), pixels / 2);
}
