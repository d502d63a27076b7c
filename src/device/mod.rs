//! Where a plan runs: the CPU or a card, and where the card's machine code comes from.

#[cfg(feature = "cuda")]
pub mod compiled;
#[cfg(feature = "cuda")]
pub mod embedded;

use clap::ValueEnum;
#[cfg(not(feature = "cuda"))]
use zoetrope_runtime::Error;
use zoetrope_runtime::Result;
use zoetrope_runtime::plan::Plan;

/// Where to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// On the NVIDIA card where there is one and this program has machine code for it, else on the CPU
    #[default]
    Auto,
    Cpu,
    /// On the first NVIDIA card
    Cuda,
}

/// How a run launches on a card: as graphs, or, where `CUDA_LAUNCH_BLOCKING=1` asks for it as of any CUDA program, one by
/// one, so that an error names the launch.
#[cfg(feature = "cuda")]
pub fn mode() -> zoetrope_runtime::cuda::Mode {
    use zoetrope_runtime::cuda::Mode;
    if std::env::var_os("CUDA_LAUNCH_BLOCKING").is_some_and(|asked| asked == "1") {
        Mode::Checked
    } else {
        Mode::Graphs
    }
}

/// What a device turned out to be.
#[derive(Clone)]
pub enum Chosen {
    Cpu,
    #[cfg(feature = "cuda")]
    Card(zoetrope_runtime::cuda::Card, &'static zoetrope_runtime::plan::Code),
}

impl Device {
    /// Decides for one of the plans in this program.
    ///
    /// # Errors
    /// A card is wanted, and there is none that this program can use.
    #[cfg(feature = "cuda")]
    pub fn choose(self, plan: &Plan) -> Result<Chosen> {
        use zoetrope_runtime::cuda::{Card, DeviceError};
        if self == Device::Cpu {
            return Ok(Chosen::Cpu);
        }
        let found = Card::first().and_then(|card| {
            if zoetrope_generated::CODES.is_empty() {
                let (major, minor) = card.capability;
                return Err(DeviceError::NoCode { card: card.name, arch: format!("{major}{minor}") });
            }
            let code = zoetrope_generated::code(&plan.name, card.capability).ok_or_else(|| {
                let known: Vec<String> = zoetrope_generated::CODES
                    .iter()
                    .flat_map(|code| code.archs.iter().flat_map(|arch| arch.serves.iter()))
                    .map(|(major, minor)| format!("{major}.{minor}"))
                    .collect();
                let (name, capability) = (card.name.clone(), card.capability);
                DeviceError::OtherCard { card: name, capability, known: known.join(", ") }
            })?;
            // Found out now, before anything is loaded.
            if let (Some(arch), Some(function)) = (code.arch(card.capability), code.functions.first()) {
                embedded::find(&card, arch, function)?;
            }
            Ok((card, code))
        });
        match (self, found) {
            (_, Ok((card, code))) => Ok(Chosen::Card(card, code)),
            (Device::Cuda, Err(error)) => Err(error.into()),
            (_, Err(DeviceError::NoDriver | DeviceError::NoCard)) => Ok(Chosen::Cpu),
            (_, Err(error)) => {
                crate::terminal::note(format_args!("running on the CPU: {error}"));
                Ok(Chosen::Cpu)
            }
        }
    }

    /// Decides for one of the plans in this program.
    ///
    /// # Errors
    /// A card is wanted, and this program was built without CUDA.
    #[cfg(not(feature = "cuda"))]
    pub fn choose(self, _plan: &Plan) -> Result<Chosen> {
        if self == Device::Cuda { Err(Error::WithoutCuda) } else { Ok(Chosen::Cpu) }
    }
}
