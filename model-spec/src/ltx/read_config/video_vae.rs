//! The `vae` section: the video decoder (docs/model/video-vae.md 2).

use serde_json::{Value, json};

use super::super::config::{DecoderBlock, VideoVae};
use super::section::{Section, shown};

/// Pixels of a latent cell's side, and frames between two latent frames: sizes and positions are counted in them.
const SPACE: usize = 32;
const TIME: usize = 8;

/// The decoder's dimensions.
pub(super) fn read(section: &Section<'_>) -> Option<VideoVae> {
    section.fixed("dims", 3);
    section.fixed("in_channels", 3);
    section.fixed("out_channels", 3);
    section.fixed("norm_layer", "pixel_norm");
    section.fixed("causal_decoder", false);
    section.fixed("timestep_conditioning", false);
    section.fixed("spatial_padding_mode", "zeros");
    section.fixed_if_present("latent_log_var", "uniform");
    section.fixed_if_present("normalize_latent_channels", false);
    section.fixed_if_present("use_quant_conv", false);
    section.fixed_if_present("scaling_factor", 1.0);
    let latent_channels = section.size("latent_channels");
    let patch = section.count("patch_size");
    let base_channels = section.size("decoder_base_channels");
    let blocks = blocks(section);
    let vae = VideoVae {
        latent_channels: latent_channels?,
        out_channels: 3,
        patch: patch?,
        base_channels: base_channels?,
        blocks: blocks?,
    };
    check_strides(section, &vae).then_some(vae)
}

/// The blocks in the order of application, which is the reverse of the list.
fn blocks(section: &Section<'_>) -> Option<Vec<DecoderBlock>> {
    const KEY: &str = "decoder_blocks";
    let found = section.get(KEY);
    let list = found.and_then(Value::as_array).filter(|list| (1..=64).contains(&list.len()));
    let Some(list) = list else { return section.wrong(KEY, found, "a list of 1 to 64 blocks") };
    // Not collected into an option at once: every wrong block is to be named.
    let blocks: Vec<Option<DecoderBlock>> =
        list.iter().enumerate().map(|(i, entry)| block(section, &format!("{KEY}.{i}"), entry)).collect();
    blocks.into_iter().rev().collect()
}

fn block(section: &Section<'_>, key: &str, entry: &Value) -> Option<DecoderBlock> {
    let pair = entry.as_array().map(Vec::as_slice);
    let Some([Value::String(kind), options]) = pair else {
        return section.wrong(key, Some(entry), "a pair of a block's name and its options");
    };
    let options = match options {
        // A bare number is short for the layers of a residual block.
        Value::Number(layers) => json!({ "num_layers": layers }),
        other => other.clone(),
    };
    let options = Section::root(&format!("{}.", section.named(key)), &options, section.problems);
    let up = |time, space| Some(DecoderBlock::Up { time, space, multiplier: options.count("multiplier")? });
    for choice in ["residual", "inject_noise"] {
        options.fixed_if_present(choice, false);
    }
    match kind.as_str() {
        "res_x" => Some(DecoderBlock::Res { layers: options.count("num_layers")? }),
        "compress_all" => up(2, 2),
        "compress_time" => up(2, 1),
        "compress_space" => up(1, 2),
        _ => {
            let kind = shown(&Value::from(kind.as_str()));
            let named = section.named(key);
            let kinds = "res_x, compress_all, compress_time or compress_space";
            section.problems.add(format!("{named} is of the kind {kind}, {kinds} wanted"));
            None
        }
    }
}

/// Checks that the decoder widens and narrows by bearable numbers, and enlarges by what the latent's layout says.
fn check_strides(section: &Section<'_>, vae: &VideoVae) -> bool {
    let (mut time, mut space, mut widest) = (Some(1usize), Some(vae.patch), Some(vae.base_channels));
    for block in &vae.blocks {
        if let DecoderBlock::Up { time: t, space: s, multiplier } = block {
            time = time.and_then(|time| time.checked_mul(*t));
            space = space.and_then(|space| space.checked_mul(*s));
            widest = widest.and_then(|widest| widest.checked_mul(*multiplier)).filter(|&n| n <= 1_000_000);
        }
    }
    let named = section.named("decoder_blocks");
    let bearable = section.problems.check(widest.is_some(), || {
        format!("{named}: decoder_base_channels times all multipliers is too much, at most 1000000 wanted")
    });
    let enlarged = section.problems.check((time, space) == (Some(TIME), Some(SPACE)), || {
        let [time, space] = [time, space].map(|n| n.map_or("too much".to_string(), |n| n.to_string()));
        format!("{named} and patch_size enlarge {time} times in time and {space} in space, {TIME} and {SPACE} wanted")
    });
    bearable && enlarged
}
