//! The verifier of the Schedule level. It replays the launches over a model of memory that knows which launch wrote
//! every buffer last, loop iterations included.
//!
//! 1. What a launch reads lies inside its buffer, is alive, and was written by an earlier launch or by the host.
//! 2. A launch writes inside its buffer, while it is alive, and over an operand only where it says so.
//! 3. Every loop has one row of constants per iteration, and every column of a row is there.

use std::collections::BTreeSet;

use super::rule;
use crate::error::Result;
use crate::schedule::{Access, Base, Launch, Loop, Phase, Schedule};

/// Checks the rules above.
///
/// # Errors
/// The first broken rule.
pub fn schedule(schedule: &Schedule) -> Result<()> {
    let mut written: BTreeSet<usize> = BTreeSet::new();
    for phase in &schedule.phases {
        written.extend(phase.inputs.iter().filter(|p| p.slot.is_none()).map(|p| p.buffer));
        for port in &phase.inputs {
            let filled = written.contains(&port.buffer);
            rule(filled, "schedule", "a slot is filled before it is taken", || port.name.clone())?;
        }
        for (number, launch, of) in phase.launches() {
            check(schedule, phase, number, launch, of, &mut written)?;
        }
        for port in &phase.outputs {
            let left = written.contains(&port.buffer) && schedule.buffers[port.buffer].last + 1 >= phase.end;
            rule(left, "schedule", "an output is written and alive at the end", || port.name.clone())?;
        }
    }
    Ok(())
}

fn check(
    schedule: &Schedule,
    phase: &Phase,
    number: usize,
    launch: &Launch,
    of: Option<&Loop>,
    written: &mut BTreeSet<usize>,
) -> Result<()> {
    let place = || {
        format!(
            "launch {number} of {}: {} at {}",
            phase.name,
            launch.kernel,
            launch.parts.first().map_or("", |p| &p.path)
        )
    };
    let iterations = of.map_or(1, |l| l.count) as u64;
    let inside = |access: &Access, bytes: u64| {
        let rows: usize = access.shape.iter().rev().skip(1).product();
        let cols = access.shape.last().copied().unwrap_or(1);
        let span = ((rows.max(1) - 1) * access.row_stride + cols) * access.dtype.bytes();
        access.offset + access.step * (iterations - 1) + span as u64 <= bytes
    };
    let overwritten: Vec<(usize, &Access)> =
        launch.parts.iter().enumerate().map(|(p, q)| (p, &q.write)).collect();
    for (p, part) in launch.parts.iter().enumerate() {
        for (i, access) in part.reads.iter().enumerate() {
            match access.base {
                Base::Buffer(b) => {
                    let buffer = &schedule.buffers[b];
                    rule(written.contains(&b), "schedule", "a read has an earlier write", place)?;
                    rule(inside(access, buffer.bytes), "schedule", "a read lies inside its buffer", place)?;
                    let alive = buffer.first <= number && number <= buffer.last;
                    rule(alive, "schedule", "a read buffer is alive", place)?;
                    // Where rows of one buffer interleave, the plan's verifier looks at bytes.
                    let over = |(q, write): &(usize, &Access)| {
                        let whole = write.base == access.base && write.bytes() == buffer.bytes;
                        whole && !(*q == p && part.in_place == Some(i))
                    };
                    let over = overwritten.iter().any(over);
                    rule(!over, "schedule", "a result overwrites only the operand it says", place)?;
                }
                Base::Constant(c) => {
                    let constant = &schedule.constants[c];
                    let bytes = (constant.shape.iter().product::<usize>() * constant.dtype.bytes()) as u64;
                    rule(inside(access, bytes), "schedule", "a read lies inside its constant", place)?;
                }
                Base::Column(c) => {
                    let rows = of.map_or(&[][..], |l| &l.rows);
                    let there = rows.len() == iterations as usize && rows.iter().all(|row| c < row.len());
                    rule(there, "schedule", "every iteration has a row with every column", place)?;
                }
            }
        }
    }
    for (_, write) in overwritten {
        let Base::Buffer(b) = write.base else {
            return rule(false, "schedule", "a launch writes a buffer", place);
        };
        let buffer = &schedule.buffers[b];
        rule(inside(write, buffer.bytes), "schedule", "a write lies inside its buffer", place)?;
        rule(
            buffer.first <= number && number <= buffer.last,
            "schedule",
            "a written buffer is alive",
            place,
        )?;
        written.insert(b);
    }
    Ok(())
}
