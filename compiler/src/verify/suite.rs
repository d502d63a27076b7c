//! The verifier of suites.
//!
//! 1. Members are the plans, with a place for every constant that a phase reads.
//! 2. Constants of one number are the same bytes, wherever they are brought from. A plan has a number once.
//! 3. Every member obeys the rules of constants in memory with the places that it has here.
//! 4. Memory is no more than that of the largest plan, or what a card has that is said.
//! 5. What a run brings behind another one is what it says, by memory that is written byte for byte.

use std::collections::{BTreeMap, BTreeSet};

use zoetrope_runtime::plan::{ALIGN, Constant, Fetch, Origin, Phase, Placed, Plan, Source, Suite};

use super::held::is_table;
use super::{memory, rule};
use crate::error::Result;

/// Checks the rules above.
///
/// # Errors
/// The first broken rule.
pub fn suite(suite: &Suite, plans: &[&Plan]) -> Result<()> {
    let members: Option<Vec<Placed>> = plans.iter().map(|plan| suite.placed(plan)).collect();
    let named = suite.members.iter().map(|member| &*member.plan).eq(plans.iter().map(|plan| &*plan.name));
    let members = members.filter(|_| named);
    rule(members.is_some(), "suite", "members are the plans", || format!("{} plans", plans.len()))?;
    let members = members.unwrap_or_default();
    same_bytes(plans, &members)?;
    for Placed { plan, .. } in &members {
        for phase in plan.phases.iter() {
            let placed = phase.places.len() == phase.constants.len();
            rule(placed, "suite", "a constant has a place", || format!("{} of {}", phase.name, plan.name))?;
        }
        memory(plan)?;
    }
    let largest = plans.iter().map(|plan| plan.peak_bytes).max().unwrap_or(0);
    let reserve = plans.iter().map(|plan| plan.facts.reserve_bytes).max().unwrap_or(0);
    let budgets: Option<Vec<u64>> = plans.iter().map(|plan| plan.facts.vram).collect();
    let card = suite.vram.or(budgets.and_then(|budgets| budgets.into_iter().min())).unwrap_or(0);
    let most = card.saturating_sub(reserve).max(largest);
    rule(suite.peak_bytes <= most, "suite", "memory is that of the largest plan, or of a card", || {
        format!("{} of {most} bytes", suite.peak_bytes)
    })?;
    for (i, first) in members.iter().enumerate() {
        let mut left = Memory::default();
        left.run(first, false);
        for (j, second) in members.iter().enumerate() {
            let (said, found) = (suite.brought_bytes(i, j), left.clone().run(second, true));
            rule(said == found, "suite", "a run brings what is said", || {
                format!("{} behind {}: {found} bytes, not {said}", second.plan.name, first.plan.name)
            })?;
        }
    }
    Ok(())
}

/// Rule 2.
fn same_bytes(plans: &[&Plan], members: &[Placed]) -> Result<()> {
    let mut first: BTreeMap<u32, (&Plan, &Constant)> = BTreeMap::new();
    for (plan, member) in plans.iter().zip(members) {
        let mut own = BTreeSet::new();
        for (constant, number) in plan.constants.iter().zip(member.constants.iter()) {
            let what = || format!("{} of {}", constant.name, plan.name);
            rule(own.insert(number), "suite", "a plan has a number once", what)?;
            let Some((other, same)) = first.insert(*number, (plan, constant)) else { continue };
            let alike = (constant.dtype, &constant.shape, &constant.origin)
                == (same.dtype, &same.shape, &same.origin);
            let shared = alike && !is_table(constant) && slot(plan, constant) == slot(other, same);
            rule(shared, "suite", "constants of one number are the same bytes", what)?;
        }
    }
    Ok(())
}

/// What a plan says of the slot of adapters that a weight is of.
fn slot(plan: &Plan, constant: &Constant) -> Option<(u8, u32)> {
    let (Origin::Weight { source: Source::Adapter(slot), .. }
    | Origin::Weight { source: Source::Merged(slot), .. }) = constant.origin
    else {
        return None;
    };
    let mut adapters = plan.phases.iter().filter_map(|phase| phase.adapter);
    adapters.find(|adapter| adapter.slot == slot).map(|adapter| (slot, adapter.strength.to_bits()))
}

/// Memory, by the first byte of each piece: its last one, and the number of the constant that it is, or none for what is no
/// constant any more.
#[derive(Clone, Default)]
struct Memory(BTreeMap<u64, (u64, Option<u32>)>);

impl Memory {
    /// Writes bytes; what was there in part is no longer whole.
    fn write(&mut self, from: u64, to: u64, what: Option<u32>) {
        if from == to {
            return;
        }
        let met: Vec<u64> =
            self.0.range(..to).rev().take_while(|(_, (end, _))| *end > from).map(|(at, _)| *at).collect();
        for at in met {
            if let Some((end, _)) = self.0.remove(&at) {
                // What is left of it on either side is no constant.
                if at < from {
                    self.0.insert(at, (from, None));
                }
                if to < end {
                    self.0.insert(to, (end, None));
                }
            }
        }
        self.0.insert(from, (to, what));
    }

    /// Runs a plan; of phases that a run may leave out, it is only what they disturb, unless they all run.
    fn run(&mut self, member: &Placed, all: bool) -> u64 {
        member.plan.phases.iter().map(|phase| self.phase(member, phase, all || !phase.is_optional())).sum()
    }

    fn phase(&mut self, Placed { plan, constants }: &Placed, phase: &Phase, brings: bool) -> u64 {
        self.write(0, phase.arena_bytes, None);
        let streamed: BTreeSet<u32> =
            phase.fetches().flat_map(|(_, fetch): (_, &Fetch)| fetch.constants.iter().copied()).collect();
        let mut brought = 0;
        for (c, from) in phase.constants.iter().zip(phase.places.iter()) {
            let (number, bytes) = (constants[*c as usize], plan.constants[*c as usize].bytes());
            let to = from + bytes.next_multiple_of(ALIGN);
            let there = self.0.get(from) == Some(&(to, Some(number)));
            if streamed.contains(c) || !brings && !there {
                self.write(*from, to, None);
            } else if !there {
                // What lay elsewhere is the copy of another place.
                self.0.values_mut().filter(|(_, of)| *of == Some(number)).for_each(|(_, of)| *of = None);
                self.write(*from, to, Some(number));
                brought += bytes;
            }
        }
        brought
    }
}
