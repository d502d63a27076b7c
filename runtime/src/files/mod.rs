//! Model files: safetensors and GGUF, mapped into memory and checked before anything is believed.
//!
//! A [`TensorFile`] is one file: names, element types, shapes and bytes. A [`View`] has it under the names that the model
//! uses, with what decodes values that are stored in some encoding ([`Decoded`]). A [`TensorSet`] is the union of several.
//! Nothing is loaded until a tensor's bytes are read.

mod computed;
mod convert;
mod decoded;
mod dtype;
mod error;
mod filters;
mod folder;
mod gguf;
mod header;
mod instead;
mod kept;
mod pieces;
mod quantised;
mod tensor_file;
mod tensor_set;
mod text;
mod unique;
mod write;

pub use computed::Computed;
pub use decoded::{Beside, Decoded};
pub use dtype::FileDtype;
pub use error::{FileError, HeaderError};
pub use folder::{Index, Listing, tensor_files};
pub use gguf::{Array, Gguf, GgufError, Value};
pub use header::MAX_HEADER_BYTES;
pub use instead::Instead;
pub use tensor_file::{Tensor, TensorFile};
pub use tensor_set::{Rename, Renames, TensorSet, View, Viewed};
pub use text::{decode, given_text, read_text};
pub use write::{NewTensor, write_tensors};
