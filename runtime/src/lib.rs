//! What a compiled plan needs to run: model files, and later everything between them and the result.

#![deny(unsafe_code)]

pub mod files;
#[allow(unsafe_code)]
mod map;
