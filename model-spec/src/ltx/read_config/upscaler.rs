//! The `config` of a latent upscaler (docs/model/checkpoint.md 5).

use serde_json::Value;

use super::super::config::{Enlarges, Upscaler};
use super::section::Section;

/// Groups of the network's norms.
const GROUPS: usize = 32;

/// The kind and the dimensions of an upscaler.
pub(super) fn read(root: &Section<'_>) -> Option<Upscaler> {
    root.fixed("_class_name", "LatentUpsampler");
    root.fixed("dims", 3);
    let enlarges = enlarges(root);
    let channels = root.size("in_channels");
    let mid_channels = root.size("mid_channels");
    let blocks_per_stage = root.count("num_blocks_per_stage");
    let mid_channels = mid_channels?;
    let grouped = root.problems.check(mid_channels.is_multiple_of(GROUPS), || {
        format!("{} is {mid_channels}, a multiple of {GROUPS} wanted", root.named("mid_channels"))
    });
    let upscaler = Upscaler {
        enlarges: enlarges?,
        channels: channels?,
        mid_channels,
        blocks_per_stage: blocks_per_stage?,
    };
    grouped.then_some(upscaler)
}

/// Which of the three kinds it is. Of a temporal one, the keys for space say nothing.
fn enlarges(root: &Section<'_>) -> Option<Enlarges> {
    let is = |key: &str, value: bool| root.get(key) == Some(&Value::from(value));
    if is("temporal_upsample", true) {
        root.fixed("spatial_upsample", false);
        return Some(Enlarges::TimeX2);
    }
    root.fixed("spatial_upsample", true);
    root.fixed("temporal_upsample", false);
    match root.get("spatial_scale").and_then(Value::as_f64) {
        Some(2.0) => {
            root.fixed("rational_resampler", false);
            Some(Enlarges::SpaceX2)
        }
        Some(1.5) => {
            root.fixed("rational_resampler", true);
            Some(Enlarges::SpaceX1_5)
        }
        _ => root.wrong("spatial_scale", root.get("spatial_scale"), "2.0 or 1.5"),
    }
}
