//! What can be wrong with a GGUF file, in words for its owner.

use thiserror::Error;

const TYPES: &str =
    "F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q4_K, Q3_K, Q2_K, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL or IQ4_XS";

/// Why a GGUF file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GgufError {
    /// Another version of the format.
    #[error("version {0} of GGUF, 2 or 3 wanted")]
    Version(u32),
    /// The bytes of numbers are in the other order.
    #[error("this is a big-endian GGUF file, a little-endian one wanted")]
    BigEndian,
    /// The file ends inside its header.
    #[error("truncated: the file ends inside its header, at byte {at} of {actual} (download the file again)")]
    HeaderCut {
        /// Where something is missing.
        at: u64,
        /// Bytes of the file.
        actual: u64,
    },
    /// The file ends inside a tensor.
    #[error(
        "truncated: {expected} bytes wanted, {actual} found: tensor {tensor} with offset {offset} is not whole (download the file again)"
    )]
    Truncated {
        /// Bytes until the tensor's end.
        expected: u64,
        /// Bytes of the file.
        actual: u64,
        /// The tensor.
        tensor: String,
        /// Where it begins in the data.
        offset: u64,
    },
    /// Bytes that should be text are none.
    #[error("the header is not what GGUF prescribes: no UTF-8 text at byte {at}")]
    Text {
        /// Where it begins.
        at: usize,
    },
    /// A kind of metadata that the format does not have.
    #[error("the header is not what GGUF prescribes: {key} has a value of the unknown kind {kind}")]
    Kind {
        /// The key.
        key: String,
        /// The number of the kind.
        kind: u32,
    },
    /// Arrays in arrays.
    #[error("the header is not what GGUF prescribes: {key} has arrays inside arrays, too deep to read")]
    Depth {
        /// The key.
        key: String,
    },
    /// Something has a name that is taken.
    #[error("{what} {name} stands there twice")]
    Twice {
        /// Key or tensor.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The distance of tensors is no power of two.
    #[error("general.alignment is no power of two")]
    Alignment,
    /// A tensor has too many extents.
    #[error("tensor {tensor} has {count} dimensions, at most 4 wanted")]
    Dimensions {
        /// The tensor.
        tensor: String,
        /// How many.
        count: u32,
    },
    /// More bytes than a machine can address.
    #[error("tensor {tensor} has a shape without a size in bytes")]
    Size {
        /// The tensor.
        tensor: String,
    },
    /// A row is no whole number of blocks.
    #[error("tensor {tensor} has rows of {row}, and {name} has blocks of {block}")]
    Row {
        /// The tensor.
        tensor: String,
        /// Its type.
        name: &'static str,
        /// Elements of a row.
        row: usize,
        /// Elements of a block.
        block: usize,
    },
    /// A type that is known and not read.
    #[error("tensor {tensor} is {name} (type {id}), which is not read: {TYPES} wanted")]
    NotRead {
        /// The tensor.
        tensor: String,
        /// The number of its type.
        id: u32,
        /// The name of its type.
        name: &'static str,
    },
    /// A type that the format once had.
    #[error("tensor {tensor} is {name} (type {id}), which was removed from GGUF: {TYPES} wanted")]
    Removed {
        /// The tensor.
        tensor: String,
        /// The number of its type.
        id: u32,
        /// The name of its type.
        name: &'static str,
    },
    /// A type that this program has never heard of.
    #[error("tensor {tensor} has the unknown type {id}: {TYPES} wanted")]
    Unknown {
        /// The tensor.
        tensor: String,
        /// The number of its type.
        id: u32,
    },
    /// A tensor does not begin where one can.
    #[error("tensor {tensor} has the offset {offset}: a multiple of {alignment} inside the file wanted")]
    Offset {
        /// The tensor.
        tensor: String,
        /// Where it begins in the data.
        offset: u64,
        /// What offsets are multiples of.
        alignment: u64,
    },
    /// The real shape that the metadata names has other elements.
    #[error("tensor {tensor}: comfy.gguf.orig_shape names a shape of another size")]
    Shape {
        /// The tensor.
        tensor: String,
    },
    /// Two tensors share bytes.
    #[error("tensors {first} and {second} overlap")]
    Overlap {
        /// The tensor that begins first.
        first: String,
        /// The tensor that begins inside it.
        second: String,
    },
}
