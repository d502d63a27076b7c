//! What a plan will do, for people and programs: one [`Report`] of figures, and a file per way to show it.
//!
//! Everything here is computed from the plan. Times are floors from vendors' figures (`floor.rs`, `cards.rs`): no
//! executor has reached one, and none was measured.

pub(crate) mod cards;
mod collect;
mod data;
mod diff;
pub(crate) mod floor;
mod graph;
mod live;
mod memory;
mod page;
mod summary;
mod words;

pub use cards::{CARDS, Card};
pub use data::{
    BufferReport, CardReport, Fits, FootprintReport, LaunchReport, LoopReport, PhaseReport, ReadError,
    Report, SizeReport, TogetherReport, VERSION, read,
};
pub use diff::diff;
pub use graph::graph;
pub use memory::memory;
pub use page::page;
pub use summary::summary;
pub use words::seconds_text;
