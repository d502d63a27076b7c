//! Stays of constants in memory: phases are the time axis, and every stay is a rectangle, phases wide and bytes high.
//!
//! The longest first, among them the largest, each takes the place nearest to the top of memory that is free through all
//! its phases; so what is kept lies together, and short stays fill what is left. From the top, because what is below
//! belongs to the arena, which ends elsewhere in every phase.

use std::cmp::Reverse;

/// Constants that come and go together.
pub struct Lot {
    pub bytes: u64,
    /// Empty for the places of a streamed loop.
    pub constants: Vec<u32>,
    /// Which of the streams of its phase they are for.
    pub ring: Option<usize>,
    /// First and last phase of every stay. In phases between that do not read it, it is kept.
    pub stays: Vec<(usize, usize)>,
    /// Whether they can be there in phases that do not read them: what is streamed in one has another place then.
    pub may_stay: bool,
}

/// Joins stays, the largest lots first, where memory then does not exceed `limit` bytes; without one, what it takes with all
/// stays apart. `arenas` are what lies at the bottom of memory in each phase; `may` says of two phases whether stays that end
/// and begin there may be one.
pub fn keep(lots: &mut [Lot], arenas: &[u64], limit: Option<u64>, may: impl Fn(usize, usize) -> bool) {
    let limit = limit.unwrap_or_else(|| stack(lots, arenas).1);
    for lot in by_size(lots) {
        let mut stay = 0;
        while stay + 1 < lots[lot].stays.len() {
            let [first, second] = [stay, stay + 1].map(|stay| lots[lot].stays[stay]);
            if !may(first.1, second.0) || !joined(lots, arenas, limit, lot, (stay, stay + 1)) {
                stay += 1;
            }
        }
    }
}

/// Joins all stays of a lot to one, the largest lots first, where memory then does not exceed `limit` bytes.
pub fn keep_throughout(lots: &mut [Lot], arenas: &[u64], limit: u64) {
    for lot in by_size(lots) {
        let last = lots[lot].stays.len() - 1;
        if last > 0 {
            joined(lots, arenas, limit, lot, (0, last));
        }
    }
}

/// Lets lots with one stay be there all the time, the largest first, where memory then does not exceed `limit` bytes.
pub fn keep_always(lots: &mut [Lot], arenas: &[u64], limit: u64) {
    let always = (0, arenas.len().saturating_sub(1));
    for lot in by_size(lots) {
        let [stay] = lots[lot].stays[..] else { continue };
        if lots[lot].may_stay {
            lots[lot].stays = vec![always];
            if stack(lots, arenas).1 > limit {
                lots[lot].stays = vec![stay];
            }
        }
    }
}

fn by_size(lots: &[Lot]) -> Vec<usize> {
    let mut by_size: Vec<usize> = (0..lots.len()).collect();
    by_size.sort_by_key(|lot| Reverse(lots[*lot].bytes));
    by_size
}

/// Makes one stay of those from the first to the last, if memory then does not exceed `limit` bytes; whether it was made.
fn joined(lots: &mut [Lot], arenas: &[u64], limit: u64, lot: usize, (first, last): (usize, usize)) -> bool {
    let apart = lots[lot].stays.clone();
    let one = (apart[first].0, apart[last].1);
    lots[lot].stays.splice(first..=last, [one]);
    let fits = stack(lots, arenas).1 <= limit;
    if !fits {
        lots[lot].stays = apart;
    }
    fits
}

/// For every stay the distance from its first byte to the end of memory, and how much memory that makes.
pub fn stack(lots: &[Lot], arenas: &[u64]) -> (Vec<Vec<u64>>, u64) {
    let stays = |g: usize| (0..lots[g].stays.len()).map(move |s| (g, s));
    let mut order: Vec<(usize, usize)> = (0..lots.len()).flat_map(stays).collect();
    order.sort_by_key(|(g, s)| {
        let (first, last) = lots[*g].stays[*s];
        (Reverse(last - first), Reverse(lots[*g].bytes), first)
    });
    let mut depths: Vec<Vec<u64>> = lots.iter().map(|lot| vec![0; lot.stays.len()]).collect();
    // What is taken in each phase, counted from the end of memory.
    let mut taken: Vec<Vec<(u64, u64)>> = vec![Vec::new(); arenas.len()];
    let mut met: Vec<(u64, u64)> = Vec::new();
    for (g, s) in order {
        let (first, last) = lots[g].stays[s];
        let bytes = lots[g].bytes;
        met.clear();
        taken[first..=last].iter().for_each(|taken| met.extend(taken));
        met.sort_unstable();
        let mut at = 0;
        for (from, to) in &met {
            if at + bytes <= *from {
                break;
            }
            at = at.max(*to);
        }
        depths[g][s] = at + bytes;
        taken[first..=last].iter_mut().for_each(|taken| taken.push((at, at + bytes)));
    }
    let ends = arenas
        .iter()
        .zip(&taken)
        .map(|(arena, taken)| arena + taken.iter().map(|(_, to)| *to).max().unwrap_or(0));
    (depths, ends.max().unwrap_or(0))
}
