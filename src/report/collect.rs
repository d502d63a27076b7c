//! From a plan to its figures.

use zoetrope_compiler::plan_hash;
use zoetrope_runtime::plan::{Footprint, Item, Kept, Launch, Loop, Phase, Plan, Repeat, Segment, Suite};

use super::cards::{CARDS, Card, SIZES};
use super::data::{
    BufferReport, CardReport, Fits, FootprintReport, LaunchReport, LoopReport, PhaseReport, Report,
    SizeReport, TogetherReport, VERSION,
};
use super::floor;
use super::live::Live;
use crate::steps::{Steps, turns, work};

impl Report {
    /// The figures of `plan`.
    pub fn of(plan: &Plan) -> Report {
        let f = &plan.facts;
        let makers = makers(plan);
        let phases: Vec<_> = plan.phases.iter().map(|p| phase_report(plan, p, &makers)).collect();
        let counted = || phases.iter().filter(|phase| phase.always_runs());
        let card = |(i, card): (usize, &Card)| CardReport {
            name: card.name.to_string(),
            memory_bytes: card.memory_bytes(),
            bf16_flops_per_second: card.bf16_tflops * 1e12,
            f32_flops_per_second: card.f32_tflops * 1e12,
            bytes_per_second: card.memory_gb_per_second * 1e9,
            host_bytes_per_second: card.host_gb_per_second * 1e9,
            source: card.source.to_string(),
            fits: card.holds(plan.peak_bytes, f.reserve_bytes),
            seconds: short(counted().map(|p| p.seconds[i]).sum()),
        };
        Report {
            version: VERSION,
            target: plan.name.to_string(),
            hash: plan_hash(plan),
            made_by: plan.made_by.to_string(),
            width: f.width,
            height: f.height,
            frames: f.frames,
            fps: f.fps,
            seconds: short(f64::from(f.frames) / f.fps),
            pipeline: f.pipeline.to_string(),
            dtype: f.dtype.name().to_string(),
            weights: plan.kept().iter().map(ToString::to_string).collect(),
            model: f.model.to_string(),
            notes: f.notes.iter().map(ToString::to_string).collect(),
            vram_bytes: f.vram,
            decoder: f.decoder.as_ref().map(ToString::to_string),
            decode_chunk: f.decode_chunk,
            peak_bytes: plan.peak_bytes,
            arena_bytes: plan.arena_bytes,
            reserve_bytes: f.reserve_bytes,
            cards: CARDS.iter().enumerate().map(card).collect(),
            footprints: f.footprints.iter().map(|footprint| footprint_report(plan, footprint)).collect(),
            phases,
            together: None,
        }
    }

    /// The same with what `plan` and the others of its suite take together.
    pub fn in_suite(self, suite: &Suite, plan: &Plan, plans: &[&Plan]) -> Report {
        let together = suite.position(plan).map(|at| {
            let (weight_bytes, shared_weight_bytes) = suite.weight_bytes(plans);
            TogetherReport {
                plans: suite.members.iter().map(|member| member.plan.to_string()).collect(),
                vram_bytes: suite.vram,
                peak_bytes: suite.peak_bytes,
                weight_bytes,
                shared_weight_bytes,
                brought_bytes: (0..suite.members.len()).map(|from| suite.brought_bytes(from, at)).collect(),
            }
        });
        Report { together, ..self }
    }
}

fn footprint_report(plan: &Plan, footprint: &Footprint) -> FootprintReport {
    let size = |memory_bytes: u64| {
        let whole = footprint.peak_bytes + plan.facts.reserve_bytes <= memory_bytes;
        let fits = match footprint.least_vram <= memory_bytes {
            _ if whole => Fits::Whole,
            true => Fits::Streamed,
            false => Fits::No,
        };
        SizeReport { memory_bytes, fits }
    };
    FootprintReport {
        weights: footprint.weights.map_or(plan.facts.dtype.name(), Kept::name).to_string(),
        chosen: plan.kept().into_iter().eq(footprint.weights),
        peak_bytes: footprint.peak_bytes,
        least_memory_bytes: footprint.least_vram,
        sizes: SIZES.iter().map(|gib| size(gib << 30)).collect(),
    }
}

