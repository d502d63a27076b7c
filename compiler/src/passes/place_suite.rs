//! Where constants of several plans lie that run one after the other in one memory.
//!
//! The phases of all plans, one plan behind the other, are one time axis, and weights that are the same bytes are one
//! constant. What a plan alone keeps for itself it keeps here, too. Beyond that, weights stay from plan to plan, and all the
//! time, where memory then does not exceed what the largest plan takes anyway, or the memory of a card that is said.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use zoetrope_runtime::plan::{
    Constant, Identity, Loop, Member, Origin, Phase, Placement, Plan, Source, Suite,
};

use super::brought::brought;
use super::stays::{Lot, keep, keep_always, keep_throughout, stack};
use super::stream::{loops, room};

/// A phase on the axis of all plans.
struct Moment<'p> {
    member: usize,
    phase: &'p Phase,
    rings: Vec<Ring>,
}

/// The places that the streamed weights of a loop share.
struct Ring {
    from: u64,
    bytes: u64,
    /// By their numbers in the plan.
    constants: BTreeSet<u32>,
}

/// A constant of the suite.
struct Held {
    bytes: u64,
    is_table: bool,
}

/// The suite of plans of one model, in this order, for a card of so much memory if that is said.
pub fn place_suite(plans: &[&Plan], vram: Option<u64>) -> Suite {
    let (numbers, held) = numbers(plans);
    let moments: Vec<Moment<'_>> = (0..)
        .zip(plans)
        .flat_map(|(member, plan)| plan.phases.iter().map(move |phase| (member, *plan, phase)))
        .map(|(member, plan, phase)| Moment { member, phase, rings: rings(plan, phase) })
        .collect();
    let arenas: Vec<u64> = moments.iter().map(|moment| moment.phase.arena_bytes).collect();
    let limit = limit(plans, vram);
    let mut all = lots(&moments, &numbers, &held, true);
    if stack(&all, &arenas).1 > limit {
        // What plans keep for themselves may leave other gaps here than in the plans alone.
        all = lots(&moments, &numbers, &held, false);
        keep(&mut all, &arenas, Some(limit), |first, second| moments[first].member == moments[second].member);
    }
    keep_throughout(&mut all, &arenas, limit);
    keep(&mut all, &arenas, Some(limit), |_, _| true);
    keep_always(&mut all, &arenas, limit);
    let (depths, peak_bytes) = stack(&all, &arenas);

    let empty = |moment: &Moment<'_>| Placement {
        places: vec![0; moment.phase.constants.len()].into(),
        ..Placement::default()
    };
    let mut placements: Vec<Placement> = moments.iter().map(empty).collect();
    let own: Vec<HashMap<u32, u32>> =
        numbers.iter().map(|numbers| numbers.iter().copied().zip(0..).collect()).collect();
    for (lot, depths) in all.iter().zip(&depths) {
        for (stay, depth) in lot.stays.iter().zip(depths) {
            let mut at = peak_bytes - depth;
            if let Some(ring) = lot.ring {
                moments[stay.0].put_ring(ring, at, &mut placements[stay.0]);
            }
            for number in &lot.constants {
                let of = &held[*number as usize];
                settle(&moments, *stay, &mut placements, (of, at), |member| own[member].get(number).copied());
                at += of.bytes;
            }
        }
    }
    let mut placements = placements.into_iter();
    let members = plans.iter().zip(numbers).map(|(plan, numbers)| {
        let mut phases: Vec<Placement> = placements.by_ref().take(plan.phases.len()).collect();
        phases.iter_mut().for_each(|placement| placement.kept.to_mut().sort_unstable());
        Member { plan: plan.name.clone(), constants: numbers.into(), phases: phases.into() }
    });
    let mut suite = Suite { members: members.collect(), vram, peak_bytes, brought: Vec::new().into() };
    suite.brought = brought(&suite, plans).into();
    suite
}

