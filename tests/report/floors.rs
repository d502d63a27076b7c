//! Floors where they are not a sum of launches: queues that overlap, weights that stream.

use std::borrow::Cow;

use zoetrope::report::{PhaseReport, Report, summary};
use zoetrope_runtime::plan::{Fetch, Item, Loop, Plan};

const PHASE: &str = "denoise-1";
const STEPS: u64 = 8;

/// The plan of the tests, with `change` made to the loop over the blocks in the first stage.
fn changed(change: impl Fn(&mut Loop)) -> Plan {
    let mut plan = zoetrope_generated::PLANS[0].clone();
    let phase = plan.phases.to_mut().iter_mut().find(|p| p.name == PHASE).expect("a first stage");
    for item in phase.segments.to_mut().iter_mut().flat_map(|s| s.items.to_mut().iter_mut()) {
        if let Item::Loop(l) = item {
            change(l);
        }
    }
    plan
}

fn phase(report: &Report) -> &PhaseReport {
    report.phases.iter().find(|p| p.name == PHASE).expect("a first stage")
}

#[test]
fn streamed_weights_take_the_time_of_the_link() {
    const BYTES: u64 = 1 << 40;
    let fetch = |after, iteration| Fetch { after, iteration, constants: Cow::Borrowed(&[]), bytes: BYTES };
    let plan = changed(|l| l.fetches = Cow::Owned(vec![fetch(Fetch::AT_ONCE, 0), fetch(0, 1), fetch(1, 0)]));
    let report = Report::of(&plan);
    let streaming = phase(&report);
    // What comes when the phase begins is loading.
    assert_eq!(streaming.streamed_bytes_per_step, 2 * BYTES);
    assert_eq!(streaming.streamed_bytes, STEPS * 2 * BYTES);
    for (seconds, card) in streaming.seconds.iter().zip(&report.cards) {
        let link = streaming.streamed_bytes as f64 / card.host_bytes_per_second;
        assert!((link..link * 1.01).contains(&(seconds * 1.0001)), "{seconds} s on {}", card.name);
    }
    let text = summary(&report);
    assert!(text.lines().any(|l| l.ends_with("streamed")) && text.contains("17592.19 GB"), "{text}");
    assert!(!summary(&Report::of(zoetrope_generated::PLANS[0])).contains("streamed"));
}

#[test]
fn lanes_overlap_but_share_the_card() {
    let one = Report::of(&changed(|l| l.body.to_mut().iter_mut().for_each(|launch| launch.queue = 0)));
    let many = Report::of(&changed(|l| {
        l.body.to_mut().iter_mut().enumerate().for_each(|(i, launch)| launch.queue = i as u8);
    }));
    let (one, many, cards) = (phase(&one), phase(&many), &many.cards);
    for (i, card) in cards.iter().enumerate() {
        let (alone, together) = (one.seconds[i], many.seconds[i]);
        let moved = many.bytes as f64 / card.bytes_per_second;
        let worked = many.flops as f64 / card.bf16_flops_per_second.max(card.f32_flops_per_second);
        assert!(together <= alone * 1.0001, "{together} after {alone} on {}", card.name);
        assert!(together * 1.0001 >= moved.max(worked), "{together} below what {} can move", card.name);
    }
    let rows = |p: &PhaseReport| p.rows.iter().map(|r| r.seconds[0]).sum::<f64>();
    assert!(
        (rows(one) - one.seconds[0]).abs() < 1e-4 * one.seconds[0],
        "one queue is the sum of its launches"
    );
}
