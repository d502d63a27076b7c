//! What can be wrong with a model file, in words for its owner.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{FileDtype, GgufError, Instead};

/// Why a model file, or a tensor in it, cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system refused.
    #[error("{}: cannot be read: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is there, but is no complete and consistent safetensors file.
    #[error("{}: {problem}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: HeaderError,
    },
    /// A text file is none, or says something that cannot be.
    #[error("{}: {problem}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Files of a model that was split do not belong together.
    #[error("{}: {problem}", path.display())]
    Split {
        /// The index, or the folder.
        path: PathBuf,
        /// What is missing or said twice.
        problem: String,
    },
    /// A folder was given that holds no weights.
    #[error("{}: no *.safetensors file in this folder, and no *.gguf (give the folder that holds the weights)", path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The element type cannot become the wanted one.
    #[error("{}: tensor {tensor} is {found}, which cannot be read as {wanted}", path.display())]
    Conversion {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The stored element type.
        found: FileDtype,
        /// The element type asked for.
        wanted: FileDtype,
    },
    /// A stored value is no number.
    #[error("{}: tensor {tensor}: element {element} is {value}, a finite number wanted ({encoding})", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// Which element, counted row by row.
        element: usize,
        /// What it is.
        value: String,
        /// How the tensor is stored.
        encoding: String,
    },
    /// The place for a tensor's values has another size than the values.
    #[error("{}: tensor {tensor} needs {wanted} bytes as {dtype}, its place has {given}", path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The element type asked for.
        dtype: FileDtype,
        /// The size of the converted values.
        wanted: usize,
        /// The size of the place.
        given: usize,
    },
}

impl FileError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> FileError {
        move |source| FileError::Io { path: path.to_owned(), source }
    }

    /// The file or folder that the error is about.
    pub fn path(&self) -> &Path {
        match self {
            FileError::Io { path, .. }
            | FileError::Header { path, .. }
            | FileError::Text { path, .. }
            | FileError::Split { path, .. }
            | FileError::EmptyFolder { path }
            | FileError::Conversion { path, .. }
            | FileError::NotFinite { path, .. }
            | FileError::Place { path, .. } => path,
        }
    }
}

/// What is wrong with the contents of a tensor file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// It is something else.
    #[error("this is {}, neither a safetensors file with its header nor a GGUF file ({})", .0.found, .0.help)]
    OtherFormat(Instead),
    /// It is a GGUF file, with something wrong in it.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The length in the first eight bytes cannot be true.
    #[error(
        "no safetensors file: its first 8 bytes say a header of {length} bytes, but the format allows {max}; and no GGUF file: \
         its magic is {magic:?}"
    )]
    HeaderLength {
        /// The length that the file claims.
        length: u64,
        /// The longest that is allowed.
        max: usize,
        /// The first four bytes, as text.
        magic: String,
    },
    /// The file ends too early.
    #[error(
        "truncated: {expected} bytes wanted, {actual} found, {} bytes are missing (download the file again)",
        .expected.saturating_sub(*.actual)
    )]
    Truncated {
        /// Bytes that the file must have.
        expected: u64,
        /// Bytes that it has.
        actual: u64,
    },
    /// The file ends inside its header.
    #[error("truncated: {expected} bytes wanted for the header, {actual} found (download the file again)")]
    HeaderCut {
        /// Bytes until the end of the header.
        expected: u64,
        /// Bytes that it has.
        actual: u64,
    },
    /// The file goes on after the last tensor.
    #[error("{actual} bytes found, but the header describes {expected} (download the file again)")]
    Trailing {
        /// Bytes that the header describes.
        expected: u64,
        /// Bytes that the file has.
        actual: u64,
    },
    /// The header is no JSON of the expected form.
    #[error("the header is not what safetensors prescribes: {0}")]
    Json(String),
    /// An element type that this program does not know.
    #[error("tensor {tensor}: unknown element type {dtype}")]
    Dtype {
        /// The tensor's name.
        tensor: String,
        /// The unknown name.
        dtype: String,
    },
    /// Shape and element type give more bytes than a machine can address, or no whole number of bytes.
    #[error("tensor {tensor}: {dtype} of shape {shape} has no size in bytes")]
    Shape {
        /// The tensor's name.
        tensor: String,
        /// Its element type.
        dtype: FileDtype,
        /// Its shape, as text.
        shape: String,
    },
    /// The place in the file does not have the size of the tensor.
    #[error("tensor {tensor}: {dtype} of shape {shape} has {wanted} bytes, but its place is {begin}..{end}")]
    Size {
        /// The tensor's name.
        tensor: String,
        /// Its element type.
        dtype: FileDtype,
        /// Its shape, as text.
        shape: String,
        /// Bytes that shape and element type give.
        wanted: usize,
        /// First byte in the data section.
        begin: u64,
        /// Byte after the last.
        end: u64,
    },
    /// Two tensors share bytes.
    #[error("tensors {first} and {second} overlap at byte {at} of the data")]
    Overlap {
        /// The tensor that begins first.
        first: String,
        /// The tensor that begins inside it.
        second: String,
        /// Where the second begins.
        at: u64,
    },
    /// Bytes that belong to no tensor.
    #[error("{bytes} bytes before tensor {tensor} belong to no tensor")]
    Gap {
        /// The tensor after the gap.
        tensor: String,
        /// The size of the gap.
        bytes: u64,
    },
}
