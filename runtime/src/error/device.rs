//! What can be wrong with a card, in words for whoever wants to use it.

use thiserror::Error as ThisError;

use crate::plan::memory_text;

/// Why a plan does not run on a card.
#[derive(Clone, Debug, ThisError)]
pub enum DeviceError {
    #[error(
        "there is no NVIDIA driver on this machine\n  want  libcuda.so.1\n  help  install the driver, version 580 or newer, or use --device cpu"
    )]
    NoDriver,
    #[error(
        "the NVIDIA driver is too old\n  have  one for CUDA {}.{}\n  want  one for CUDA {}.{} (version 580 or newer)",
        have / 1000, have % 1000 / 10, want / 1000, want % 1000 / 10
    )]
    OldDriver { have: i32, want: i32 },
    #[error(
        "the NVIDIA driver finds no card\n  help  nvidia-smi shows what it finds; --device cpu needs none"
    )]
    NoCard,
    #[error(
        "{card} has compute capability {}.{}, which no kernel is made for\n  want  {known}",
        capability.0, capability.1
    )]
    OtherCard { card: String, capability: (u32, u32), known: String },
    #[error(
        "this program has no machine code for {card} (sm_{arch})\n  help  build it where NVRTC is found (pip install nvidia-cuda-nvrtc==13.0.88, ZOETROPE_CUDA=its folder), with the feature sm-{arch}"
    )]
    NoCode { card: String, arch: String },
    #[error(
        "{why}; NVRTC compiles the kernels of this command\n  help  pip install nvidia-cuda-nvrtc==13.0.88, and set ZOETROPE_CUDA to its folder (the one with lib in it)"
    )]
    NoCompiler { why: String },
    #[error("the code of plan {have} was asked to run plan {want}")]
    OtherPlan { have: String, want: String },
    #[error("the machine code has no function {symbol}")]
    NoFunction { symbol: String },
    #[error("the machine code of {symbol} cannot be read: {why}")]
    Image { symbol: String, why: String },
    #[error(
        "{card} has too little free memory for plan {plan}\n  want  {} for the plan, and {} for the driver and the code\n  have  {} free of {}\n  help  end other programs that use the card, or build with ZOETROPE_VRAM={}GiB for a plan that streams its weights",
        memory_text(*needed), memory_text(*reserve), memory_text(*free), memory_text(*total), free >> 30
    )]
    Memory { card: String, plan: String, needed: u64, reserve: u64, free: u64, total: u64 },
    #[error(
        "the NVIDIA driver refuses {call}: {code}, {text}\n  help  nvidia-smi and the system's log tell how the card is; with CUDA_LAUNCH_BLOCKING=1 an error names the launch that made it"
    )]
    Call { call: &'static str, code: String, text: String },
    #[error("launch {number}, function {function} at {path}: {why}")]
    Launch { number: u32, function: String, path: String, why: String },
}

impl DeviceError {
    /// Whether the driver says that there is not so much memory.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, DeviceError::Call { code, .. } if code == "CUDA_ERROR_OUT_OF_MEMORY")
    }
}
