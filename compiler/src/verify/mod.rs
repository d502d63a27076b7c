//! The verifiers. Each lists its rules, and shares no code with the pass whose work it checks.

mod aliases;
mod code;
mod fetches;
mod fused;
mod graph;
mod held;
mod memory;
mod plan;
mod queues;
mod region;
mod schedule;
mod suite;

pub use code::code;
pub use fused::fused;
pub use graph::graph;
pub use memory::memory;
pub use plan::plan;
pub use schedule::schedule;
pub use suite::suite;

use aliases::aliases;
use fetches::fetches;
use queues::queues;

use crate::error::{Error, Result};

/// Passes when `holds`; otherwise the verifier of `level` says which rule is broken, and where.
fn rule(holds: bool, level: &'static str, rule: &'static str, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Verifier { level, rule, what: what() }) }
}
