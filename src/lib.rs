//! What the `zoetrope` and `zoetropec` commands are made of.

pub mod eval;
pub mod media;
pub mod session;
pub mod tensors;
