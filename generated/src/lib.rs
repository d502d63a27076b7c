//! The plans of the enabled `res-*` features, as static Rust tables made by this crate's build script, and the machine
//! code of their launches for the enabled `sm-*` features.
//!
//! `ZOETROPE_EMIT_DIR=some/dir cargo build` leaves a copy of the tables to read. Reviewed listings of the shipped
//! plans are in `plans/`.

use zoetrope_runtime::plan::{Code, Plan, Suite};

include!(concat!(env!("OUT_DIR"), "/plans.rs"));

/// The plan of this name.
pub fn plan(name: &str) -> Option<&'static Plan> {
    PLANS.iter().copied().find(|plan| plan.name == name)
}

/// The suite that a plan is a member of.
pub fn suite(plan: &Plan) -> Option<&'static Suite> {
    SUITES.iter().copied().find(|suite| suite.position(plan).is_some())
}

/// The code of a plan for a card of a compute capability.
pub fn code(plan: &str, capability: (u32, u32)) -> Option<&'static Code> {
    CODES.iter().copied().find(|code| code.plan == plan && code.arch(capability).is_some())
}

/// A function's machine code for an architecture.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// As in `sm_90a`.
    pub arch: &'static str,
    pub symbol: &'static str,
    offset: usize,
    /// Bytes as stored.
    pub stored: usize,
    /// Bytes of the machine code.
    pub bytes: usize,
}

/// A row of the emitted list.
pub const fn image(
    arch: &'static str,
    symbol: &'static str,
    offset: usize,
    stored: usize,
    bytes: usize,
) -> Image {
    Image { arch, symbol, offset, stored, bytes }
}

impl Image {
    /// The function `symbol` for an architecture; none where NVRTC was not found when this was built.
    pub fn find(arch: &str, symbol: &str) -> Option<&'static Image> {
        IMAGES.iter().find(|image| image.arch == arch && image.symbol == symbol)
    }

    /// The machine code, compressed (zlib).
    pub fn packed(&self) -> &'static [u8] {
        &MACHINE_CODE[self.offset..self.offset + self.stored]
    }
}
