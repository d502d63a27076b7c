//! Bytes of a file to pixels.

use std::io::{Cursor, ErrorKind};

use image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use image::{DynamicImage, ImageDecoder, ImageFormat, Limits};

use super::error::Problem;
use super::{Image, jpeg, profile};

/// More than any camera of today makes in one picture.
pub(super) const MAX_PIXELS: u64 = 160_000_000;
/// What decoders may take beside the file: eight bytes for each of these pixels, and some.
const MAX_DECODER_BYTES: u64 = 1536 << 20;

/// The picture in `file`. Of an animation that is the first one.
pub(super) fn decode(file: &[u8]) -> Result<Image, Problem> {
    if file.is_empty() {
        return Err(Problem::Empty);
    }
    let reader = || Cursor::new(file);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    match image::guess_format(file) {
        Ok(ImageFormat::Png) => {
            let decoder = PngDecoder::with_limits(reader(), limits).map_err(problem)?;
            let moves = decoder.is_apng().map_err(problem)?;
            pixels(decoder, moves)
        }
        Ok(ImageFormat::WebP) => {
            // The decoder does not miss the last bytes. One more may fill up the last chunk, and is left out by some.
            let said = file.get(4..8).and_then(|size| size.try_into().ok()).map_or(0, u32::from_le_bytes);
            if file.len() as u64 + 1 < u64::from(said) + 8 {
                return Err(Problem::Truncated);
            }
            let mut decoder = WebPDecoder::new(reader()).map_err(problem)?;
            decoder.set_limits(limits).map_err(problem)?;
            let moves = decoder.has_animation();
            pixels(decoder, moves)
        }
        Ok(ImageFormat::Jpeg) => {
            let markers = jpeg::markers(file);
            if markers.rare {
                let kind = "a JPEG that is lossless, arithmetically coded or of more than 8 bits";
                return Err(Problem::Unsupported(kind.to_string()));
            }
            if markers.components == Some(4) {
                return Err(Problem::Cmyk);
            }
            // The decoder fills up what is missing with grey.
            if !markers.ends {
                return Err(Problem::Truncated);
            }
            let mut decoder = JpegDecoder::new(reader()).map_err(problem)?;
            decoder.set_limits(limits).map_err(problem)?;
            pixels(decoder, false)
        }
        Ok(other) => Err(Problem::Format(Some(format!("{other:?}").to_uppercase()))),
        Err(_) => Err(Problem::Format(phone(file))),
    }
}

/// What phones write unless they are told otherwise, by the brand in the header of its container.
fn phone(file: &[u8]) -> Option<String> {
    let brand = file.get(4..12)?.strip_prefix(b"ftyp")?;
    let heic =
        [b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"].into_iter().any(|b| b == brand);
    heic.then(|| "HEIC".to_string())
}

fn pixels(mut decoder: impl ImageDecoder, moves: bool) -> Result<Image, Problem> {
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Problem::Size { width, height });
    }
    let orientation = decoder.orientation().map_err(problem)?;
    let profile = decoder.icc_profile().map_err(problem)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(problem)?;
    picture.apply_orientation(orientation);
    let mut notes = Vec::new();
    if moves {
        notes.push("it is animated: its first frame is taken".to_string());
    }
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    // 8 bits as the reference has them; alpha is left out, not blended.
    let (rgb, trouble) = profile::to_srgb(picture, profile.as_deref());
    notes.extend(trouble);
    Ok(Image { width, height, rgb, notes })
}

fn problem(error: image::ImageError) -> Problem {
    // In one line and without a full stop, whatever the decoder says.
    let said = error.to_string();
    let said = said.trim_end_matches('.').split_whitespace().collect::<Vec<_>>().join(" ");
    match error {
        image::ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Problem::Truncated,
        image::ImageError::Unsupported(_) => Problem::Unsupported(said),
        image::ImageError::Limits(_) => Problem::Memory,
        _ => Problem::Damaged(said),
    }
}
