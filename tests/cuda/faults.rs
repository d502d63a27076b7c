//! What is wrong in the executor's tables is refused by the driver, or makes other numbers.

use zoetrope_runtime::plan::{ARGUMENT_HEADER, Base, Code, Item, Launch, Loop, Phase, Plan};

use crate::executor::refused;
use crate::phase::Demo;
use crate::standin::StandIn;

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
fn wrong_waits_and_operands_show() {
    let Some(stand_in) = StandIn::open() else { return };
    let demo = Demo::shared();
    let (plan, code) = (&demo.plan, &demo.selected.code);
    let step = [0.9, 0.4];
    let right = demo.outputs(plan, code, "denoise-2", &step).unwrap();
    assert!(right.iter().all(|bits| f32::from_bits(*bits).is_finite()));
    stand_in.set("seed", 5);
    assert_eq!(demo.outputs(plan, code, "denoise-2", &step).unwrap(), right, "another order, other bits");

    // Queues that do not wait for each other: some order shows it.
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
}

const PHASE: &str = "upscale";

/// A launch of the phase with several blocks: its place among the code's calls.
fn large(plan: &Plan, code: &Code) -> usize {
    let first = plan.phase(PHASE).unwrap().first as usize;
    (first..first + 10).max_by_key(|i| code.calls[*i].blocks).unwrap()
}

#[test]
fn wrong_grids_sizes_and_addresses_are_refused() {
    let demo = Demo::shared();
    let Some(_stand_in) = StandIn::open() else { return };
    let (plan, code) = (&demo.plan, &demo.selected.code);
    let at = large(plan, code);
    let (function, argument) = (code.calls[at].function as usize, code.calls[at].argument as usize);
    let refuses = |words: &str, change: &dyn Fn(&mut Code)| {
        let mut code = code.clone();
        change(&mut code);
        refused(demo.outputs(plan, &code, PHASE, &[]).map(|_| ()), &[words]);
    };
    let (value, address) = ("CUDA_ERROR_INVALID_VALUE", "CUDA_ERROR_ILLEGAL_ADDRESS");
    refuses(value, &|code| code.calls.to_mut()[at].blocks -= 1);
    refuses(value, &|code| code.calls.to_mut()[at].blocks += 1);
    refuses(value, &|code| code.functions.to_mut()[function].threads -= 32);
    refuses(value, &|code| code.functions.to_mut()[function].shared += 16);
    refuses(value, &|code| code.functions.to_mut()[function].shared = 1 << 20);
    // An operand with more rows than there are, and no parts at all.
    let rows = argument + ARGUMENT_HEADER + 16;
    refuses(address, &|code| {
        code.arguments.to_mut()[rows..rows + 4].copy_from_slice(&i32::MAX.to_le_bytes())
    });
    refuses(value, &|code| code.arguments.to_mut()[argument] = 0);

    let moved = |bytes: u64| {
        changed(plan, &|launch| {
            for part in launch.parts.to_mut().iter_mut().filter(|p| p.write.base == Base::Arena) {
                part.write.offset += bytes;
            }
        })
    };
    for plan in [moved(plan.peak_bytes), moved(1)] {
        refused(demo.outputs(&plan, code, PHASE, &[]).map(|_| ()), &[address]);
    }
}

/// A block too few, also in the argument, where no driver can know it: what the block would make stays what memory held.
#[test]
fn blocks_that_are_missing_show() {
    let demo = Demo::shared();
    let Some(_stand_in) = StandIn::open() else { return };
    let (plan, code) = (&demo.plan, &demo.selected.code);
    let at = large(plan, code);
    let (end, blocks) = (code.calls[at].argument as usize + 4, code.calls[at].blocks - 1);
    let mut short = code.clone();
    short.calls.to_mut()[at].blocks = blocks;
    short.arguments.to_mut()[end..end + 4].copy_from_slice(&blocks.to_le_bytes());
    let right = demo.outputs(plan, code, PHASE, &[]).unwrap();
    assert_ne!(demo.outputs(plan, &short, PHASE, &[]).unwrap(), right);
}
