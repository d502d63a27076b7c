//! Where constants lie while a phase runs: behind its arena, from the top of memory downwards.
//!
//! Without a budget every phase has all its constants; with one, what does not fit is streamed (`stream`). Constants
//! that a later phase reads again stay where they are, if the phases between have room for them.
//!
//! What comes and goes together is a lot (`stays`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use zoetrope_runtime::plan::{Constant, Facts, Origin, Phase};

use super::stays::{Lot, keep, stack};
use super::stream::{Stream, Tight, loops, room, stream};
use crate::error::Error;

/// Gives the constants of all phases their places, decides which are streamed and which kept, and tells how much
/// memory that takes, in bytes. `name` is the target's, for the error.
///
/// # Errors
/// The budget of `facts` is too small for a phase.
pub fn place_constants(
    constants: &[Constant],
    phases: &mut [Phase],
    name: &str,
    facts: &Facts,
) -> Result<u64, Error> {
    let limit = facts.vram.map(|vram| vram.saturating_sub(facts.reserve_bytes));
    let streams = match limit {
        Some(limit) => streams(constants, phases, limit)
            .map_err(|(phase, tight)| too_small(constants, phases, &phases[phase], tight, name, facts))?,
        None => phases.iter().map(|_| Vec::new()).collect(),
    };
    let mut lots = lots(constants, phases, &streams);
    let arenas: Vec<u64> = phases.iter().map(|phase| phase.arena_bytes).collect();
    keep(&mut lots, &arenas, limit, |_, _| true);
    let (depths, peak) = stack(&lots, &arenas);
    phases.iter_mut().for_each(|p| p.places = vec![0; p.constants.len()].into());
    for (lot, depths) in lots.iter().zip(&depths) {
        for ((first, last), depth) in lot.stays.iter().zip(depths) {
            let mut at = peak - depth;
            for c in &lot.constants {
                phases[*first..=*last].iter_mut().for_each(|phase| settle(phase, constants, *c, at));
                at += room(&constants[*c as usize]);
            }
            if let Some(ring) = lot.ring.map(|ring| &streams[*first][ring]) {
                let phase = &mut phases[*first];
                for (c, place) in ring.placed(phase) {
                    put(phase, c, at + place);
                }
                ring.fetch(constants, phase);
                phase.weight_bytes += lot.bytes;
            }
        }
    }
    phases.iter_mut().for_each(|p| p.kept.to_mut().sort_unstable());
    Ok(peak)
}

/// What every phase streams, or the (first) phase that is farthest from `limit` bytes.
fn streams(constants: &[Constant], phases: &[Phase], limit: u64) -> Result<Vec<Vec<Stream>>, (usize, Tight)> {
    let tried: Vec<_> = phases.iter().map(|phase| stream(constants, phase, limit)).collect();
    let tight = tried.iter().enumerate().filter_map(|(i, t)| Some((i, *t.as_ref().err()?)));
    tight.max_by_key(|(i, t)| (t.need_bytes, Reverse(*i))).map_or(Ok(()), Err)?;
    Ok(tried.into_iter().map(Result::unwrap_or_default).collect())
}

fn too_small(
    constants: &[Constant],
    phases: &[Phase],
    phase: &Phase,
    tight: Tight,
    name: &str,
    facts: &Facts,
) -> Error {
    let vram = facts.vram.unwrap_or(0);
    let fits =
        |gib: &u64| streams(constants, phases, (gib << 30).saturating_sub(facts.reserve_bytes)).is_ok();
    Error::Budget {
        target: name.to_string(),
        vram,
        phase: phase.name.to_string(),
        arena: phase.arena_bytes,
        weights: tight.weight_bytes,
        tables: tight.need_bytes - tight.weight_bytes - phase.arena_bytes,
        reserve: facts.reserve_bytes,
        smallest_gib: ((vram >> 30) + 1..).find(fits).unwrap_or(u64::MAX),
    }
}

/// What comes and goes together: constants that the same phases read, an iteration of a loop apart from the next, so
/// that a part of a loop can be kept. What is streamed in one phase comes anew in every other.
fn lots(constants: &[Constant], phases: &[Phase], streams: &[Vec<Stream>]) -> Vec<Lot> {
    let rings: Vec<BTreeSet<u32>> = phases
        .iter()
        .zip(streams)
        .map(|(phase, rings)| rings.iter().flat_map(|r| r.placed(phase)).map(|(c, _)| c).collect())
        .collect();
    let streamed: BTreeSet<u32> = rings.iter().flatten().copied().collect();
    let mut iterations: BTreeMap<u32, usize> = BTreeMap::new();
    for (_, _, l) in phases.iter().flat_map(loops) {
        for (iteration, row) in l.rows.chunks(l.columns.max(1) as usize).enumerate() {
            row.iter().for_each(|c| _ = iterations.entry(*c).or_insert(iteration));
        }
    }
    let mut readers: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (p, (phase, ring)) in phases.iter().zip(&rings).enumerate() {
        for c in phase.constants.iter().filter(|c| !ring.contains(c)) {
            readers.entry(*c).or_default().push(p);
        }
    }
    let mut together: BTreeMap<(Vec<usize>, Option<usize>), Vec<u32>> = BTreeMap::new();
    for (c, readers) in readers {
        let alone = if streamed.contains(&c) { 1 } else { readers.len() };
        for readers in readers.chunks(alone) {
            together.entry((readers.to_vec(), iterations.get(&c).copied())).or_default().push(c);
        }
    }
    let bytes = |list: &[u32]| list.iter().map(|c| room(&constants[*c as usize])).sum();
    let stays = |readers: Vec<usize>| readers.into_iter().map(|p| (p, p)).collect();
    let resident = together.into_iter().map(|((readers, _), list)| Lot {
        bytes: bytes(&list),
        may_stay: list.iter().all(|c| !streamed.contains(c)),
        constants: list,
        ring: None,
        stays: stays(readers),
    });
    let rings = |(p, rings): (usize, &Vec<Stream>)| {
        let ring = move |(i, ring): (usize, &Stream)| Lot {
            bytes: ring.bytes(),
            constants: Vec::new(),
            ring: Some(i),
            stays: vec![(p, p)],
            may_stay: false,
        };
        rings.iter().enumerate().map(ring).collect::<Vec<_>>()
    };
    resident.chain(streams.iter().enumerate().flat_map(rings)).collect()
}

/// A constant stays at `at` through a phase.
fn settle(phase: &mut Phase, constants: &[Constant], c: u32, at: u64) {
    if !put(phase, c, at) {
        phase.kept.to_mut().push(c);
    }
    let constant = &constants[c as usize];
    match constant.origin {
        Origin::Weight { .. } => phase.weight_bytes += room(constant),
        Origin::Table { .. } => phase.table_bytes += room(constant),
    }
}

/// Notes the place of a constant; false when the phase does not read it.
fn put(phase: &mut Phase, c: u32, at: u64) -> bool {
    let found = phase.constants.binary_search(&c);
    found.map(|i| phase.places.to_mut()[i] = at).is_ok()
}
