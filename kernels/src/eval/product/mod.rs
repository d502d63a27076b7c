//! Products of matrices, in safe code.
//!
//! A result element is the sum, over blocks of [`DEPTH`] places of k, of a chain of fused multiply-adds in the order
//! of k. That is its definition: its bits depend neither on how many rows are evaluated together, nor on the
//! threads, nor on the width of the machine's vectors. (A library product chooses its blocks by the sizes it is
//! given and by the caches, and so promises none of this.)

mod image;
mod multiply;
mod packed;
mod source;
mod tile;

pub(crate) use image::Image;
pub(crate) use multiply::{multiply, multiply_wide};
pub use packed::Packed;
pub(crate) use packed::{Elements, Matrix, Stored};
pub(crate) use source::{Source, Strided, interleave};
pub(crate) use tile::{HEIGHT, LANES, Tile, height};

/// Places of k summed in one chain: a tile of weights of this depth stays in the first-level cache.
pub(crate) const DEPTH: usize = 384;
