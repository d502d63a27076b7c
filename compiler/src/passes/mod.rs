//! Passes: verbs, one file each. Data that only they share stands beside them.

mod coalesce;
mod constants;
mod fold;
mod fuse;
mod hoist;
mod linear;
mod lodge;
mod lower;
mod order;
mod own;
mod place;
mod reside;
mod simplify;

pub use fold::fold;
pub use fuse::fuse;
pub use hoist::hoist;
pub use lower::lower;
pub use order::{Wired, order};
pub use place::{lower_bound, place};
pub use simplify::simplify;
