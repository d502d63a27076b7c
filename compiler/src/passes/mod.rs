//! Passes: verbs, one file each. Data that only they share stands beside them.

mod chunk;
mod coalesce;
mod constants;
mod cut;
mod fold;
mod fuse;
mod group;
mod hoist;
mod lanes;
mod linear;
mod lodge;
mod lower;
mod order;
mod own;
mod place;
mod reach;
mod reside;
mod simplify;
mod stream;
mod unroll;
mod widen;

pub use chunk::chunk;
pub use fold::fold;
pub use fuse::fuse;
pub use group::group;
pub use hoist::hoist;
pub use lanes::lanes;
pub use lower::lower;
pub use order::{Wired, order};
pub use own::own;
pub use place::{lower_bound, place};
pub use reside::reside;
pub use simplify::simplify;
pub use unroll::unroll;
pub use widen::widen;
