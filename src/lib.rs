//! The library behind the `zoetrope` command.

pub mod media;
