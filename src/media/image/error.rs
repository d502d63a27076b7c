//! What can be wrong with a picture that a user gives.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::decode::MAX_PIXELS;

/// A picture that cannot be used: which file, and why. It is the request that is wrong.
#[derive(Debug)]
pub struct ImageError {
    path: PathBuf,
    problem: Problem,
}

/// Why.
#[derive(Debug)]
pub(super) enum Problem {
    Read(io::Error),
    Empty,
    /// What it seems to be, where that is known.
    Format(Option<String>),
    Size {
        width: u32,
        height: u32,
    },
    /// Decoding takes more than is allowed, whatever the size is.
    Memory,
    /// A rare kind of one of the formats.
    Unsupported(String),
    /// Inks instead of light.
    Cmyk,
    Truncated,
    Damaged(String),
    Reencode(String),
}

impl ImageError {
    pub(super) fn new(path: &Path, problem: Problem) -> ImageError {
        ImageError { path: path.to_path_buf(), problem }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Read(error) => write!(f, "cannot read image {path}: {error}"),
            Problem::Empty => write!(f, "image {path} is an empty file"),
            Problem::Format(found) => {
                write!(f, "{path} is no image that can be read\n  want  PNG, JPEG or WebP")?;
                found.as_ref().map_or(Ok(()), |found| write!(f, "\n  have  {found}"))
            }
            Problem::Size { width, height } => write!(
                f,
                "image {path} is too large\n  want  at most {MAX_PIXELS} pixels\n  have  {width}x{height}"
            ),
            Problem::Memory => write!(f, "image {path} takes too much memory to be read"),
            Problem::Unsupported(reason) => {
                write!(
                    f,
                    "image {path} is of a kind that cannot be read: {reason}\n  help  save it as a usual PNG or JPEG"
                )
            }
            Problem::Cmyk => write!(
                f,
                "image {path} has inks instead of light\n  want  RGB or greyscale\n  have  CMYK\n  \
                 help  convert it to sRGB, with the profile of the press that it was made for"
            ),
            Problem::Truncated => write!(f, "image {path} ends too early: it is truncated"),
            Problem::Damaged(reason) => write!(f, "image {path} is damaged: {reason}"),
            Problem::Reencode(reason) => write!(
                f,
                "image {path} cannot be compressed as a frame of a video: {reason}\n  help  with a CRF of 0 it is taken as it is"
            ),
        }
    }
}

impl std::error::Error for ImageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Read(error) => Some(error),
            _ => None,
        }
    }
}
