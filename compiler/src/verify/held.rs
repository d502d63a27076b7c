//! Where the constants of a phase lie in memory, as its rows say it: what the rules of memory and of fetches look at.

use std::collections::BTreeMap;

use zoetrope_runtime::plan::{Constant, Fetch, Item, Origin, Phase, Plan};

use super::rule;
use crate::error::Result;

/// A constant in memory: from byte, to byte, and the item of the phase that streams it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    pub from: u64,
    pub to: u64,
    pub streamed_by: Option<usize>,
}

/// The constants that a phase reads.
///
/// # Errors
/// One without a place, or a fetch that does not say what it does.
pub fn held(plan: &Plan, phase: &Phase) -> Result<BTreeMap<u32, Held>> {
    let what = |c: u32| move || format!("constant {c} in {}", phase.name);
    let mut out = BTreeMap::new();
    for c in phase.constants.iter() {
        let held = place(plan, phase, *c);
        rule(held.is_some(), "plan", "a constant has a place", what(*c))?;
        out.extend(held.map(|h| (*c, h)));
    }
    for (nth, item) in phase.segments.iter().flat_map(|s| s.items.iter()).enumerate() {
        let Item::Loop(l) = item else { continue };
        for fetch in l.fetches.iter() {
            let iterations =
                fetch.iteration < l.count && (fetch.after < l.count || fetch.after == Fetch::AT_ONCE);
            rule(iterations, "plan", "a fetch names iterations of its loop", || l.name.to_string())?;
            let mut bytes = 0;
            for c in fetch.constants.iter() {
                let held = out.get_mut(c).filter(|_| !is_table(&plan.constants[*c as usize]));
                let streamed_by = held.map(|h| (bytes += h.to - h.from, h.streamed_by.replace(nth)).1);
                let alone = matches!(streamed_by, Some(None)) || streamed_by == Some(Some(nth));
                rule(
                    alone,
                    "plan",
                    "what is streamed is a weight that the phase reads, by one loop",
                    what(*c),
                )?;
            }
            rule(bytes == fetch.bytes, "plan", "a fetch says how much it moves", || l.name.to_string())?;
        }
    }
    Ok(out)
}

/// Where a phase has a constant that it reads.
pub fn place(plan: &Plan, phase: &Phase, c: u32) -> Option<Held> {
    let from = *phase.places.get(phase.constants.binary_search(&c).ok()?)?;
    Some(Held { from, to: from + plan.constants.get(c as usize)?.bytes(), streamed_by: None })
}

/// True for what was folded, which is not in a model file.
pub fn is_table(constant: &Constant) -> bool {
    matches!(constant.origin, Origin::Table { .. })
}
