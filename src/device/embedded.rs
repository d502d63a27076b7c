//! Machine code that was compiled when this program was built.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;
use zoetrope_generated::Image;
use zoetrope_runtime::cuda::{Card, DeviceError, Images};
use zoetrope_runtime::plan::{Arch, Function};

/// The images in this program.
pub struct Embedded;

/// A function's image.
///
/// # Errors
/// There is none for this architecture.
pub fn find(card: &Card, arch: &Arch, function: &Function) -> Result<&'static Image, DeviceError> {
    Image::find(&arch.name, &function.symbol)
        .ok_or_else(|| DeviceError::NoCode { card: card.name.clone(), arch: arch.name.to_string() })
}

impl Images for Embedded {
    fn image(&self, card: &Card, arch: &Arch, function: &Function) -> Result<Cow<'_, [u8]>, DeviceError> {
        let image = find(card, arch, function)?;
        let mut bytes = Vec::with_capacity(image.bytes);
        ZlibDecoder::new(image.packed())
            .read_to_end(&mut bytes)
            .map_err(|e| DeviceError::Image { symbol: function.symbol.to_string(), why: e.to_string() })?;
        Ok(Cow::Owned(bytes))
    }
}
