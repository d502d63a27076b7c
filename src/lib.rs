//! The `zoetrope` command as a library: model files, prompts, and what surrounds a run.

pub mod demo;
pub mod model_files;
pub mod tokenize;
