//! Model files: safetensors, mapped into memory and checked before anything is believed.
//!
//! A [`TensorFile`] is one file: names, element types, shapes and bytes. A [`TensorSet`] is the union of several,
//! under the names that the model uses. Nothing is loaded until a tensor's bytes are read.

mod computed;
mod convert;
mod dtype;
mod error;
mod filters;
mod folder;
mod header;
mod instead;
mod quantised;
mod tensor_file;
mod tensor_set;
mod text;
mod unique;
mod write;

pub use computed::Computed;
pub use dtype::FileDtype;
pub use error::{FileError, HeaderError};
pub use folder::{Index, Listing, tensor_files};
pub use header::MAX_HEADER_BYTES;
pub use instead::Instead;
pub use tensor_file::{Tensor, TensorFile};
pub use tensor_set::{Rename, TensorSet};
pub use text::{decode, given_text, read_text};
pub use write::{NewTensor, write_tensors};
