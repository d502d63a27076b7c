//! All functions that a test launches. There is one driver in a process, so all tests need the same.

use std::collections::BTreeMap;

use zoetrope::selftest;
use zoetrope_compiler::{Class, select};
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

/// Those of the demo, with a better prompt too, of the demo in guided stages with adapters, with streamed weights and with
/// encoded ones, of encoders, of plans that share memory, and of the self-test, for cards of either class.
pub fn variants() -> Vec<Variant> {
    // These run in long tests alone.
    let guided = GUIDED.into_iter().filter(|_| asks_for_long("guided plans")).map(phase::plan_by);
    let sees = [true].into_iter().filter(|_| asks_for_long("images in prompts")).map(phase::plan_that_writes);
    let others =
        [phase::plan(), phase::plan_that_writes(false), phase::plan_keeping(KEPT), selftest::plan(&cases())];
    let plans = resident_and_streamed().into_iter().chain(encode::plans()).chain(others);
    let plans = plans.chain(guided).chain(sees);
    let plans: Vec<Plan> = plans.chain(suite::plans()).collect();
    let selected = plans.iter().flat_map(|plan| Class::ALL.map(|class| select(plan, class).unwrap()));
    let by_key: BTreeMap<String, Variant> =
        selected.flat_map(|selected| selected.variants).map(|variant| (variant.key(), variant)).collect();
    by_key.into_values().collect()
}
