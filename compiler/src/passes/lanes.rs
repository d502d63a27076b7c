//! Independent work side by side: launches get lanes, and wait for each other where they must.
//!
//! Where a body carries several pieces of state (a video and an audio stream), the largest is the main lane's and smaller
//! ones are the side lane's. Equally large ones (the video in several passes) are one lane's: each fills the card, and side
//! by side they would take memory for all of them. A launch runs in the lane of what it transforms, its first operand;
//! what starts from outside runs in the lane of its first reader. A launch with parts of both lanes is the main lane's.
//!
//! A launch waits for those of the other lane that touch what it writes, or write what it touches. Between two waits a
//! side launch may run at any time, so what it touches lives through all launches of the main lane beside which it may
//! run: lives are widened to that window, and the placer need not know of lanes.

use std::collections::BTreeMap;

use zoetrope_runtime::plan::Repeat;

use crate::schedule::{Access, Base, Buffer, Item, Launch, Part, Schedule, Segment};

/// The main lane and the side lane.
const LANES: usize = 2;

/// Gives launches lanes and waits, and widens the lives of what the side lane touches.
pub fn lanes(mut schedule: Schedule) -> Schedule {
    for phase in &mut schedule.phases {
        let mut number = phase.first;
        for segment in &mut phase.segments {
            let launches = segment.items.iter().map(|item| match item {
                Item::Launch(_) => 1,
                Item::Loop(l) => l.body.len(),
            });
            let end = number + launches.sum::<usize>();
            one_segment(segment, number, &mut schedule.buffers);
            number = end;
        }
    }
    schedule
}

fn one_segment(segment: &mut Segment, mut number: usize, buffers: &mut [Buffer]) {
    let mut of_buffer = match segment.repeat {
        Repeat::Steps => by_state(&segment.launches(), buffers),
        Repeat::Load | Repeat::Once => BTreeMap::new(),
    };
    for items in segment.items.chunk_by_mut(|a, b| matches!((a, b), (Item::Launch(_), Item::Launch(_)))) {
        let inner = match items {
            [Item::Loop(l)] => by_state(&l.body.iter().collect::<Vec<_>>(), buffers),
            _ => BTreeMap::new(),
        };
        of_buffer.extend(inner);
        let mut run: Vec<&mut Launch> = items
            .iter_mut()
            .flat_map(|item| match item {
                Item::Launch(launch) => vec![launch.as_mut()],
                Item::Loop(l) => l.body.iter_mut().collect(),
            })
            .collect();
        if !of_buffer.is_empty() {
            assign(&mut run, &mut of_buffer);
            let done = wait(&mut run, number);
            widen(&run, &done, number, buffers);
        }
        number += run.len();
    }
}

/// The lanes of the pieces of state: what is read before it is written. Nothing where there are not several.
fn by_state(launches: &[&Launch], buffers: &[Buffer]) -> BTreeMap<usize, u8> {
    let mut read_first: BTreeMap<usize, bool> = BTreeMap::new();
    let mut states: Vec<usize> = Vec::new();
    for part in launches.iter().flat_map(|l| &l.parts) {
        part.reads.iter().filter_map(buffer).for_each(|b| {
            read_first.entry(b).or_insert(true);
        });
        if let Some(b) = buffer(&part.write)
            && *read_first.entry(b).or_insert(false)
            && !states.contains(&b)
        {
            states.push(b);
        }
    }
    let largest = states.iter().map(|b| buffers[*b].bytes).max().unwrap_or(0);
    if states.iter().all(|b| buffers[*b].bytes == largest) {
        return BTreeMap::new();
    }
    states.into_iter().map(|b| (b, u8::from(buffers[b].bytes < largest))).collect()
}

fn buffer(access: &Access) -> Option<usize> {
    match access.base {
        Base::Buffer(b) => Some(b),
        Base::Constant(_) | Base::Column(_) => None,
    }
}

