//! All functions that a test launches. There is one driver in a process, so all tests need the same.

use std::collections::{BTreeMap, BTreeSet};

use zoetrope::selftest;
use zoetrope_compiler::{Class, Selected, select};
use zoetrope_kernels::cuda::Variant;
use zoetrope_runtime::plan::Plan;
use zoetrope_test_support::asks_for_long;

use crate::budget::resident_and_streamed;
use crate::encode;
use crate::guided::GUIDED;
use crate::kept::KEPT;
use crate::phase;
use crate::selftest::cases;
use crate::suite;

/// Of the phases of a run, those that tests launch which do not take long. Most functions are the decoders'.
const LAUNCHED: [&str; 6] =
    ["enhance-read", "enhance-write", "video-encode", "denoise-1", "upscale", "denoise-2"];

/// The functions of the launches of some phases of a plan.
fn of_phases(plan: &Plan, class: Class, taken: &dyn Fn(&str) -> bool) -> Vec<Variant> {
    let Selected { code, variants, .. } = select(plan, class).unwrap();
    let phases = plan.phases.iter().flat_map(|phase| phase.launches().map(|_| taken(&phase.name)));
    let calls = code.calls.iter().zip(phases).filter(|(_, taken)| *taken);
    let functions: BTreeSet<usize> = calls.map(|(call, _)| call.function as usize).collect();
    functions.into_iter().map(|function| variants[function].clone()).collect()
}

/// Those of the demo, with a better prompt too, of the demo in guided stages with adapters, with streamed weights and with
/// encoded ones, of encoders, of plans that share memory, and of the self-test, for cards of either class.
pub fn variants() -> Vec<Variant> {
    // These run in long tests alone.
    let guided = GUIDED.into_iter().filter(|_| asks_for_long("guided plans")).map(phase::plan_by);
    let sees = [true].into_iter().filter(|_| asks_for_long("images in prompts")).map(phase::plan_that_writes);
    let tried = selftest::plan(&cases());
    let others = [phase::plan(), phase::plan_that_writes(false), phase::plan_keeping(KEPT)];
    let plans = resident_and_streamed().into_iter().chain(encode::plans()).chain(others);
    let plans = plans.chain(guided).chain(sees);
    let long = asks_for_long("functions of decoders");
    let taken = |phase: &str| long || LAUNCHED.contains(&phase);
    let plans: Vec<Plan> = plans.chain(suite::plans()).collect();
    let mut all: Vec<Variant> = Class::ALL.map(|class| select(&tried, class).unwrap().variants).concat();
    all.extend(plans.iter().flat_map(|plan| Class::ALL.map(|class| of_phases(plan, class, &taken)).concat()));
    let by_key: BTreeMap<String, Variant> = all.into_iter().map(|variant| (variant.key(), variant)).collect();
    by_key.into_values().collect()
}
