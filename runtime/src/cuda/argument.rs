//! The argument of a launch: bytes at an address that a structure with tensor maps may have.

use std::ops::{Deref, DerefMut};

use crate::plan::MAP_ALIGN;

/// Bytes that begin at a multiple of [`MAP_ALIGN`].
pub struct Argument {
    /// Longer than the argument, so that an aligned address is in it.
    bytes: Vec<u8>,
    from: usize,
}

impl Argument {
    pub fn of(bytes: &[u8]) -> Argument {
        let mut all = vec![0; bytes.len() + MAP_ALIGN - 1];
        // The vector keeps its address: it never grows.
        let from = all.as_ptr().addr().wrapping_neg() % MAP_ALIGN;
        all.truncate(from + bytes.len());
        all[from..].copy_from_slice(bytes);
        Argument { bytes: all, from }
    }
}

impl Deref for Argument {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

impl DerefMut for Argument {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.from..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_aligned() {
        for len in 0..200u8 {
            let bytes: Vec<u8> = (0..len).collect();
            let argument = Argument::of(&bytes);
            assert_eq!(&*argument, bytes);
            assert!(argument.as_ptr().addr().is_multiple_of(MAP_ALIGN));
        }
    }
}
