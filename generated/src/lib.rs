//! The plans of the enabled `res-*` features, as static Rust tables made by this crate's build script.
//!
//! `ZOETROPE_EMIT_DIR=some/dir cargo build` leaves a copy of the tables to read. Reviewed listings of the shipped
//! plans are in `plans/`.

use zoetrope_runtime::plan::Plan;

include!(concat!(env!("OUT_DIR"), "/plans.rs"));

/// The plan of this name.
pub fn plan(name: &str) -> Option<&'static Plan> {
    PLANS.iter().copied().find(|plan| plan.name == name)
}
