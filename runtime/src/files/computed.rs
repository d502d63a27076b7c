//! Tensors whose values are not those of a file.

use zoetrope_encodings::Matrix;

use super::{FileDtype, FileError};

/// Computes the values of a tensor when they are read: those of its file with something added, or none of a file at all.
pub trait Computed: Sync {
    /// Writes the elements from `first` on as `dtype`, which is F32, F16 or BF16, as many as `out` has room for. Each is
    /// rounded once, and its bits do not depend on what else is asked for with it.
    ///
    /// # Errors
    /// What the values are made of cannot be read.
    fn read(&self, dtype: FileDtype, first: usize, out: &mut [u8]) -> Result<(), FileError>;

    /// The elements as they are stored, where their values are those of a stored matrix and nothing else.
    fn stored(&self) -> Option<Matrix<'_>> {
        None
    }

    /// Stored bytes that the values are made of beside those of the tensor: scales.
    fn beside(&self) -> &[u8] {
        &[]
    }
}
