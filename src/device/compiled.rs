//! Machine code that is compiled when it is wanted.

use std::borrow::Cow;
use std::collections::BTreeMap;

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
    Ok((card, Class::of_card(major, minor)))
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
    let images = Compiled::new(selected, card.capability)?;
    let mut cuda = Cuda::new(card, plan, &selected.code, &images, Supply::Files(weights))?;
    cuda.set_mode(super::mode());
    Ok(cuda)
}

/// The functions of a plan, compiled for one architecture.
pub struct Compiled {
    /// By symbol.
    images: BTreeMap<String, Vec<u8>>,
}

impl Compiled {
    /// Compiles all functions, on all cores, for cards of a compute capability: none where the code is not for those.
    ///
    /// # Errors
    /// There is no NVRTC, or a function does not compile.
    pub fn new(selected: &Selected, capability: (u32, u32)) -> Result<Compiled, DeviceError> {
        let compiler = Compiler::find().map_err(|why| DeviceError::NoCompiler { why: why.to_string() })?;
        let arch = selected.code.arch(capability);
        let arch = arch.and_then(|arch| ARCHS.iter().find(|known| known.name == arch.name));
        let work: Vec<_> =
            arch.iter().flat_map(|arch| selected.variants.iter().map(|v| (v, *arch))).collect();
        let mut images = BTreeMap::new();
        for ((variant, _), made) in work.iter().zip(compiler.compile_all(&work)) {
            let symbol = variant.symbol();
            let made = made.map_err(|e| DeviceError::Image { symbol: symbol.clone(), why: e.to_string() })?;
            images.insert(symbol, made.cubin);
        }
        Ok(Compiled { images })
    }
}

impl Compiled {
    /// Symbols and machine code of all functions.
    pub fn images(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.images.iter().map(|(symbol, image)| (symbol.as_str(), image.as_slice()))
    }
}

impl Images for Compiled {
    fn image(&self, card: &Card, arch: &Arch, function: &Function) -> Result<Cow<'_, [u8]>, DeviceError> {
        let image = self.images.get(function.symbol.as_ref());
        let none = || DeviceError::NoCode { card: card.name.clone(), arch: arch.name.to_string() };
        image.map(|image| Cow::Borrowed(&image[..])).ok_or_else(none)
    }
}
