//! The CUDA driver, as far as a replay needs it: owned handles with safe methods. All `unsafe` code of the CUDA
//! executor is in this folder.
//!
//! Addresses of the card's memory are numbers. A wrong one can spoil what is in that memory or make a launch fail; it
//! cannot reach the memory of this process, which is why launching is safe here. That addresses are right is shown by
//! the compiler's verifiers.

#![allow(unsafe_code)]

mod graph;
mod memory;
mod stream;
mod tensor_map;

pub use graph::{Graph, Kernel, Node, Runnable};
pub use memory::{Memory, Pinned};
pub use stream::{Event, Stream};
pub use tensor_map::tensor_map;

use std::ffi::CStr;
use std::ptr::null_mut;

use cudarc::driver::sys;

use crate::error::DeviceError;

type Result<T> = std::result::Result<T, DeviceError>;

/// The oldest driver that loads what NVRTC 13.0 makes.
pub const OLDEST_DRIVER: i32 = 13_000;

/// Passes a driver's answer on, with the name of the call.
fn done(call: &'static str, answer: sys::CUresult) -> Result<()> {
    let Err(error) = answer.result() else { return Ok(()) };
    let text = |found: std::result::Result<&CStr, _>| {
        found.map_or(String::new(), |text: &CStr| text.to_string_lossy().into_owned())
    };
    Err(DeviceError::Call { call, code: text(error.error_name()), text: text(error.error_string()) })
}

/// Calls a function of the driver and names it in its error.
macro_rules! cuda {
    ($name:ident($($argument:expr),* $(,)?)) => {
        $crate::cuda::driver::done(stringify!($name), cudarc::driver::sys::$name($($argument),*))
    };
}
use cuda;

/// A card.
#[derive(Clone, Debug)]
pub struct Card {
    device: sys::CUdevice,
    pub name: String,
    /// Compute capability.
    pub capability: (u32, u32),
    /// Multiprocessors.
    pub processors: u32,
    /// Whether its memory is the host's. What the driver then calls free leaves out what the system would make free.
    pub integrated: bool,
}

impl Card {
    /// The first card.
    ///
    /// # Errors
    /// No driver, one that is too old, or no card.
    pub fn first() -> Result<Card> {
        // SAFETY: asks the loader whether the driver's library is there, and nothing else.
        if !unsafe { sys::is_culib_present() } {
            return Err(DeviceError::NoDriver);
        }
        let (mut version, mut count, mut device) = (0, 0, 0);
        // SAFETY: every pointer is to a variable of the type that the driver writes.
        unsafe {
            cuda!(cuDriverGetVersion(&mut version))?;
            if version < OLDEST_DRIVER {
                return Err(DeviceError::OldDriver { have: version, want: OLDEST_DRIVER });
            }
            match sys::cuInit(0) {
                sys::CUresult::CUDA_ERROR_NO_DEVICE => return Err(DeviceError::NoCard),
                // A toolkit has such a library, to link programs where there is no driver.
                sys::CUresult::CUDA_ERROR_STUB_LIBRARY => return Err(DeviceError::NoDriver),
                answer => done("cuInit", answer)?,
            }
            cuda!(cuDeviceGetCount(&mut count))?;
            if count < 1 {
                return Err(DeviceError::NoCard);
            }
            cuda!(cuDeviceGet(&mut device, 0))?;
        }
        let mut name = [0u8; 256];
        let (mut major, mut minor, mut processors, mut integrated) = (0, 0, 0, 0);
        use sys::CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
            CU_DEVICE_ATTRIBUTE_INTEGRATED as INTEGRATED,
            CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT as PROCESSORS,
        };
        // SAFETY: the driver is there and has this card; the text's length is given, and it writes numbers.
        unsafe {
            cuda!(cuDeviceGetName(name.as_mut_ptr().cast(), name.len() as i32 - 1, device))?;
            cuda!(cuDeviceGetAttribute(&mut major, MAJOR, device))?;
            cuda!(cuDeviceGetAttribute(&mut minor, MINOR, device))?;
            cuda!(cuDeviceGetAttribute(&mut processors, PROCESSORS, device))?;
            cuda!(cuDeviceGetAttribute(&mut integrated, INTEGRATED, device))?;
        }
        let name =
            CStr::from_bytes_until_nul(&name).map_or(String::new(), |n| n.to_string_lossy().into_owned());
        let (capability, processors) = ((major as u32, minor as u32), processors.max(1) as u32);
        Ok(Card { device, name, capability, processors, integrated: integrated != 0 })
    }
}

/// A card in use by this thread. Everything else here must be dropped before it.
pub struct Context {
    device: sys::CUdevice,
}

impl Context {
    /// Makes the card's context that of this thread.
    ///
    /// # Errors
    /// The card is lost, or another program has it for itself.
    pub fn of(card: &Card) -> Result<Context> {
        let mut context = null_mut();
        // SAFETY: the card is the driver's own; the context is released when this value is dropped.
        unsafe {
            cuda!(cuDevicePrimaryCtxRetain(&mut context, card.device))?;
            let kept = Context { device: card.device };
            cuda!(cuCtxSetCurrent(context))?;
            Ok(kept)
        }
    }

    /// Free and all memory of the card, in bytes.
    ///
    /// # Errors
    /// The card is lost.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: two numbers are written.
        unsafe { cuda!(cuMemGetInfo_v2(&mut free, &mut total))? };
        Ok((free as u64, total as u64))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: releases what `of` retained, once.
        let _ = unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device) };
    }
}
