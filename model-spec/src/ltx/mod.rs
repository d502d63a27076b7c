//! LTX-2.3: its dimensions ([`config`]) and each of its parts, as forward passes over a [`crate::lang::Builder`].

pub mod config;
pub mod read_config;
