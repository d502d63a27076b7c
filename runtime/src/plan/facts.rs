//! What a plan was made for.

use super::{Dtype, Kept, List, Text};

/// What the plan was made for.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Pixels; 0 where there is no video.
    pub width: u32,
    /// Likewise.
    pub height: u32,
    pub frames: u32,
    pub fps: f64,
    /// Frames of a clip that the next window begins with, where longer clips are made in windows; 0 where they are not.
    pub carried: u32,
    pub dtype: Dtype,
    pub pipeline: Text,
    pub model: Text,
    /// Which model version range the plan is for, in words.
    pub model_version: Text,
    /// What whoever runs it should know: a sentence each, such as a size outside the model's declared range.
    pub notes: List<Text>,
    /// What makes the frames of latents, by its name in target files; `None` where there are no frames.
    pub decoder: Option<Text>,
    /// Latent frames that go through the video decoder together; `None` for all of them.
    pub decode_chunk: Option<u32>,
    /// The memory of the card that it is made for, in bytes; `None` where nothing was said of it.
    pub vram: Option<u64>,
    /// What of it the plan leaves to others: the driver, its context, code.
    pub reserve_bytes: u64,
    /// What the same plan takes with its weights in everything that they can stay in; empty where nobody asked.
    pub footprints: List<Footprint>,
}

/// The memory that a plan takes with its weights in some encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// What the weights stay in; `None` for the plan's dtype.
    pub weights: Option<Kept>,
    /// All memory of the plan without a budget.
    pub peak_bytes: u64,
    /// The smallest budget, in whole GiB as bytes, with which there is a plan: one that streams weights, if it has to.
    pub least_vram: u64,
}

impl Facts {
    /// What a run makes, in words.
    pub fn clip(&self) -> String {
        let Facts { width, height, frames, fps, .. } = self;
        match width {
            0 => format!("audio of {frames} frames at {fps} fps"),
            _ => format!("{width}x{height} {frames} frames at {fps} fps"),
        }
    }

    /// Those of a program that makes no clip, such as the cases of kernels.
    pub fn without_clip(dtype: Dtype) -> Facts {
        Facts {
            width: 0,
            height: 0,
            frames: 0,
            fps: 0.0,
            carried: 0,
            dtype,
            pipeline: "none".into(),
            model: "none".into(),
            model_version: "none".into(),
            notes: List::default(),
            decoder: None,
            decode_chunk: None,
            vram: None,
            reserve_bytes: 0,
            footprints: List::default(),
        }
    }
}
