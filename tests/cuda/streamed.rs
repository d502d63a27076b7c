//! Weights that are streamed while the card computes: the bits of resident ones, in every order that the driver may take;
//! and what is wrong with a fetch shows.

use zoetrope::session::{Session, Unwatched};
use zoetrope_runtime::cuda::Mode;
use zoetrope_runtime::plan::{Fetch, Item, Plan};
use zoetrope_test_support::asks_for_long;

use crate::budget::{assert_streams, resident_and_streamed};
use crate::phase::{Demo, inputs};
use crate::standin::StandIn;

const PHASE: &str = "denoise-1";
/// Two steps: the last fetches of the first one are for the second.
const SIGMAS: [f32; 3] = [0.9, 0.6, 0.3];

/// The plan with the list of fetches of every loop changed.
fn changed(plan: &Plan, change: &dyn Fn(&mut Vec<Fetch>)) -> Plan {
    let mut plan = plan.clone();
    for segment in plan.phases.to_mut().iter_mut().flat_map(|phase| phase.segments.to_mut()) {
        for item in segment.items.to_mut() {
            if let Item::Loop(inner) = item {
                change(inner.fetches.to_mut());
            }
        }
    }
    plan
}

/// Runs the phase `runs` times on one executor, of which every run but the first reads what the last fetches of the one
/// before it brought: the bits of all.
fn bits(demo: &Demo, plan: &Plan, mode: Mode, sigmas: &[f32], runs: usize) -> Vec<Vec<u32>> {
    let mut cuda = demo.cuda(plan, &demo.selected.code).unwrap();
    cuda.set_mode(mode);
    let (mut session, phase) = (Session::on(cuda), plan.phase(PHASE).unwrap());
    let run = |_| {
        session.run(PHASE, &inputs(phase), sigmas, &mut Unwatched).unwrap();
        let outputs =
            phase.outputs.iter().flat_map(|port| session.output(PHASE, &port.name).unwrap().reals());
        outputs.map(f32::to_bits).collect()
    };
    (0..runs).map(run).collect()
}

#[test]
fn streamed_weights_give_the_bits_of_resident_ones() {
    if !asks_for_long("streamed weights") {
        return;
    }
    let Some(stand_in) = StandIn::apart() else { return };
    let [resident, streamed] = resident_and_streamed().map(Demo::of);
    let plan = &streamed.plan;
    assert_streams(plan, PHASE, "transformer_blocks");
    let want = |sigmas| resident.outputs(&resident.plan, &resident.selected.code, PHASE, sigmas).unwrap();
    let after_both = want(&SIGMAS);
    assert!(after_both.iter().all(|bits| f32::from_bits(*bits).is_finite()));
    let step = &SIGMAS[..2];
    let after_one = want(step);
    for (seed, mode, sigmas, runs) in [(2, Mode::Graphs, &SIGMAS[..], 1), (3, Mode::Single, step, 2)] {
        stand_in.set("seed", seed);
        let want = if sigmas == step { &after_one } else { &after_both };
        assert!(bits(&streamed, plan, mode, sigmas, runs).iter().all(|have| have == want), "{mode:?}");
    }

    // A step alone is enough to show what is wrong with a fetch, in some order of some.
    let shows = |change: &dyn Fn(&mut Vec<Fetch>)| {
        let plan = changed(plan, change);
        [3, 1, 2, 4, 5, 6].into_iter().any(|seed| {
            stand_in.set("seed", seed);
            streamed.outputs(&plan, &streamed.selected.code, PHASE, step).unwrap() != after_one
        })
    };
    // Two iterations that get each other's weights.
    assert!(shows(&|fetches| {
        if let [first, second, ..] = &mut fetches[..] {
            std::mem::swap(&mut first.constants, &mut second.constants);
        }
    }));
    // Weights that nobody waits for until it is too late.
    assert!(shows(&|fetches| fetches.iter_mut().for_each(|fetch| fetch.iteration += 1)));
    // Weights that come before those in their place are read.
    assert!(shows(&|fetches| {
        if let Some(fetch) = fetches.iter_mut().find(|fetch| fetch.after == 0) {
            fetch.after = Fetch::AT_ONCE;
        }
    }));
}