fn assign(run: &mut [&mut Launch], of_buffer: &mut BTreeMap<usize, u8>) {
    let mut lanes: Vec<Vec<Option<u8>>> = Vec::with_capacity(run.len());
    for launch in run.iter() {
        let of = |part: &Part| {
            let from = part.reads.first().and_then(buffer)?;
            of_buffer.get(&from).copied()
        };
        let known: Vec<Option<u8>> = launch.parts.iter().map(of).collect();
        for (part, lane) in launch.parts.iter().zip(&known) {
            if let (Some(b), Some(lane)) = (buffer(&part.write), lane) {
                of_buffer.insert(b, *lane);
            }
        }
        lanes.push(known);
    }
    for at in (0..run.len()).rev() {
        for p in 0..run[at].parts.len() {
            if lanes[at][p].is_none() {
                let made = buffer(&run[at].parts[p].write);
                let reads = |q: &Part| q.reads.iter().any(|r| buffer(r) == made);
                let reader = (at + 1..run.len()).find_map(|later| {
                    let q = run[later].parts.iter().position(reads)?;
                    lanes[later][q]
                });
                lanes[at][p] = Some(reader.unwrap_or(0));
                if let (Some(b), Some(lane)) = (made, reader) {
                    of_buffer.insert(b, lane);
                }
            }
        }
    }
    for (launch, lanes) in run.iter_mut().zip(lanes) {
        launch.lane = lanes.iter().flatten().copied().min().unwrap_or(0);
    }
}

/// For every launch, how many launches of each lane are certainly done when it begins.
fn wait(run: &mut [&mut Launch], number: usize) -> Vec<[usize; LANES]> {
    let mut done: Vec<[usize; LANES]> = Vec::with_capacity(run.len());
    // Of every lane: what is done when its next launch begins, and where its launches stand.
    let mut known = [[0; LANES]; LANES];
    let mut stand: [Vec<usize>; LANES] = Default::default();
    for at in 0..run.len() {
        let lane = usize::from(run[at].lane);
        let mut certain = known[lane];
        let mut waits = Vec::new();
        for other in (0..LANES).filter(|l| *l != lane) {
            // The last one that matters: those before it in its lane are done with it.
            let last = (certain[other]..stand[other].len())
                .rev()
                .find(|nth| conflict(run[at], run[stand[other][*nth]]));
            if let Some(nth) = last {
                let place = stand[other][nth];
                certain.iter_mut().zip(done[place]).for_each(|(c, d)| *c = (*c).max(d));
                certain[other] = certain[other].max(nth + 1);
                waits.push(number + place);
            }
        }
        run[at].waits = waits;
        done.push(certain);
        stand[lane].push(at);
        certain[lane] = stand[lane].len();
        known[lane] = certain;
    }
    done
}

/// One writes what the other touches.
fn conflict(a: &Launch, b: &Launch) -> bool {
    let writes = |l: &Launch| l.parts.iter().map(|p| p.write.clone()).collect::<Vec<_>>();
    let meet = |written: &Access, other: &Launch| {
        other.parts.iter().any(|p| p.reads.iter().chain([&p.write]).any(|x| meets(written, x)))
    };
    writes(a).iter().any(|w| meet(w, b)) || writes(b).iter().any(|w| meet(w, a))
}

/// Says true where it cannot tell.
fn meets(a: &Access, b: &Access) -> bool {
    if buffer(a).is_none() || a.base != b.base {
        return false;
    }
    let pitch = |x: &Access| x.row_stride * x.dtype.bytes();
    let columns = |x: &Access| {
        let from = x.offset as usize % pitch(x).max(1);
        (from, from + x.shape.last().copied().unwrap_or(1) * x.dtype.bytes())
    };
    let (p, q) = (columns(a), columns(b));
    let rows_alike = pitch(a) == pitch(b) && p.1 <= pitch(a) && q.1 <= pitch(b);
    !(rows_alike && (p.1 <= q.0 || q.1 <= p.0))
}

fn widen(run: &[&mut Launch], done: &[[usize; LANES]], number: usize, buffers: &mut [Buffer]) {
    let main: Vec<usize> = (0..run.len()).filter(|at| run[*at].lane == 0).collect();
    let side: Vec<usize> = (0..run.len()).filter(|at| run[*at].lane > 0).collect();
    for (nth, at) in side.iter().enumerate() {
        let after = done[*at][0].checked_sub(1).map_or(0, |m| main[m] + 1);
        let before = main.iter().find(|m| done[**m][1] > nth).copied().unwrap_or(run.len());
        for part in &run[*at].parts {
            for b in part.reads.iter().chain([&part.write]).filter_map(buffer) {
                let life = &mut buffers[b];
                life.first = life.first.min(number + after);
                life.last = life.last.max(number + before - 1);
            }
        }
    }
}
