//! Machine code that is compiled when it is wanted.

use std::borrow::Cow;

use zoetrope_compiler::{Class, Selected};
use zoetrope_kernels::cuda::{ARCHS, Compiler};
use zoetrope_runtime::cuda::{Card, Cuda, DeviceError, Images, Supply};
use zoetrope_runtime::plan::{Arch, Function, Plan};
use zoetrope_runtime::{Result as RuntimeResult, Weights};

/// The first card, and the class of kernels that code for it is selected from.
///
/// # Errors
/// No driver, or no card.
pub fn first_card() -> RuntimeResult<(Card, Class)> {
    let card = Card::first()?;
    let (major, minor) = card.capability;
    Ok((card, Class::of_device(major, minor)))
}

/// A plan on a card, its kernels compiled now.
///
/// # Errors
/// A card that cannot run it, no NVRTC, or what the driver refuses.
pub fn on_card<'a>(
    card: Card,
    plan: &'a Plan,
    selected: &'a Selected,
    weights: &'a dyn Weights,
) -> RuntimeResult<Cuda<'a>> {
    Cuda::new(card, plan, &selected.code, &Compiled::new(selected)?, Supply::Files(weights))
}

/// What the functions of a plan are compiled from.
pub struct Compiled<'a> {
    compiler: Compiler,
    selected: &'a Selected,
}

impl<'a> Compiled<'a> {
    /// Looks for NVRTC.
    ///
    /// # Errors
    /// It is not there.
    pub fn new(selected: &'a Selected) -> Result<Compiled<'a>, DeviceError> {
        Ok(Compiled { compiler: Compiler::find().ok_or(DeviceError::NoCompiler)?, selected })
    }
}

impl Images for Compiled<'_> {
    fn image(&self, card: &Card, arch: &Arch, function: &Function) -> Result<Cow<'_, [u8]>, DeviceError> {
        let index = self.selected.code.functions.iter().position(|f| f.symbol == function.symbol);
        let variant = index.and_then(|i| self.selected.variants.get(i));
        let known = ARCHS.iter().find(|known| known.name == arch.name);
        let (Some(variant), Some(known)) = (variant, known) else {
            return Err(DeviceError::NoCode { card: card.name.clone(), arch: arch.name.to_string() });
        };
        let made = self.compiler.compile(variant, known);
        let made =
            made.map_err(|e| DeviceError::Image { symbol: function.symbol.to_string(), why: e.to_string() })?;
        Ok(Cow::Owned(made.cubin))
    }
}
