//! The `config` of a latent upscaler (docs/model/checkpoint.md 5).

use serde_json::Value;

use super::super::config::Upscaler;
use super::section::Section;

/// Groups of the network's norms.
const GROUPS: usize = 32;

/// The dimensions of the spatial x2 upscaler; the other two kinds are named and refused.
pub(super) fn read(root: &Section<'_>) -> Option<Upscaler> {
    let is = |key: &str, value: bool| root.get(key) == Some(&Value::from(value));
    let other = match root.get("spatial_scale").and_then(Value::as_f64) {
        _ if is("temporal_upsample", true) => Some("a temporal"),
        Some(1.5) => Some("the x1.5"),
        _ => None,
    };
    if let Some(other) = other {
        let wanted = "the spatial x2 one wanted (ltx-2.3-spatial-upscaler-x2-1.1.safetensors)";
        root.problems.add(format!("{}this is {other} upscaler, {wanted}", root.named("")));
        return None;
    }
    root.fixed("_class_name", "LatentUpsampler");
    root.fixed("dims", 3);
    root.fixed("spatial_upsample", true);
    root.fixed("temporal_upsample", false);
    root.fixed("spatial_scale", 2.0);
    root.fixed("rational_resampler", false);
    let channels = root.size("in_channels");
    let mid_channels = root.size("mid_channels");
    let blocks_per_stage = root.count("num_blocks_per_stage");
    let mid_channels = mid_channels?;
    let grouped = root.problems.check(mid_channels.is_multiple_of(GROUPS), || {
        format!("{} is {mid_channels}, a multiple of {GROUPS} wanted", root.named("mid_channels"))
    });
    let upscaler = Upscaler { channels: channels?, mid_channels, blocks_per_stage: blocks_per_stage? };
    grouped.then_some(upscaler)
}
