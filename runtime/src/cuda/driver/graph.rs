//! Functions of machine code, and graphs of their launches.

use std::ffi::{CString, c_void};
use std::ptr::null_mut;

use cudarc::driver::sys;

use super::{Result, Stream, cuda};
use crate::error::DeviceError;

/// A loaded function, with what every launch of it has in common.
pub struct Kernel {
    module: sys::CUmodule,
    pub(super) function: sys::CUfunction,
    pub(super) threads: u32,
    pub(super) shared: u32,
}

impl Kernel {
    /// Loads the function `symbol` of an image of machine code.
    ///
    /// # Errors
    /// The image is none of this card, has no such function, or the card has not so much shared memory.
    pub fn load(image: &[u8], symbol: &str, threads: u32, shared: u32) -> Result<Kernel> {
        let name =
            CString::new(symbol).map_err(|_| DeviceError::NoFunction { symbol: symbol.to_string() })?;
        let mut kernel = Kernel { module: null_mut(), function: null_mut(), threads, shared };
        // SAFETY: an image is an ELF file, whose length its own header gives, and lives through the call; the
        // function's handle is valid while the module is loaded.
        unsafe {
            cuda!(cuModuleLoadData(&mut kernel.module, image.as_ptr().cast()))?;
            cuda!(cuModuleGetFunction(&mut kernel.function, kernel.module, name.as_ptr()))?;
            let most = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            cuda!(cuFuncSetAttribute(kernel.function, most, shared as i32))?;
        }
        Ok(kernel)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if !self.module.is_null() {
            // SAFETY: unloads what `load` loaded, once.
            let _ = unsafe { sys::cuModuleUnload(self.module) };
        }
    }
}

/// A launch in a graph that is being built.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node(sys::CUgraphNode);

/// Launches and what each waits for.
pub struct Graph(sys::CUgraph);

impl Graph {
    /// # Errors
    /// The card is lost.
    pub fn new() -> Result<Graph> {
        let mut graph = null_mut();
        // SAFETY: the handle is written, and destroyed when this value is dropped.
        unsafe { cuda!(cuGraphCreate(&mut graph, 0))? };
        Ok(Graph(graph))
    }

    /// Adds a launch behind others of this graph.
    ///
    /// # Errors
    /// The launch is refused.
    pub fn add(
        &mut self,
        kernel: &Kernel,
        blocks: u32,
        argument: &mut [u8],
        behind: &[Node],
    ) -> Result<Node> {
        let mut arguments = [argument.as_mut_ptr().cast::<c_void>()];
        let launch = sys::CUDA_KERNEL_NODE_PARAMS {
            func: kernel.function,
            gridDimX: blocks,
            gridDimY: 1,
            gridDimZ: 1,
            blockDimX: kernel.threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: kernel.shared,
            kernelParams: arguments.as_mut_ptr(),
            extra: null_mut(),
            kern: null_mut(),
            ctx: null_mut(),
        };
        let behind: Vec<sys::CUgraphNode> = behind.iter().map(|node| node.0).collect();
        let mut node = null_mut();
        // SAFETY: as for `Stream::launch`; the nodes are of this graph, which the driver checks.
        unsafe { cuda!(cuGraphAddKernelNode_v2(&mut node, self.0, behind.as_ptr(), behind.len(), &launch))? };
        Ok(Node(node))
    }

    /// Makes it ready to be launched.
    ///
    /// # Errors
    /// The card has no memory for it.
    pub fn runnable(self, stream: &Stream) -> Result<Runnable> {
        let mut made = null_mut();
        // SAFETY: the handle is written, and destroyed when the value is dropped; graph and stream are alive.
        unsafe {
            cuda!(cuGraphInstantiateWithFlags(&mut made, self.0, 0))?;
            let made = Runnable(made);
            cuda!(cuGraphUpload(made.0, stream.0))?;
            Ok(made)
        }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: destroys what `new` created, once.
        let _ = unsafe { sys::cuGraphDestroy(self.0) };
    }
}

/// A graph that can be launched, again and again.
pub struct Runnable(pub(super) sys::CUgraphExec);

impl Drop for Runnable {
    fn drop(&mut self) {
        // SAFETY: destroys what `Graph::runnable` made, once.
        let _ = unsafe { sys::cuGraphExecDestroy(self.0) };
    }
}
