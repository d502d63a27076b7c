//! One allocation, aligned as every buffer of a plan is.

use bytemuck::{Pod, Zeroable};

use crate::error::{Error, Result};
use crate::plan::ALIGN;

/// [`ALIGN`] bytes at an address that is a multiple of it.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(256))]
struct Line([u8; ALIGN as usize]);

/// Zeroed bytes; never grows.
#[derive(Default)]
pub struct Arena {
    lines: Vec<Line>,
}

impl Arena {
    /// At least `bytes` bytes.
    ///
    /// # Errors
    /// The system has not that much memory.
    pub fn new(bytes: u64) -> Result<Arena> {
        let memory = || Error::Memory { bytes };
        let count = usize::try_from(bytes.div_ceil(ALIGN)).map_err(|_| memory())?;
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).map_err(|_| memory())?;
        lines.resize(count, Line::zeroed());
        Ok(Arena { lines })
    }

    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.lines)
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }
}
