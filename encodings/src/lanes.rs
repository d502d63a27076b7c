//! What keeps loops in the form in which compilers find wide instructions for them.

use std::sync::atomic::{Ordering, compiler_fence};

/// Elements that the widest instructions make at once.
pub const LANES: usize = 16;

/// Nothing is moved across, and no instruction is made: what stands before and behind is turned into wide instructions for
/// itself. Without it, compilers do so across the blocks of a loop, with instructions that gather single bytes from far apart.
#[inline(always)]
pub fn barrier() {
    compiler_fence(Ordering::SeqCst);
}

/// As many bytes from a place on.
///
/// # Panics
/// There are not so many.
#[inline(always)]
pub fn lanes(bytes: &[u8], at: usize) -> &[u8; LANES] {
    bytes[at..].first_chunk().expect("as many bytes")
}
