//! The least time that launches can take on a card: no executor has reached it, and nothing here was measured.
//!
//! A launch takes at least its operations over the ceiling of arithmetic, and at least the bytes of its operands and
//! results over the memory bandwidth. Two things are left out on purpose: loading weights that stay, which happens
//! once for many clips, and caches, which let small clips read a result faster than memory would give it.

use std::collections::BTreeMap;

use zoetrope_runtime::plan::{Dtype, Fetch, Item, Launch, Loop, Phase};

use super::cards::Card;
use crate::steps::{Steps, turns};

/// Seconds of one execution of a launch.
pub fn launch(card: &Card, launch: &Launch) -> f64 {
    arithmetic(card, launch).max(traffic(card, launch))
}

/// Seconds of a run of the phase.
pub fn phase(card: &Card, phase: &Phase) -> f64 {
    let segment = |items: &[Item]| {
        let (mut seconds, mut between) = (0.0, Vec::new());
        for item in items {
            match item {
                Item::Launch(launch) => between.push(launch),
                Item::Loop(l) => {
                    seconds += stretch(card, between.drain(..));
                    let link = card.host_gb_per_second * 1e9;
                    let iterations = f64::from(l.count) * stretch(card, l.body.iter());
                    seconds += iterations.max(streamed(l) as f64 / link);
                }
            }
        }
        seconds + stretch(card, between.drain(..))
    };
    phase.segments.iter().map(|s| turns(phase, s, Steps::default()) as f64 * segment(&s.items)).sum()
}

/// Bytes of weights that a loop brings from the host each time it runs. Those that come when the phase begins are loading.
pub fn streamed(l: &Loop) -> u64 {
    l.fetches.iter().filter(|f| f.after != Fetch::AT_ONCE).map(|f| f.bytes).sum()
}

/// Launches that wait for nothing else: a queue takes as long as its launches together, and all queues share one card.
fn stretch<'a>(card: &Card, launches: impl Iterator<Item = &'a Launch>) -> f64 {
    let (mut queues, mut busy, mut moving) = (BTreeMap::<u8, f64>::new(), 0.0, 0.0);
    for l in launches {
        *queues.entry(l.queue).or_default() += launch(card, l);
        busy += arithmetic(card, l);
        moving += traffic(card, l);
    }
    queues.into_values().fold(f64::max(busy, moving), f64::max)
}

/// A launch that touches bf16 gets the ceiling of the tensor cores, every other that of f32 arithmetic.
fn arithmetic(card: &Card, launch: &Launch) -> f64 {
    let mut operands = launch.parts.iter().flat_map(|p| p.reads.iter().chain([&p.write]));
    let tensor = operands.any(|o| o.dtype == Dtype::Bf16);
    let tflops = if tensor { card.bf16_tflops } else { card.f32_tflops };
    launch.flops() as f64 / (tflops * 1e12)
}

fn traffic(card: &Card, launch: &Launch) -> f64 {
    launch.bytes() as f64 / (card.memory_gb_per_second * 1e9)
}
