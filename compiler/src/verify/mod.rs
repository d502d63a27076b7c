//! The gates. Each lists its rules, and shares no code with the pass whose work it checks.

mod aliases;
mod code;
mod fetches;
mod fused;
mod graph;
mod held;
mod lanes;
mod memory;
mod plan;
mod region;
mod schedule;

pub use code::code;
pub use fused::fused;
pub use graph::graph;
pub use memory::memory;
pub use plan::plan;
pub use schedule::schedule;

use aliases::aliases;
use fetches::fetches;
use lanes::lanes;

use crate::error::{Error, Result};

/// Passes when `holds`; otherwise the gate behind `level` says which rule is broken, and where.
fn rule(holds: bool, level: &'static str, rule: &'static str, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Gate { level, rule, what: what() }) }
}
