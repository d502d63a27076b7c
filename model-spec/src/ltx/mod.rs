//! LTX-2.3: its dimensions ([`config`]) and each of its parts, as forward passes over a [`crate::lang::Builder`].

pub mod attention;
pub mod audio_vae;
pub mod builtin;
pub mod config;
pub mod connector;
mod conv;
pub mod demo;
mod denoise;
pub mod feed_forward;
mod generator;
pub mod guidance;
pub mod pass_input;
pub mod pipeline;
pub mod read_config;
pub mod rope;
pub mod sampler;
pub mod schedule;
mod sequence;
pub mod sizes;
pub mod solver;
mod statistics;
pub mod text_encoder;
pub mod transformer;
pub mod upscaler;
pub mod video_vae;
pub mod vocoder;
