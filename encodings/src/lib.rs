//! How the numbers of a matrix are stored in model files: one formula for each encoding, from raw bytes to f32.
//!
//! An [`Encoding`] says what bytes mean, a [`Matrix`] has the bytes. [`Matrix::decode`] is the meaning: every other way to
//! read these bytes has to give its bits.

#![deny(unsafe_code)]

mod blocks;
mod gguf;
mod kept;
mod lanes;
mod matrix;
mod number;
mod rotation;
mod scaled;
mod tiles;

use std::fmt;

pub use blocks::Blocks;
pub use gguf::GgufBlock;
pub use kept::{ALIGN as ROW_ALIGN, Kept};
pub use matrix::Matrix;
pub use number::{Code, Number, e2m1, e4m3, e5m2, e8m0};
pub use rotation::{is_group, rotate};
pub use tiles::{tile_place, tiled};

/// How the numbers of a matrix are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// Each number for itself.
    Plain(Number),
    /// An 8-bit number times the f32 scale of its block.
    Scaled {
        /// The 8-bit number.
        code: Code,
        /// What a scale is for.
        blocks: Blocks,
    },
    /// int8 times the f32 scale of its block, and each group of columns rotated (ConvRot).
    Rotated {
        /// What a scale is for.
        blocks: Blocks,
        /// Columns that are rotated together: a power of 4.
        group: usize,
    },
    /// E4M3 times a power of two for 32 columns; scales in tiles.
    Mxfp8,
    /// E2M1 times an E4M3 scale for 16 columns and an f32 scale for all; scales in tiles.
    Nvfp4,
    /// Blocks of GGUF that hold their scales.
    Gguf(GgufBlock),
}

impl Encoding {
    /// Columns of a row that can only be decoded together. All granules divide 256.
    pub const fn granule(self) -> usize {
        match self {
            Encoding::Plain(_) | Encoding::Scaled { .. } => 1,
            Encoding::Rotated { group, .. } => group,
            Encoding::Mxfp8 => 32,
            Encoding::Nvfp4 => 16,
            Encoding::Gguf(block) => block.elements(),
        }
    }

    /// Bytes of the codes of a matrix; `None` where its rows are no whole number of granules, or too long for a machine.
    pub fn code_bytes(self, rows: usize, columns: usize) -> Option<usize> {
        if !columns.is_multiple_of(self.granule()) {
            return None;
        }
        let elements = rows.checked_mul(columns)?;
        match self {
            Encoding::Plain(number) => elements.checked_mul(number.bytes()),
            Encoding::Scaled { .. } | Encoding::Rotated { .. } | Encoding::Mxfp8 => Some(elements),
            Encoding::Nvfp4 => Some(elements / 2),
            Encoding::Gguf(block) => (elements / block.elements()).checked_mul(block.bytes()),
        }
    }

    /// Bytes of the scales that stand beside the codes; `None` where they are too many for a machine.
    pub fn scale_bytes(self, rows: usize, columns: usize) -> Option<usize> {
        match self {
            Encoding::Plain(_) | Encoding::Gguf(_) => Some(0),
            Encoding::Scaled { blocks, .. } | Encoding::Rotated { blocks, .. } => {
                let [rows, columns] = blocks.counts(rows, columns);
                rows.checked_mul(columns)?.checked_mul(4)
            }
            Encoding::Mxfp8 => tiled(rows, columns / 32).map(|[rows, columns]| rows * columns),
            Encoding::Nvfp4 => tiled(rows, columns / 16).map(|[rows, columns]| rows * columns),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Encoding::Plain(number) => f.write_str(number.name()),
            Encoding::Scaled { code, blocks } => write!(f, "{} with a scale {blocks}", code.name()),
            Encoding::Rotated { blocks, group } => {
                write!(f, "int8 with a scale {blocks}, rotated by {group}")
            }
            Encoding::Mxfp8 => f.write_str("mxfp8"),
            Encoding::Nvfp4 => f.write_str("nvfp4"),
            Encoding::Gguf(block) => f.write_str(block.name()),
        }
    }
}
