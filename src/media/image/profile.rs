//! Colours of an embedded profile as sRGB.

use image::DynamicImage;
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

/// The pixels of a picture as sRGB of 8 bits, [height, width, 3], without alpha; and why its profile was left out, where
/// it was.
pub(super) fn to_srgb(picture: DynamicImage, profile: Option<&[u8]>) -> (Vec<u8>, Option<String>) {
    let Some(profile) = profile else { return (picture.into_rgb8().into_raw(), None) };
    let (layout, space, bytes) = match picture.color().has_color() {
        true => (Layout::Rgb, DataColorSpace::Rgb, picture.to_rgb8().into_raw()),
        false => (Layout::Gray, DataColorSpace::Gray, picture.to_luma8().into_raw()),
    };
    match converted(&bytes, layout, space, profile) {
        Ok(rgb) => (rgb, None),
        Err(reason) => {
            let note = format!("its colour profile is left out, and its colours are taken as sRGB: {reason}");
            (picture.into_rgb8().into_raw(), Some(note))
        }
    }
}

fn converted(
    pixels: &[u8],
    layout: Layout,
    space: DataColorSpace,
    profile: &[u8],
) -> Result<Vec<u8>, String> {
    let said = |error: moxcms::CmsError| error.to_string();
    let profile = ColorProfile::new_from_slice(profile).map_err(said)?;
    if profile.color_space != space {
        return Err(format!("it is one of {:?}, for a picture of {space:?}", profile.color_space));
    }
    let options = TransformOptions::default();
    let transform = profile.create_transform_8bit(layout, &ColorProfile::new_srgb(), Layout::Rgb, options);
    let channels = if layout == Layout::Gray { 1 } else { 3 };
    let mut rgb = vec![0; pixels.len() / channels * 3];
    transform.map_err(said)?.transform(pixels, &mut rgb).map_err(said)?;
    Ok(rgb)
}
