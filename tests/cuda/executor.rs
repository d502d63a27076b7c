//! What the executor promises beside right numbers: no allocation in a step, clear refusals; and that what is wrong in
//! its tables shows.

use zoetrope::failure::{Failure, Kind};
use zoetrope_runtime::cuda::Card;
use zoetrope_runtime::plan::{ARGUMENT_HEADER, Base, Item, Launch, Loop, Phase, Plan, Repeat};
use zoetrope_runtime::{Error, Executor, Result, Silent};

use crate::phase::{Demo, inputs};

#[test]
fn a_step_allocates_nothing() {
    let demo = Demo::new();
    let Some(_stand_in) = demo.stand_in() else { return };
    let plan = &demo.plan;
    let phase = plan.phase("denoise-2").unwrap();
    let mut cuda = demo.cuda(plan, &demo.selected.code).unwrap();
    cuda.enter(plan, phase).unwrap();
    let inputs = inputs(phase);
    for port in phase.inputs.iter() {
        cuda.write(port, &inputs[port.name.as_ref()].bytes_for(port)).unwrap();
    }
    let at = phase.segments.iter().position(|s| s.repeat == Repeat::Steps).unwrap();
    let first = phase.first + phase.segments[..at].iter().map(|s| s.launches()).sum::<u32>();
    let port = phase.inputs.iter().find(|p| p.per_step).unwrap();
    let sigmas = vec![0x3f; port.bytes() as usize];
    let mut step = || {
        cuda.write(port, &sigmas).unwrap();
        cuda.turn(plan, phase, at, first, &mut Silent).unwrap();
    };
    // The driver's functions are looked up by name when each is called for the first time.
    step();
    assert_eq!(allocation_counter::measure(step).count_total, 0);
}

fn refused(result: Result<()>, words: &[&str]) {
    let failure = Failure::from(result.expect_err("it is refused"));
    assert_eq!(failure.kind, Kind::Device, "{failure}");
    let text = failure.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

#[test]
fn what_a_card_cannot_do_is_said_in_words() {
    let demo = Demo::new();
    let Some(stand_in) = demo.stand_in() else { return };
    let code = &demo.selected.code;
    let new = || demo.cuda(&demo.plan, code).map(|_| ());
    new().unwrap();
    stand_in.set("count", 0);
    refused(new(), &["finds no card", "--device cpu"]);
    stand_in.set("count", 1);
    stand_in.set("version", 12_040);
    refused(new(), &["12.4", "13.0", "580"]);
    stand_in.set("version", 13_000);
    stand_in.set("capability", 75);
    refused(new(), &["compute capability 7.5", "8.0"]);
    stand_in.set("capability", 80);
    stand_in.set("total", 9 << 20);
    refused(new(), &["too little free memory", "11.18 MB", "ZOETROPE_VRAM"]);
    stand_in.set("total", 16 << 30);
    let other = Plan { name: "other".into(), ..demo.plan.clone() };
    refused(demo.cuda(&other, code).map(|_| ()), &["res-tiny", "other"]);
    // A card that fails in the midst of a phase, and another start behind it.
    stand_in.set("launches_left", 3);
    let lost = demo.outputs(&demo.plan, code, "upscale", &[]).map(|_| ());
    refused(lost, &["CUDA_ERROR_LAUNCH_FAILED", "start again"]);
    stand_in.set("launches_left", -1);
    new().unwrap();
    assert_eq!(Card::first().unwrap().capability, (8, 0));
}

/// The plan with every launch changed by `change`.
fn changed(plan: &Plan, change: &dyn Fn(&mut Launch)) -> Plan {
    let mut plan = plan.clone();
    let of_loop = |l: &Loop| {
        let mut l = l.clone();
        l.body.to_mut().iter_mut().for_each(change);
        l
    };
    let of_phase = |phase: &mut Phase| {
        for segment in phase.segments.to_mut() {
            for item in segment.items.to_mut() {
                *item = match item {
                    Item::Launch(launch) => {
                        let mut launch = launch.clone();
                        change(&mut launch);
                        Item::Launch(launch)
                    }
                    Item::Loop(l) => Item::Loop(of_loop(l)),
                };
            }
        }
    };
    plan.phases.to_mut().iter_mut().for_each(of_phase);
    plan
}

#[test]
fn what_is_wrong_in_the_tables_shows() {
    let demo = Demo::new();
    let Some(stand_in) = demo.stand_in() else { return };
    let (plan, code) = (&demo.plan, &demo.selected.code);
    let step = [0.9, 0.4];
    let right = demo.outputs(plan, code, "denoise-2", &step).unwrap();
    assert!(right.iter().all(|bits| f32::from_bits(*bits).is_finite()));
    stand_in.set("seed", 5);
    assert_eq!(demo.outputs(plan, code, "denoise-2", &step).unwrap(), right, "another order, other bits");

    // Lanes that do not wait for each other: some order shows it.
    let hasty = changed(plan, &|launch| launch.waits = Vec::new().into());
    let seen = (1..=4).any(|seed| {
        stand_in.set("seed", seed);
        demo.outputs(&hasty, code, "denoise-2", &step).unwrap() != right
    });
    assert!(seen, "missing waits do not show");

    // Operands of an attention in another order.
    let attention = |launch: &mut Launch| {
        if plan.kernels[launch.kernel as usize].name.starts_with("attention") {
            launch.parts.to_mut().iter_mut().for_each(|part| part.reads.to_mut().swap(1, 2));
        }
    };
    assert_ne!(demo.outputs(&changed(plan, &attention), code, "denoise-2", &step).unwrap(), right);

    // A block too few, an argument that promises more rows than there are, and an address outside of memory.
    let first = plan.phase("upscale").unwrap().first as usize;
    let right = demo.outputs(plan, code, "upscale", &[]).unwrap();
    let mut short = code.clone();
    let large = (first..first + 10).max_by_key(|i| code.calls[*i].blocks).unwrap();
    short.calls.to_mut()[large].blocks -= 1;
    assert_ne!(demo.outputs(plan, &short, "upscale", &[]).unwrap(), right);
    let mut long = code.clone();
    let at = code.calls[first].argument as usize + ARGUMENT_HEADER + 16;
    long.arguments.to_mut()[at..at + 4].copy_from_slice(&i32::MAX.to_le_bytes());
    refused(demo.outputs(plan, &long, "upscale", &[]).map(|_| ()), &["CUDA_ERROR_ILLEGAL_ADDRESS"]);
    let outside = changed(plan, &|launch| {
        for part in launch.parts.to_mut().iter_mut().filter(|p| p.write.base == Base::Arena) {
            part.write.offset += plan.peak_bytes;
        }
    });
    refused(demo.outputs(&outside, code, "upscale", &[]).map(|_| ()), &["CUDA_ERROR_ILLEGAL_ADDRESS"]);
}

/// A phase that nobody knows is an error of its own.
#[test]
fn unknown_phases_are_refused() {
    let demo = Demo::new();
    let Some(_stand_in) = demo.stand_in() else { return };
    let mut cuda = demo.cuda(&demo.plan, &demo.selected.code).unwrap();
    let stranger = Phase { name: "stranger".into(), ..demo.plan.phases[0].clone() };
    assert!(matches!(cuda.enter(&demo.plan, &stranger), Err(Error::NoPhase(name)) if name == "stranger"));
}
