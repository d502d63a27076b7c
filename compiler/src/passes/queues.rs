//! Independent work side by side: launches get queues, and wait for each other where they must.
//!
//! Where a body carries several pieces of state (a video and an audio stream), the largest is the main queue's and smaller
//! ones are the side queue's. Equally large ones (the video in several passes) are one queue's: each fills the card, and side
//! by side they would take memory for all of them. A launch runs in the queue of what it transforms, its first operand;
//! what starts from outside runs in the queue of its first reader. A launch with parts of both queues is the main queue's.
//!
//! A launch waits for those of the other queue that touch what it writes, or write what it touches. Between two waits a
//! side launch may run at any time, so what it touches lives through all launches of the main queue beside which it may
//! run: live ranges are widened to that window, and the placer need not know of queues.

use std::collections::BTreeMap;

use zoetrope_runtime::plan::Repeat;

use crate::schedule::{Access, Base, Buffer, Item, Launch, Part, Schedule, Segment};

/// The main queue and the side queue.
const QUEUES: usize = 2;

/// Gives launches queues and waits, and widens the live ranges of what the side queue touches.
pub fn queues(mut schedule: Schedule) -> Schedule {
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
            extend_live_ranges(&run, &done, number, buffers);
        }
        number += run.len();
    }
}

/// The queues of the pieces of state: what is read before it is written. Nothing where there are not several.
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
    let mut queues: Vec<Vec<Option<u8>>> = Vec::with_capacity(run.len());
    for launch in run.iter() {
        let of = |part: &Part| {
            let from = part.reads.first().and_then(buffer)?;
            of_buffer.get(&from).copied()
        };
        let known: Vec<Option<u8>> = launch.parts.iter().map(of).collect();
        for (part, queue) in launch.parts.iter().zip(&known) {
            if let (Some(b), Some(queue)) = (buffer(&part.write), queue) {
                of_buffer.insert(b, *queue);
            }
        }
        queues.push(known);
    }
    for at in (0..run.len()).rev() {
        for p in 0..run[at].parts.len() {
            if queues[at][p].is_none() {
                let made = buffer(&run[at].parts[p].write);
                let reads = |q: &Part| q.reads.iter().any(|r| buffer(r) == made);
                let reader = (at + 1..run.len()).find_map(|later| {
                    let q = run[later].parts.iter().position(reads)?;
                    queues[later][q]
                });
                queues[at][p] = Some(reader.unwrap_or(0));
                if let (Some(b), Some(queue)) = (made, reader) {
                    of_buffer.insert(b, queue);
                }
            }
        }
    }
    for (launch, queues) in run.iter_mut().zip(queues) {
        launch.queue = queues.iter().flatten().copied().min().unwrap_or(0);
    }
}

/// For every launch, how many launches of each queue are certainly done when it begins.
fn wait(run: &mut [&mut Launch], number: usize) -> Vec<[usize; QUEUES]> {
    let mut done: Vec<[usize; QUEUES]> = Vec::with_capacity(run.len());
    // Of every queue: what is done when its next launch begins, and where its launches stand.
    let mut known = [[0; QUEUES]; QUEUES];
    let mut stand: [Vec<usize>; QUEUES] = Default::default();
    for at in 0..run.len() {
        let queue = usize::from(run[at].queue);
        let mut certain = known[queue];
        let mut waits = Vec::new();
        for other in (0..QUEUES).filter(|l| *l != queue) {
            // The last one that matters: those before it in its queue are done with it.
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
        stand[queue].push(at);
        certain[queue] = stand[queue].len();
        known[queue] = certain;
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

fn extend_live_ranges(run: &[&mut Launch], done: &[[usize; QUEUES]], number: usize, buffers: &mut [Buffer]) {
    let main: Vec<usize> = (0..run.len()).filter(|at| run[*at].queue == 0).collect();
    let side: Vec<usize> = (0..run.len()).filter(|at| run[*at].queue > 0).collect();
    for (nth, at) in side.iter().enumerate() {
        let after = done[*at][0].checked_sub(1).map_or(0, |m| main[m] + 1);
        let before = main.iter().find(|m| done[**m][1] > nth).copied().unwrap_or(run.len());
        for part in &run[*at].parts {
            for b in part.reads.iter().chain([&part.write]).filter_map(buffer) {
                let range = &mut buffers[b];
                range.first = range.first.min(number + after);
                range.last = range.last.max(number + before - 1);
            }
        }
    }
}
