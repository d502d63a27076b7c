//! The verifier of constants in memory.
//!
//! 1. Every constant that a phase reads has an aligned place behind its arena, inside memory.
//! 2. Constants that stay through a phase, read or kept, share no byte with any other; streamed ones share bytes only
//!    with others of the same loop.
//! 3. A kept constant lies where the phase that read it last had it, and where the next one looks.
//! 4. What a launch reads is there when it reads it (`fetches`).
//! 5. What a phase states of its memory covers what lies there, and fits into the plan's; and with what is left to
//!    the driver, into the budget.

use std::collections::{BTreeMap, BTreeSet};

use zoetrope_runtime::plan::{ALIGN, Phase, Plan};

use super::held::{Held, held, is_table, place};
use super::{fetches, rule};
use crate::error::Result;

/// Checks the rules above.
///
/// # Errors
/// The first broken rule.
pub fn memory(plan: &Plan) -> Result<()> {
    for (i, phase) in plan.phases.iter().enumerate() {
        let mut held = held(plan, phase)?;
        fetches(phase, &held)?;
        kept(plan, i, &mut held)?;
        apart(plan, phase, &held)?;
        counted(plan, phase, &held)?;
    }
    let fits = plan.facts.vram.is_none_or(|vram| plan.peak_bytes + plan.facts.reserve_bytes <= vram);
    rule(fits, "plan", "memory and what is left to the driver fit into the budget", || {
        format!("{} of {} bytes", plan.peak_bytes, plan.facts.vram.unwrap_or(0))
    })
}

/// Adds what the phase keeps for others.
fn kept(plan: &Plan, number: usize, held: &mut BTreeMap<u32, Held>) -> Result<()> {
    // Away from this phase, the first that does not keep it must have it all the time.
    let nearest = |c: u32, mut others: &mut dyn Iterator<Item = &Phase>| {
        let end = Iterator::find(&mut others, |p| p.kept.binary_search(&c).is_err())?;
        place(plan, end, c).filter(|_| !end.fetches().any(|(_, f)| f.constants.contains(&c)))
    };
    let phase = &plan.phases[number];
    for c in phase.kept.iter() {
        let before = nearest(*c, &mut plan.phases[..number].iter().rev());
        let behind = nearest(*c, &mut plan.phases[number + 1..].iter());
        let stays = before.is_some() && before == behind && !held.contains_key(c);
        rule(stays, "plan", "a kept constant stays where it is from one reader to the next", || {
            format!("constant {c} in {}", phase.name)
        })?;
        held.extend(before.map(|h| (*c, h)));
    }
    Ok(())
}

fn apart(plan: &Plan, phase: &Phase, held: &BTreeMap<u32, Held>) -> Result<()> {
    let what = |c: u32| format!("{} in {}", plan.constants[c as usize].name, phase.name);
    let mut all: Vec<(Held, u32)> = held.iter().map(|(c, h)| (*h, *c)).collect();
    all.sort_unstable();
    // Of those before, the one that reaches farthest: what meets any of them meets it.
    let mut last: Option<(Held, u32)> = None;
    for (h, c) in all {
        let inside = h.from.is_multiple_of(ALIGN) && phase.arena_bytes <= h.from && h.to <= plan.peak_bytes;
        rule(inside, "plan", "a constant is aligned, behind the arena and inside memory", || what(c))?;
        if let Some((before, d)) = last {
            let share = h.streamed_by.is_some() && h.streamed_by == before.streamed_by;
            rule(before.to <= h.from || share, "plan", "a constant that stays shares no byte", || {
                format!("{} and {}", what(d), what(c))
            })?;
        }
        if last.is_none_or(|(before, _)| before.to <= h.to) {
            last = Some((h, c));
        }
    }
    Ok(())
}

fn counted(plan: &Plan, phase: &Phase, held: &BTreeMap<u32, Held>) -> Result<()> {
    let (mut weights, mut tables) = (0, 0);
    let mut shared: BTreeSet<(u64, u64)> = BTreeSet::new();
    for (c, h) in held {
        let to = h.to.next_multiple_of(ALIGN);
        if h.streamed_by.is_some() {
            shared.insert((h.from, to));
        } else if is_table(&plan.constants[*c as usize]) {
            tables += to - h.from;
        } else {
            weights += to - h.from;
        }
    }
    let mut end = 0;
    for (from, to) in shared {
        weights += to.saturating_sub(from.max(end));
        end = end.max(to);
    }
    let covered = weights <= phase.weight_bytes && tables <= phase.table_bytes;
    rule(covered, "plan", "a phase states all memory of its constants", || {
        format!("{}: {weights} bytes of weights, {tables} of tables", phase.name)
    })?;
    rule(phase.peak_bytes() <= plan.peak_bytes, "plan", "a phase fits into memory", || phase.name.to_string())
}