/// The number of every constant of every plan, and what they are. Weights that are the same bytes have one; tables are their
/// plan's own.
fn numbers(plans: &[&Plan]) -> (Vec<Vec<u32>>, Vec<Held>) {
    let mut known: HashMap<(Identity, Option<u32>), u32> = HashMap::new();
    let mut held: Vec<Held> = Vec::new();
    let mut all = Vec::with_capacity(plans.len());
    for plan in plans {
        let mut own = BTreeSet::new();
        let number = |constant: &Constant| {
            let mut new = || {
                held.push(Held { bytes: room(constant), is_table: constant.identity().is_none() });
                held.len() as u32 - 1
            };
            let Some(identity) = constant.identity() else { return new() };
            let number = *known.entry((identity, strength(plan, constant))).or_insert_with(&mut new);
            // A plan that has a weight twice brings it twice.
            if own.insert(number) { number } else { new() }
        };
        let numbers = plan.constants.iter().map(number).collect();
        all.push(numbers);
    }
    (all, held)
}

/// How strong the adapters of a weight are in a plan, as bits: with another strength, it is another one.
fn strength(plan: &Plan, constant: &Constant) -> Option<u32> {
    let Origin::Weight { source: Source::Adapter(slot) | Source::Merged(slot), .. } = constant.origin else {
        return None;
    };
    let adapter = plan.phases.iter().filter_map(|phase| phase.adapter).find(|adapter| adapter.slot == slot);
    adapter.map(|adapter| adapter.strength.to_bits())
}

/// How much memory the plans may take together.
fn limit(plans: &[&Plan], vram: Option<u64>) -> u64 {
    let largest = plans.iter().map(|plan| plan.peak_bytes).max().unwrap_or(0);
    let reserve = plans.iter().map(|plan| plan.facts.reserve_bytes).max().unwrap_or(0);
    let budgets: Option<Vec<u64>> = plans.iter().map(|plan| plan.facts.vram).collect();
    let vram = vram.or(budgets.and_then(|budgets| budgets.into_iter().min()));
    vram.map_or(largest, |vram| vram.saturating_sub(reserve).max(largest))
}

/// The rings of a phase, as the places in its plan say.
fn rings(plan: &Plan, phase: &Phase) -> Vec<Ring> {
    let ring = |(_, _, l): (usize, usize, &Loop)| {
        let constants: BTreeSet<u32> =
            l.fetches.iter().flat_map(|fetch| fetch.constants.iter().copied()).collect();
        let places =
            || constants.iter().filter_map(|c| Some((phase.place(*c)?, room(&plan.constants[*c as usize]))));
        let from = places().map(|(from, _)| from).min()?;
        let to = places().map(|(from, bytes)| from + bytes).max()?;
        Some(Ring { from, bytes: to - from, constants })
    };
    loops(phase).filter_map(ring).collect()
}

impl Moment<'_> {
    /// The constants that it reads and that do not come anew in every iteration, each with its place in the plan.
    fn resident(&self) -> impl Iterator<Item = (u32, u64)> {
        let streams = |c: &u32| self.rings.iter().any(|ring| ring.constants.contains(c));
        let all = self.phase.constants.iter().copied().zip(self.phase.places.iter().copied());
        all.filter(move |(c, _)| !streams(c))
    }

    fn reads(&self, constant: u32) -> bool {
        self.phase.constants.binary_search(&constant).is_ok()
    }

    /// Puts a ring at `at`.
    fn put_ring(&self, ring: usize, at: u64, placement: &mut Placement) {
        let Ring { from, bytes, constants } = &self.rings[ring];
        placement.weight_bytes += bytes;
        for (i, _) in self.phase.constants.iter().enumerate().filter(|(_, c)| constants.contains(c)) {
            placement.places.to_mut()[i] = at + (self.phase.places[i] - from);
        }
    }
}

