//! What the `zoetrope` and `zoetropec` commands are made of.

pub mod adapters;
pub mod commands;
pub mod demo;
mod detokenize;
pub mod device;
pub mod engine;
pub mod enhance;
pub mod eval;
pub mod failure;
pub mod finite;
pub mod lost_pages;
pub mod media;
mod mel;
pub mod model_check;
pub mod model_files;
pub mod output;
pub mod pieces;
pub mod progress;
pub mod report;
pub mod run;
#[cfg(feature = "cuda")]
pub mod selftest;
pub mod session;
pub mod steps;
pub mod stop;
pub mod tensors;
pub mod terminal;
pub mod threads;
pub mod tokenize;
mod tokenizer_json;
pub mod windows;
