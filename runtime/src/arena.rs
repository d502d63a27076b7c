//! One allocation, aligned as every buffer of a plan is.

use memmap2::MmapMut;

use crate::error::{Error, Result};
use crate::plan::ALIGN;

/// Zeroed bytes at an address that is a multiple of [`ALIGN`]; never grows. The system gives memory when it is first
/// touched, in large pages where it can, so nothing is filled with zeros that is overwritten at once.
#[derive(Default)]
pub struct Arena {
    /// Whole pages; `None` where there are no bytes.
    pages: Option<MmapMut>,
}

impl Arena {
    /// At least `bytes` bytes: a multiple of [`ALIGN`].
    ///
    /// # Errors
    /// The system has not that much memory.
    pub fn new(bytes: u64) -> Result<Arena> {
        let memory = || Error::Memory { bytes };
        let length = usize::try_from(bytes).ok().and_then(|n| n.checked_next_multiple_of(ALIGN as usize));
        let length = length.filter(|n| isize::try_from(*n).is_ok()).ok_or_else(memory)?;
        if length == 0 {
            return Ok(Arena::default());
        }
        let pages = MmapMut::map_anon(length).map_err(|_| memory())?;
        // Advice that is not taken changes nothing.
        #[cfg(target_os = "linux")]
        let _ = pages.advise(memmap2::Advice::HugePage);
        Ok(Arena { pages: Some(pages) })
    }

    pub fn bytes(&self) -> &[u8] {
        self.pages.as_deref().unwrap_or_default()
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.pages.as_deref_mut().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_aligned_and_zero() {
        for bytes in [0, 1, 255, 256, 257, 1 << 20] {
            let mut arena = Arena::new(bytes).unwrap();
            assert_eq!(arena.bytes().len() as u64, bytes.next_multiple_of(ALIGN));
            assert!(bytes == 0 || (arena.bytes().as_ptr().addr() as u64).is_multiple_of(ALIGN));
            assert!(arena.bytes().iter().all(|byte| *byte == 0));
            arena.bytes_mut().fill(7);
            assert!(arena.bytes().iter().all(|byte| *byte == 7));
        }
        assert!(Arena::new(u64::MAX).is_err() && Arena::new(1 << 60).is_err());
        assert!(Arena::default().bytes().is_empty());
    }
}
