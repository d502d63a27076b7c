//! Streams and events: what runs in order, and points in it.

use std::ffi::c_void;
use std::ptr::null_mut;

use cudarc::driver::sys;

use super::{Kernel, Pinned, Result, Runnable, cuda, done};

/// Work in order.
pub struct Stream(pub(super) sys::CUstream);

impl Stream {
    /// # Errors
    /// The card is lost.
    pub fn new() -> Result<Stream> {
        let mut stream = null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: the handle is written, and destroyed when this value is dropped.
        unsafe { cuda!(cuStreamCreate(&mut stream, flags))? };
        Ok(Stream(stream))
    }

    /// Waits until all work is done.
    ///
    /// # Errors
    /// A launch before failed, or the card is lost.
    pub fn wait(&self) -> Result<()> {
        // SAFETY: the stream is alive.
        unsafe { cuda!(cuStreamSynchronize(self.0)) }
    }

    /// What comes later in this stream begins after `event` has happened.
    ///
    /// # Errors
    /// The card is lost.
    pub fn wait_for(&self, event: &Event) -> Result<()> {
        // SAFETY: both are alive.
        unsafe { cuda!(cuStreamWaitEvent(self.0, event.0, 0)) }
    }

    /// Copies pinned memory to the card: the bytes may change again when an event behind this has happened.
    ///
    /// # Errors
    /// The card is lost, or the address is not its own.
    pub fn upload_pinned(&self, to: u64, from: &Pinned, at: usize, bytes: usize) -> Result<()> {
        assert!(at + bytes <= from.bytes, "inside the pinned memory");
        // SAFETY: the bytes are inside the allocation, which outlives its copies (a ring waits before it is dropped).
        unsafe { cuda!(cuMemcpyHtoDAsync_v2(to, from.at.add(at).cast::<c_void>(), bytes, self.0)) }
    }

    /// Copies ordinary memory to the card, and waits for it: whether the driver takes the bytes at once or reads them
    /// when the copy begins depends on the system.
    ///
    /// # Errors
    /// The card is lost, or the address is not its own.
    pub fn upload(&self, to: u64, from: &[u8]) -> Result<()> {
        // SAFETY: the bytes are borrowed until the copy is done: `wait` is behind it on every path.
        let asked = unsafe { cuda!(cuMemcpyHtoDAsync_v2(to, from.as_ptr().cast(), from.len(), self.0)) };
        asked.and(self.wait())
    }

    /// Sets bytes of the card's memory.
    ///
    /// # Errors
    /// The card is lost, or the address is not its own.
    pub fn fill(&self, at: u64, byte: u8, bytes: u64) -> Result<()> {
        // SAFETY: no memory of this process is touched.
        unsafe { cuda!(cuMemsetD8Async(at, byte, bytes as usize, self.0)) }
    }

    /// Copies memory of the card to `to`, and waits for it.
    ///
    /// # Errors
    /// The card is lost, or the address is not its own.
    pub fn download(&self, to: &mut [u8], from: u64) -> Result<()> {
        // SAFETY: the bytes are borrowed until the copy is done: `wait` is behind it on every path.
        let asked = unsafe { cuda!(cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast(), from, to.len(), self.0)) };
        asked.and(self.wait())
    }

    /// Launches one kernel.
    ///
    /// # Errors
    /// The launch is refused.
    pub fn launch(&self, kernel: &Kernel, blocks: u32, argument: &mut [u8]) -> Result<()> {
        let mut arguments = [argument.as_mut_ptr().cast::<c_void>()];
        let (threads, shared) = (kernel.threads, kernel.shared);
        // SAFETY: the function takes one argument of `argument.len()` bytes (the compiler's verifier, and the check of
        // parameter layouts in kernels/tests/nvrtc.rs); the driver copies it during the call.
        unsafe {
            let list = arguments.as_mut_ptr();
            cuda!(cuLaunchKernel(
                kernel.function,
                blocks,
                1,
                1,
                threads,
                1,
                1,
                shared,
                self.0,
                list,
                null_mut()
            ))
        }
    }

    /// Launches all of a graph.
    ///
    /// # Errors
    /// The card is lost.
    pub fn launch_graph(&self, graph: &Runnable) -> Result<()> {
        // SAFETY: both are alive.
        unsafe { cuda!(cuGraphLaunch(graph.0, self.0)) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: destroys what `new` created, once.
        let _ = unsafe { sys::cuStreamDestroy_v2(self.0) };
    }
}

/// A point in a stream.
pub struct Event(sys::CUevent);

impl Event {
    /// With the time of its happening, or, cheaper, without.
    ///
    /// # Errors
    /// The card is lost.
    pub fn new(timed: bool) -> Result<Event> {
        let mut event = null_mut();
        let untimed = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32;
        // SAFETY: the handle is written, and destroyed when this value is dropped.
        unsafe { cuda!(cuEventCreate(&mut event, if timed { 0 } else { untimed }))? };
        Ok(Event(event))
    }

    /// Happens when all work that is in `stream` now is done.
    ///
    /// # Errors
    /// The card is lost.
    pub fn record(&self, stream: &Stream) -> Result<()> {
        // SAFETY: both are alive.
        unsafe { cuda!(cuEventRecord(self.0, stream.0)) }
    }

    /// Waits for it. At once where it was never recorded.
    ///
    /// # Errors
    /// A launch before failed, or the card is lost.
    pub fn wait(&self) -> Result<()> {
        // SAFETY: the event is alive.
        unsafe { cuda!(cuEventSynchronize(self.0)) }
    }

    /// Whether it has happened.
    ///
    /// # Errors
    /// A launch before failed, or the card is lost.
    pub fn happened(&self) -> Result<bool> {
        // SAFETY: the event is alive.
        match unsafe { sys::cuEventQuery(self.0) } {
            sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            answer => done("cuEventQuery", answer).map(|()| true),
        }
    }

    /// Seconds from `start` to this; both are timed and have happened.
    ///
    /// # Errors
    /// One of them has not.
    pub fn seconds_since(&self, start: &Event) -> Result<f64> {
        let mut milliseconds = 0.0;
        // SAFETY: both are alive, and a number is written.
        unsafe { cuda!(cuEventElapsedTime_v2(&mut milliseconds, start.0, self.0))? };
        Ok(f64::from(milliseconds) / 1e3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: destroys what `new` created, once.
        let _ = unsafe { sys::cuEventDestroy_v2(self.0) };
    }
}
