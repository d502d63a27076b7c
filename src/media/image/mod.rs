//! Pictures on their way in: files of users to what the video encoder takes (docs/model/pipelines.md 2.3).
//!
//! [`Image::open`] reads a file once, and [`Image::fit`] makes a frame of any size of it: a run with two stages wants
//! two.

mod decode;
mod error;
mod fit;
mod jpeg;
mod profile;
mod reencode;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub use error::ImageError;
use error::Problem;
pub(super) use fit::fit_rgb;
use fit::stretch_rgb;

use super::source::{Colours, rgb};

/// The compression that a picture goes through unless a user says otherwise: the model was trained on frames of videos.
pub const DEFAULT_CRF: u8 = 33;

/// The strongest compression there is.
pub const MAX_CRF: u8 = 51;

/// Bytes of a file. A photograph of 100 megapixels has 100 MB, as 16-bit PNG 600.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// A picture: sRGB without alpha, the right way up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    /// [height, width, 3].
    rgb: Vec<u8>,
    notes: Vec<String>,
}

impl Image {
    /// Reads a PNG, a JPEG or a WebP, and compresses it as a frame of a video is: `crf` is from 0, which changes
    /// nothing, to [`MAX_CRF`].
    ///
    /// # Errors
    /// A file that cannot be read, is no such picture, is damaged, or is too large; all name it.
    pub fn open(path: &Path, crf: u8) -> Result<Image, ImageError> {
        Image::read(path)?.compressed(path, crf)
    }

    /// As [`Image::open`], with the picture as it was before the compression in front.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn open_whole(path: &Path, crf: u8) -> Result<[Image; 2], ImageError> {
        // Once: a pipe has nothing left for a second time.
        let whole = Image::read(path)?;
        Ok([whole.clone(), whole.compressed(path, crf)?])
    }

    fn read(path: &Path) -> Result<Image, ImageError> {
        let image = bytes(path).map_err(Problem::Read).and_then(|bytes| decode::decode(&bytes));
        image.map_err(|problem| ImageError::new(path, problem))
    }

    fn compressed(self, path: &Path, crf: u8) -> Result<Image, ImageError> {
        let made = reencode::reencode(self, crf.min(MAX_CRF));
        made.map_err(|reason| ImageError::new(path, Problem::Reencode(reason)))
    }

    /// A frame of 8-bit 4:2:0, as a plan leaves it: planes of luma, blue and red difference, `width` pixels wide.
    pub fn of_planes(planes: &[u8], width: usize) -> Image {
        let luma = planes.len() / 3 * 2;
        let ((luma, differences), height) = (planes.split_at(luma), luma / width.max(1));
        let (blue, red) = differences.split_at(differences.len() / 2);
        let rgb = rgb(
            [(luma, width), (blue, width / 2), (red, width / 2)],
            [width, height],
            [2, 2],
            Colours::BT709,
        );
        Image { width, height, rgb, notes: Vec::new() }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// What of the file was left out or read over, in words.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The middle of the picture as a frame, [3, height, width] in −1..1: scaled to cover it, bilinear without
    /// antialiasing.
    pub fn fit(&self, width: usize, height: usize) -> Vec<f32> {
        fit_rgb(&self.rgb, (self.width, self.height), (width, height))
    }

    /// All of the picture as a frame, [3, height, width] in −1..1, as the text encoder is shown it (docs/model/text.md 5): first
    /// its long side becomes that of the frame, then the short one is stretched. Both bilinear without antialiasing, in 8
    /// bits.
    pub fn stretched(&self, width: usize, height: usize) -> Vec<f32> {
        stretch_rgb(&self.rgb, (self.width, self.height), (width, height))
    }
}

/// All of a file; it may come out of a pipe.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Counted while reading: a pipe has no length, and a file may grow.
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_FILE_BYTES {
        true => {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {MAX_FILE_BYTES} bytes")))
        }
        false => Ok(bytes),
    }
}
