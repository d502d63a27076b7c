//! What the `zoetrope` and `zoetropec` commands are made of.

pub mod demo;
pub mod eval;
pub mod media;
pub mod model_files;
pub mod session;
pub mod tensors;
pub mod tokenize;
pub mod verify;
