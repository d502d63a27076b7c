//! Where constants lie while a phase runs: behind its arena, one after the other.

use zoetrope_runtime::plan::{ALIGN, Constant, Origin, Phase};

/// Gives the constants of a phase their places.
pub fn reside(constants: &[Constant], phase: &mut Phase) {
    let mut at = phase.arena_bytes;
    for id in phase.constants.iter() {
        let constant = &constants[*id as usize];
        let bytes = constant.bytes().next_multiple_of(ALIGN);
        match constant.origin {
            Origin::Weight { .. } => phase.weight_bytes += bytes,
            Origin::Table { .. } => phase.table_bytes += bytes,
        }
        phase.places.to_mut().push(at);
        at += bytes;
    }
}