/// What comes and goes together: constants that have the same stays, an iteration of a loop apart from the next, so that a
/// part of a loop can be kept. Where `as_alone` says so, stays are those that plans keep for themselves; otherwise a phase
/// each. What is streamed in one phase comes anew in every other.
fn lots(moments: &[Moment<'_>], numbers: &[Vec<u32>], held: &[Held], as_alone: bool) -> Vec<Lot> {
    let number = |moment: &Moment<'_>, c: u32| numbers[moment.member][c as usize];
    let (mut streamed, mut iterations) = (BTreeSet::new(), BTreeMap::new());
    for moment in moments {
        let rings = moment.rings.iter().flat_map(|ring| ring.constants.iter());
        streamed.extend(rings.map(|c| number(moment, *c)));
        for (_, _, l) in loops(moment.phase) {
            for (iteration, row) in l.rows.chunks(l.columns.max(1) as usize).enumerate() {
                row.iter().for_each(|c| _ = iterations.entry(number(moment, *c)).or_insert(iteration));
            }
        }
    }
    /// First and last phase, the place in the plan, and the phases that read it.
    type Stay = ((usize, usize), u64, Vec<usize>);
    let mut stays: BTreeMap<u32, Vec<Stay>> = BTreeMap::new();
    for (t, moment) in moments.iter().enumerate() {
        for (c, place) in moment.resident() {
            let list = stays.entry(number(moment, c)).or_default();
            let keeps = |between: &Moment<'_>| {
                between.member == moment.member && between.phase.kept.binary_search(&c).is_ok()
            };
            match list.last_mut() {
                Some(((_, last), at, readers))
                    if as_alone
                        && *at == place
                        && moments[*last].member == moment.member
                        && moments[*last + 1..t].iter().all(keeps) =>
                {
                    *last = t;
                    readers.push(t);
                }
                _ => list.push(((t, t), place, vec![t])),
            }
        }
    }
    // By readers, too, as in a plan alone: so lots stack as there.
    type Together = (Vec<usize>, Option<usize>, Vec<(usize, usize)>);
    let mut together: BTreeMap<Together, Vec<u32>> = BTreeMap::new();
    for (number, stays) in stays {
        let alone = if streamed.contains(&number) { 1 } else { stays.len() };
        for stays in stays.chunks(alone) {
            let readers = stays.iter().flat_map(|(.., readers)| readers.iter().copied()).collect();
            let spans = stays.iter().map(|(span, ..)| *span).collect();
            together.entry((readers, iterations.get(&number).copied(), spans)).or_default().push(number);
        }
    }
    let resident = together.into_iter().map(|((.., stays), constants)| Lot {
        bytes: constants.iter().map(|number| held[*number as usize].bytes).sum(),
        may_stay: constants.iter().all(|number| !streamed.contains(number)),
        constants,
        ring: None,
        stays,
    });
    let rings = moments.iter().enumerate().flat_map(|(t, moment)| {
        let ring = move |(i, ring): (usize, &Ring)| Lot {
            bytes: ring.bytes,
            constants: Vec::new(),
            ring: Some(i),
            stays: vec![(t, t)],
            may_stay: false,
        };
        moment.rings.iter().enumerate().map(ring)
    });
    resident.chain(rings).collect()
}

/// A constant stays at a place through phases; `own` is its number in the plan of a member that has it.
fn settle(
    moments: &[Moment<'_>],
    (first, last): (usize, usize),
    placements: &mut [Placement],
    (held, at): (&Held, u64),
    own: impl Fn(usize) -> Option<u32>,
) {
    for t in first..=last {
        let (moment, placement) = (&moments[t], &mut placements[t]);
        match held.is_table {
            true => placement.table_bytes += held.bytes,
            false => placement.weight_bytes += held.bytes,
        }
        let Some(constant) = own(moment.member) else { continue };
        if let Ok(i) = moment.phase.constants.binary_search(&constant) {
            placement.places.to_mut()[i] = at;
            continue;
        }
        let reads = |other: &Moment<'_>| other.member == moment.member && other.reads(constant);
        if moments[first..t].iter().any(reads) && moments[t + 1..=last].iter().any(reads) {
            placement.kept.to_mut().push(constant);
        }
    }
}
