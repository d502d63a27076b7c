//! Model files: safetensors, mapped into memory and checked before anything is believed.
//!
//! A [`TensorFile`] is one file: names, element types, shapes and bytes. A [`TensorSet`] is the union of several,
//! under the names that the model uses. Nothing is loaded until a tensor's bytes are read.

mod convert;
mod dtype;
mod error;
mod filters;
mod header;
mod tensor_file;
mod tensor_set;
mod write;

pub use dtype::FileDtype;
pub use error::{FileError, HeaderError};
pub use header::MAX_HEADER_BYTES;
pub use tensor_file::{Tensor, TensorFile};
pub use tensor_set::{Rename, TensorSet, tensor_files};
pub use write::{NewTensor, write_tensors};
