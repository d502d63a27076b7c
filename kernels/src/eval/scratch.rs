//! Buffers that a thread uses again.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Buffers above this many elements go back to the system.
const KEEP: usize = 1 << 24;

/// Buffers kept by a thread.
const BUFFERS: usize = 24;

thread_local! {
    static POOL: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that returns to its thread's pool. Its first contents are whatever an earlier user left.
///
/// The pool hands buffers out instead of lending itself: a thread that waits inside a parallel loop may take up
/// another panel, which then finds its own buffers.
pub(crate) struct Scratch {
    /// As long as any user has wanted it: elements behind `len` need not be made again.
    buffer: Vec<f32>,
    len: usize,
}

impl Scratch {
    /// A buffer of `len` elements of no particular value.
    pub fn new(len: usize) -> Scratch {
        let mut buffer = POOL.with_borrow_mut(|pool| {
            let fits = pool
                .iter()
                .enumerate()
                .filter(|(_, b)| b.capacity() >= len)
                .min_by_key(|(_, b)| b.capacity());
            let place = fits.map(|(i, _)| i).or_else(|| pool.len().checked_sub(1));
            place.map(|i| pool.swap_remove(i)).unwrap_or_default()
        });
        if buffer.capacity() < len {
            // Growing would copy contents that nobody wants.
            buffer = Vec::with_capacity(len);
        }
        if buffer.len() < len {
            buffer.resize(len, 0.0);
        }
        Scratch { buffer, len }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.capacity() > 0 && buffer.capacity() <= KEEP {
            POOL.with_borrow_mut(|pool| {
                if pool.len() < BUFFERS {
                    pool.push(buffer);
                }
            });
        }
    }
}

impl Deref for Scratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.buffer[..self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.len]
    }
}
