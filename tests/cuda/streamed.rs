//! Weights that are streamed while the card computes: the bits of resident ones, in every order that the driver may take;
//! and what is wrong with a fetch shows.

use zoetrope::session::{Session, Unwatched};
use zoetrope_runtime::cuda::Mode;
use zoetrope_runtime::plan::{Fetch, Item, Plan};

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

/// Runs the phase twice on one executor, whose second run reads what the last fetches of the first one brought: the bits
/// of both.
fn twice(demo: &Demo, plan: &Plan, mode: Mode) -> [Vec<u32>; 2] {
    let mut cuda = demo.cuda(plan, &demo.selected.code).unwrap();
    cuda.set_mode(mode);
    let (mut session, phase) = (Session::on(cuda), plan.phase(PHASE).unwrap());
    [(); 2].map(|()| {
        session.run(PHASE, &inputs(phase), &SIGMAS, &mut Unwatched).unwrap();
        let outputs =
            phase.outputs.iter().flat_map(|port| session.output(PHASE, &port.name).unwrap().reals());
        outputs.map(f32::to_bits).collect()
    })
}

#[test]
fn streamed_weights_give_the_bits_of_resident_ones() {
    let Some(stand_in) = StandIn::open() else { return };
    let [resident, streamed] = resident_and_streamed().map(Demo::of);
    let plan = &streamed.plan;
    assert_streams(plan, PHASE, "transformer_blocks");
    let want = resident.outputs(&resident.plan, &resident.selected.code, PHASE, &SIGMAS).unwrap();
    assert!(want.iter().all(|bits| f32::from_bits(*bits).is_finite()));
    for (seed, mode) in [(2, Mode::Graphs), (3, Mode::Single)] {
        stand_in.set("seed", seed);
        assert!(twice(&streamed, plan, mode).iter().all(|have| *have == want), "other bits, {mode:?}");
    }

    // In some order of some, after a step alone or after both.
    let shows = |sigmas: &[f32], change: &dyn Fn(&mut Vec<Fetch>)| {
        let want = resident.outputs(&resident.plan, &resident.selected.code, PHASE, sigmas).unwrap();
        let plan = changed(plan, change);
        (1..=6).any(|seed| {
            stand_in.set("seed", seed);
            streamed.outputs(&plan, &streamed.selected.code, PHASE, sigmas).unwrap() != want
        })
    };
    // Two turns that get each other's weights.
    assert!(shows(&SIGMAS, &|fetches| {
        if let [first, second, ..] = &mut fetches[..] {
            std::mem::swap(&mut first.constants, &mut second.constants);
        }
    }));
    // Weights that nobody waits for until it is too late.
    assert!(shows(&SIGMAS, &|fetches| fetches.iter_mut().for_each(|fetch| fetch.iteration += 1)));
    // Weights that come before those in their place are read. Of a single step, so that nothing else is wrong than that.
    assert!(shows(&SIGMAS[..2], &|fetches| {
        if let Some(fetch) = fetches.iter_mut().find(|fetch| fetch.after == 0) {
            fetch.after = Fetch::AT_ONCE;
        }
    }));
}
