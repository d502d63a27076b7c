//! Guided runs in two stages, the second or both with adapters beside their weights, from an image: against the CPU executor.

use std::collections::BTreeSet;

use zoetrope::adapters::{Adapters, Merge};
use zoetrope::demo::adapters::DISTILLED;
use zoetrope::model_files::tensors_of;
use zoetrope::session::Session;
use zoetrope_runtime::Cpu;
use zoetrope_runtime::files::TensorFile;
use zoetrope_test_support::asks_for_long;

use crate::phase::{Demo, plan_by};
use crate::run::{distances, errors_beside, from_image};
use crate::standin::StandIn;

/// The recipes that tests here run.
pub const GUIDED: [&str; 2] = ["two-stage", "two-stage-hq"];

/// The demo's adapter in every slot.
fn adapters(demo: &Demo) -> Adapters {
    let slots = demo.plan.phases.iter().filter_map(|phase| phase.adapter);
    slots.fold(Adapters::open(&[], Merge::Exact).unwrap(), |adapters, room| {
        let bytes = DISTILLED.bytes(&tensors_of(&demo.plan));
        let file = TensorFile::from_bytes(DISTILLED.file, bytes).unwrap();
        adapters.file_in_slot(room.slot, file, room.strength)
    })
}

/// Two guided steps and all of the second stage. Takes some 20 seconds.
#[test]
fn guided_stages_equal_the_cpu_executors() {
    if !asks_for_long("a guided run in two stages") {
        return;
    }
    let demo = Demo::of(plan_by(GUIDED[0]));
    let Some(_stand_in) = StandIn::open() else { return };
    let adapters = adapters(&demo);
    let weights = adapters.over(&demo.files, &demo.files.checkpoint, &demo.plan).unwrap();
    let have = from_image(&demo.files, &mut Session::on(demo.cuda_with(&weights).unwrap()));
    let want = from_image(&demo.files, &mut Session::on(Cpu::new(&demo.plan, &weights).unwrap()));
    let all = distances(&have, &want);
    println!("{all:?}");
    // Guidance takes differences of passes several times, and with them what they are rounded by. Written so that a NaN fails.
    let most = |name: &str| if name.starts_with("stage1") { 8e-2 } else { 3e-2 };
    assert!(all.iter().all(|(name, error)| *error <= most(name)), "{all:?}");
}

/// The other solver, which draws noise between its steps. Each launch for itself: a run also shows what its steps make of
/// roundings.
#[test]
fn every_launch_of_two_evaluations_a_step_equals_the_cpu_executors() {
    if !asks_for_long("every launch of a guided run with two evaluations a step") {
        return;
    }
    let demo = Demo::of(plan_by(GUIDED[1]));
    let Some(_stand_in) = StandIn::open() else { return };
    let adapters = adapters(&demo);
    let weights = adapters.over(&demo.files, &demo.files.checkpoint, &demo.plan).unwrap();
    let (cpu, cuda) = (Cpu::new(&demo.plan, &weights).unwrap(), demo.cuda_with(&weights).unwrap());
    let errors = errors_beside(cpu, cuda, |session| from_image(&demo.files, session));
    let kernels: BTreeSet<&str> = errors.iter().map(|error| error.kernel.as_str()).collect();
    assert!(kernels.contains("combine_5") && errors.len() > 200, "{kernels:?}");
}
