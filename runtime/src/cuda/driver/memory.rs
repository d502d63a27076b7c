//! Memory of the card, and memory of the host that it reaches.

use std::ptr::null_mut;

use cudarc::driver::sys;

use super::{Result, cuda};

/// Memory of the card.
pub struct Memory {
    address: sys::CUdeviceptr,
}

impl Memory {
    /// # Errors
    /// There is not so much.
    pub fn new(bytes: u64) -> Result<Memory> {
        let mut address = 0;
        // SAFETY: the address is written, and freed when this value is dropped.
        unsafe { cuda!(cuMemAlloc_v2(&mut address, bytes.max(1) as usize))? };
        Ok(Memory { address })
    }

    pub fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: frees what `new` allocated, once.
        let _ = unsafe { sys::cuMemFree_v2(self.address) };
    }
}

/// Memory of the host that the card's copy engines reach.
pub struct Pinned {
    pub(super) at: *mut u8,
    pub(super) bytes: usize,
}

impl Pinned {
    /// # Errors
    /// The system does not pin so much.
    pub fn new(bytes: usize) -> Result<Pinned> {
        let mut at = null_mut();
        // SAFETY: the address is written, and freed when this value is dropped. The bytes are set before anybody
        // reads them.
        unsafe {
            cuda!(cuMemHostAlloc(&mut at, bytes, 0))?;
            at.cast::<u8>().write_bytes(0, bytes);
        }
        Ok(Pinned { at: at.cast(), bytes })
    }

    /// The bytes from `from` on, to be filled. What a copy that has not ended reads must not be asked for.
    pub fn bytes_mut(&mut self, from: usize, len: usize) -> &mut [u8] {
        assert!(from + len <= self.bytes, "inside the pinned memory");
        // SAFETY: inside the allocation, initialized, and borrowed for as long as `self` is.
        unsafe { std::slice::from_raw_parts_mut(self.at.add(from), len) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: frees what `new` allocated, once.
        let _ = unsafe { sys::cuMemFreeHost(self.at.cast()) };
    }
}
