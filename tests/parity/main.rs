//! The program against what the official code computes on a small model (tests/fixtures/gamma/README.md).

mod chunks;
mod decoders;
mod enhance;
mod given;
mod guided;
mod lora;
mod model;
mod parts;
mod quantised;
mod run;
mod sight;
mod slots;
mod solver;
mod stepped;
mod tables;
mod text;
mod tiny;
mod transformer;
mod two_stage;
mod upscale;
mod windows;
