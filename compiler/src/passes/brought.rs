//! What a run of a plan of a suite brings, behind a run of another one.

use std::collections::BTreeMap;

use zoetrope_runtime::plan::{Member, Phase, Placement, Plan, Suite};

use super::stream::room;

/// Where constants lie that are whole, by their numbers in the suite.
type Resident = BTreeMap<u32, (u64, u64)>;

/// A phase as the memory sees it.
struct Touches {
    is_optional: bool,
    /// From byte, to byte, ascending and apart: the arena, and the places of all constants.
    taken: Vec<(u64, u64)>,
    /// Of each constant with a place of its own its number, its place, and its bytes.
    own: Vec<(u32, u64, u64)>,
}

/// By member and member, bytes of constants that a run of the second one brings at most behind a run of the first one, which
/// found nothing. A phase that a run may leave out is taken to disturb and not to bring in the first run, and to do both in
/// the second.
pub fn brought(suite: &Suite, plans: &[&Plan]) -> Vec<u64> {
    let touches: Vec<Vec<Touches>> =
        suite.members.iter().zip(plans).map(|(member, plan)| touches(member, plan)).collect();
    let mut all = Vec::new();
    for first in &touches {
        let mut left = Resident::new();
        first.iter().for_each(|phase| _ = run(&mut left, phase, !phase.is_optional));
        for second in &touches {
            let mut resident = left.clone();
            all.push(second.iter().map(|phase| run(&mut resident, phase, true)).sum());
        }
    }
    all
}

fn touches(member: &Member, plan: &Plan) -> Vec<Touches> {
    let phase = |(phase, at): (&Phase, &Placement)| {
        let streamed = |c: &u32| phase.fetches().any(|(_, fetch)| fetch.constants.contains(c));
        let placed = || phase.constants.iter().zip(at.places.iter());
        let mut taken: Vec<(u64, u64)> = placed()
            .map(|(c, from)| (*from, from + room(&plan.constants[*c as usize])))
            .chain([(0, phase.arena_bytes)])
            .collect();
        taken.sort_unstable();
        let mut apart: Vec<(u64, u64)> = Vec::new();
        for (from, to) in taken {
            match apart.last_mut().filter(|(_, end)| from <= *end) {
                Some((_, end)) => *end = to.max(*end),
                None => apart.push((from, to)),
            }
        }
        let own = placed().filter(|(c, _)| !streamed(c));
        let own =
            own.map(|(c, at)| (member.constants[*c as usize], *at, plan.constants[*c as usize].bytes()));
        Touches { is_optional: phase.is_optional(), taken: apart, own: own.collect() }
    };
    plan.phases.iter().zip(member.phases.iter()).map(phase).collect()
}

/// Runs a phase: what it disturbs is gone, and what it reads is there, if it `brings`. How many bytes that are.
fn run(resident: &mut Resident, phase: &Touches, brings: bool) -> u64 {
    let own: BTreeMap<u32, u64> = phase.own.iter().map(|(number, at, _)| (*number, *at)).collect();
    resident.retain(|number, (from, bytes)| {
        let behind = phase.taken.partition_point(|(_, end)| end <= from);
        own.get(number) == Some(from)
            || phase.taken.get(behind).is_none_or(|(begin, _)| *from + *bytes <= *begin)
    });
    let mut brought = 0;
    for (number, at, bytes) in phase.own.iter().filter(|_| brings) {
        // A copy at another place does not do.
        if resident.insert(*number, (*at, *bytes)).is_none_or(|(before, _)| before != *at) {
            brought += bytes;
        }
    }
    brought
}
