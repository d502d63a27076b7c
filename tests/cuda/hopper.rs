//! A card of the class that has kernels of its own: products and attention by warpgroups, operands through tensor maps.

use std::collections::BTreeMap;
use std::time::Instant;

use zoetrope::session::Session;
use zoetrope_runtime::plan::{Code, Plan};
use zoetrope_test_support::asks_for_long;
use zoetrope_test_support::golden::rel_l2;

use crate::phase::Demo;
use crate::run::{clip, errors_of};
use crate::standin::StandIn;

/// The phases from the prompt to the last latents. The decoders are portable on every card.
fn without_decoders(plan: &Plan) -> Plan {
    let last = plan.phases.iter().position(|phase| phase.name == "denoise-2").expect("a second stage");
    Plan { phases: plan.phases[..=last].to_vec().into(), ..plan.clone() }
}

/// A step of one stage: the transformer has most of what Hopper's kernels do.
#[test]
fn a_step_on_hopper_equals_the_cpu_executors() {
    const PHASE: &str = "denoise-2";
    let Some(stand_in) = StandIn::open() else { return };
    let demo = Demo::shared();
    stand_in.set("capability", 90);
    let error = demo.error(&demo.hopper.code, PHASE, &[0.9, 0.4]);
    // Written so that a NaN fails.
    assert!(error <= 1e-2, "{error}");
}

/// All stages up to the last latents. The step above, which is quick, has most kernels of this run.
#[test]
fn latents_on_hopper_equal_the_cpu_executors() {
    if !asks_for_long("all stages on Hopper") {
        return;
    }
    let Some(stand_in) = StandIn::apart() else { return };
    let demo = Demo::shared();
    let plan = without_decoders(&demo.plan);
    stand_in.set("capability", 90);
    let start = Instant::now();
    let cuda = demo.cuda(&plan, &demo.hopper.code).unwrap();
    let have = clip(&demo.files, &mut Session::on(cuda)).latents;
    println!("run in {:.1?}", start.elapsed());
    let want = clip(&demo.files, &mut Session::new(&plan, &demo.files).unwrap()).latents;
    let all: Vec<(&str, f64)> = want
        .iter()
        .map(|(name, tensor)| (name.as_str(), rel_l2(&have[name].reals(), &tensor.reals())))
        .collect();
    println!("{all:?}");
    assert!(!all.is_empty() && all.iter().all(|(_, error)| *error <= 3e-2), "{all:?}");
}

#[test]
fn every_launch_on_hopper_equals_the_cpu_executors() {
    if !asks_for_long("every launch for itself on Hopper") {
        return;
    }
    let Some(stand_in) = StandIn::apart() else { return };
    let demo = Demo::shared();
    let plan = without_decoders(&demo.plan);
    stand_in.set("capability", 90);
    let start = Instant::now();
    let code = &demo.hopper.code;
    // With tensor maps: those that a Hopper kernel did.
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    for launch in errors_of(demo, &plan, code) {
        let (_, call, _) = code.call(launch.number).unwrap();
        if call.maps.1 > 0 {
            *done.entry(launch.kernel).or_default() += 1;
        }
    }
    println!("run in {:.1?}; by Hopper kernels: {done:?}", start.elapsed());
    for family in ["linear", "attention"] {
        let count: usize = done.iter().filter(|(name, _)| name.starts_with(family)).map(|(_, n)| n).sum();
        assert!(count > 0, "no launch of {family} by a Hopper kernel: {done:?}");
    }
}

/// What the card says to code, as text.
fn refused(demo: &Demo, plan: &Plan, code: &Code) -> String {
    match demo.cuda(plan, code) {
        Ok(_) => panic!("the card takes it"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn cards_take_code_of_their_class_and_maps_of_their_memory() {
    let demo = Demo::shared();
    let plan = without_decoders(&demo.plan);
    let Some(stand_in) = StandIn::open() else { return };
    let (portable, hopper) = (&demo.selected.code, &demo.hopper.code);
    assert!(refused(demo, &plan, hopper).contains("no kernel is made for"));
    stand_in.set("capability", 90);
    assert!(refused(demo, &plan, portable).contains("no kernel is made for"));
    for (rows, words) in [(1 << 31, "memory that is not allocated"), (0, "no tensor map describes")] {
        let mut code = hopper.clone();
        code.maps.to_mut().iter_mut().for_each(|map| map.extents[1] = rows);
        let text = refused(demo, &plan, &code);
        assert!(text.contains(words), "{text}");
    }
}
