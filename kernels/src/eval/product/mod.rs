//! Products of matrices, in safe code.
//!
//! A result element is the sum, over blocks of at most [`DEPTH`] places of k, of chains of fused multiply-adds in the
//! order of k. The blocks are a matter of the weight's shape alone, so the bits of an element depend neither on how
//! many rows are evaluated together, nor on the threads, nor on the width of the machine's vectors. (A library
//! product chooses its blocks by the sizes it is given and by the caches, and promises none of this.)

mod image;
mod multiply;
mod packed;
mod source;
mod tile;

pub(crate) use image::{Image, unit};
pub(crate) use multiply::{multiply, multiply_wide};
pub use packed::Packed;
pub(crate) use packed::{Elements, Matrix, Stored};
pub(crate) use source::Source;
pub(crate) use tile::{HEIGHT, LANES, Left, Tile, height};

/// Places of k summed in one chain, at most: a tile of weights of this depth stays in the caches next to the core.
pub(crate) const DEPTH: usize = 512;
