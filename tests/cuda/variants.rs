//! All functions that a test launches. There is one driver in a process, so all tests need the same.

use std::collections::BTreeMap;

use zoetrope::selftest;
use zoetrope_compiler::{Class, select};
use zoetrope_kernels::cuda::Variant;
use zoetrope_runtime::plan::Plan;

use crate::budget::resident_and_streamed;
use crate::encode;
use crate::phase;
use crate::selftest::cases;

/// Those of the demo, of the demo with streamed weights, of encoders, and of the self-test, for cards of either class.
pub fn variants() -> Vec<Variant> {
    let demo = phase::plan();
    let plans: Vec<Plan> = resident_and_streamed()
        .into_iter()
        .chain(encode::plans())
        .chain([demo, selftest::plan(&cases())])
        .collect();
    let selected = plans.iter().flat_map(|plan| Class::ALL.map(|class| select(plan, class).unwrap()));
    let by_key: BTreeMap<String, Variant> =
        selected.flat_map(|selected| selected.variants).map(|variant| (variant.key(), variant)).collect();
    by_key.into_values().collect()
}