/// Six digits: more would be noise of the arithmetic, in every text and every comparison.
fn short(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

/// For every buffer the first launch that writes it.
fn makers(plan: &Plan) -> Vec<Option<u32>> {
    let mut out = vec![None; plan.buffers.len()];
    let mut live = Live::new(&plan.buffers);
    for phase in plan.phases.iter() {
        for (number, (launch, _)) in (phase.first..).zip(phase.launches()) {
            live.advance(number);
            let written = launch.parts.iter().filter_map(|p| live.holding(&p.write));
            written.for_each(|b| out[b] = out[b].or(Some(number)));
        }
    }
    out
}

fn phase_report(plan: &Plan, phase: &Phase, makers: &[Option<u32>]) -> PhaseReport {
    let mut rows = Vec::new();
    let mut loops = Vec::new();
    let (mut streamed_bytes, mut streamed_bytes_per_step) = (0, 0);
    for segment in phase.segments.iter() {
        let turns = turns(phase, segment, Steps::default());
        for item in segment.items.iter() {
            let number = phase.first + rows.len() as u32;
            match item {
                Item::Launch(launch) => rows.push(row(plan, number, launch, segment, None, turns)),
                Item::Loop(l) => {
                    let count = u64::from(l.count);
                    let body = (number..).zip(l.body.iter());
                    rows.extend(
                        body.map(|(n, launch)| row(plan, n, launch, segment, Some(l), turns * count)),
                    );
                    let streamed = floor::streamed(l);
                    streamed_bytes += turns * streamed;
                    streamed_bytes_per_step += if segment.repeat == Repeat::Steps { streamed } else { 0 };
                    let (name, last) = (l.name.to_string(), number + l.body.len().saturating_sub(1) as u32);
                    loops.push(LoopReport {
                        name,
                        first: number,
                        last,
                        count,
                        turns,
                        streamed_bytes: streamed,
                    });
                }
            }
        }
    }
    let steps = phase.segments.iter().find(|s| s.repeat == Repeat::Steps);
    let (executed_launches, flops) = work(phase, Steps::default());
    let end = phase.first + rows.len() as u32;
    let alive = plan.buffers.iter().zip(makers).filter(|(b, _)| b.first < end && b.last >= phase.first);
    PhaseReport {
        name: phase.name.to_string(),
        first: phase.first,
        image: phase.image,
        writes: phase.writes(),
        steps: steps.map_or(0, |s| turns(phase, s, Steps::default())),
        weight_bytes: phase.weight_bytes,
        table_bytes: phase.table_bytes,
        arena_bytes: phase.arena_bytes,
        lower_bound_bytes: phase.lower_bound_bytes,
        launches: rows.len() as u64,
        executed_launches,
        flops,
        bytes: rows.iter().map(|r| r.bytes).sum(),
        streamed_bytes,
        streamed_bytes_per_step,
        seconds: CARDS.iter().map(|card| short(floor::phase(card, phase))).collect(),
        loops,
        rows,
        buffers: alive
            .map(|(b, maker)| BufferReport {
                name: b.name.to_string(),
                offset: b.offset,
                bytes: b.bytes,
                first: b.first,
                last: b.last,
                lifetime: b.lifetime.name().to_string(),
                made_by: *maker,
            })
            .collect(),
    }
}

fn row(
    plan: &Plan,
    number: u32,
    launch: &Launch,
    segment: &Segment,
    of: Option<&Loop>,
    count: u64,
) -> LaunchReport {
    LaunchReport {
        number,
        kernel: plan.kernels[launch.kernel as usize].name.to_string(),
        queue: launch.queue,
        segment: segment.name.to_string(),
        of: of.map(|l| l.name.to_string()),
        count,
        flops: count * launch.flops(),
        bytes: count * launch.bytes(),
        path: launch.path().to_string(),
        more_paths: launch.parts.iter().skip(1).map(|p| p.path.to_string()).collect(),
        seconds: CARDS.iter().map(|card| short(count as f64 * floor::launch(card, launch))).collect(),
    }
}
