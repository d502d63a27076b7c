//! The `vae` section: the video decoder and encoder (docs/model/video-vae.md 2).

use serde_json::{Value, json};

use super::super::config::{DecoderBlock, EncoderBlock, VideoEncoder, VideoVae};
use super::section::{Section, shown};

/// Pixels of a latent cell's side, and frames between two latent frames: sizes and positions are counted in them.
const SPACE: usize = 32;
const TIME: usize = 8;
/// Of any layer: far above any real model, far below where products overflow.
const MOST_CHANNELS: usize = 1_000_000;

/// The dimensions of both.
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
    let encoder_channels = section.size("encoder_base_channels");
    // The decoder's blocks are applied in the reverse of the list.
    let decoder = blocks(section, "decoder_blocks", decoder_block);
    let decoder = decoder.map(|blocks| blocks.into_iter().rev().collect());
    let encoder = blocks(section, "encoder_blocks", encoder_block);
    let vae = VideoVae {
        latent_channels: latent_channels?,
        out_channels: 3,
        patch: patch?,
        base_channels: base_channels?,
        blocks: decoder?,
        encoder: VideoEncoder { base_channels: encoder_channels?, blocks: encoder? },
    };
    let (up, down) = (check_decoder(section, &vae), check_encoder(section, &vae));
    (up && down).then_some(vae)
}

/// The blocks of a list, each read by `block` from its kind and options.
fn blocks<T>(section: &Section<'_>, key: &str, block: fn(&Section<'_>, &str) -> Option<T>) -> Option<Vec<T>> {
    let found = section.get(key);
    let list = found.and_then(Value::as_array).filter(|list| (1..=64).contains(&list.len()));
    let Some(list) = list else { return section.wrong(key, found, "a list of 1 to 64 blocks") };
    // Not collected into an option at once: every wrong block is to be named.
    let blocks: Vec<Option<T>> = list
        .iter()
        .enumerate()
        .map(|(i, entry)| {
            let key = format!("{key}.{i}");
            let pair = entry.as_array().map(Vec::as_slice);
            let Some([Value::String(kind), options]) = pair else {
                return section.wrong(&key, Some(entry), "a pair of a block's name and its options");
            };
            let options = match options {
                // A bare number is short for the layers of a residual block.
                Value::Number(layers) => json!({ "num_layers": layers }),
                other => other.clone(),
            };
            let options = Section::root(&format!("{}.", section.named(&key)), &options, section.problems);
            block(&options, kind)
        })
        .collect();
    blocks.into_iter().collect()
}

fn decoder_block(options: &Section<'_>, kind: &str) -> Option<DecoderBlock> {
    let up = |time, space| Some(DecoderBlock::Up { time, space, multiplier: options.count("multiplier")? });
    for choice in ["residual", "inject_noise"] {
        options.fixed_if_present(choice, false);
    }
    match kind {
        "res_x" => Some(DecoderBlock::Res { layers: options.count("num_layers")? }),
        "compress_all" => up(2, 2),
        "compress_time" => up(2, 1),
        "compress_space" => up(1, 2),
        _ => unknown(options, kind, "res_x, compress_all, compress_time or compress_space"),
    }
}

fn encoder_block(options: &Section<'_>, kind: &str) -> Option<EncoderBlock> {
    let down =
        |time, space| Some(EncoderBlock::Down { time, space, multiplier: options.count("multiplier")? });
    options.fixed_if_present("inject_noise", false);
    match kind {
        "res_x" => Some(EncoderBlock::Res { layers: options.count("num_layers")? }),
        "compress_all_res" => down(2, 2),
        "compress_time_res" => down(2, 1),
        "compress_space_res" => down(1, 2),
        _ => unknown(options, kind, "res_x, compress_all_res, compress_time_res or compress_space_res"),
    }
}

fn unknown<T>(options: &Section<'_>, kind: &str, kinds: &str) -> Option<T> {
    let (kind, named) = (shown(&Value::from(kind)), options.named(""));
    options.problems.add(format!("{} is of the kind {kind}, {kinds} wanted", named.trim_end_matches('.')));
    None
}

/// Checks that the decoder widens and narrows by bearable numbers, and enlarges by what the latent's layout says.
fn check_decoder(section: &Section<'_>, vae: &VideoVae) -> bool {
    let up = |block: &DecoderBlock| match *block {
        DecoderBlock::Up { time, space, multiplier } => (time, space, multiplier),
        DecoderBlock::Res { .. } => (1, 1, 1),
    };
    let mut widest = Some(vae.base_channels);
    for (.., multiplier) in vae.blocks.iter().map(up) {
        widest = widest.and_then(|n| n.checked_mul(multiplier)).filter(|n| *n <= MOST_CHANNELS);
    }
    let bearable = section.problems.check(widest.is_some(), || {
        let named = section.named("decoder_blocks");
        format!(
            "{named}: decoder_base_channels times all multipliers is too much, at most {MOST_CHANNELS} wanted"
        )
    });
    let strides = vae.blocks.iter().map(|block| (up(block).0, up(block).1));
    bearable && check_strides(section, ["decoder_blocks", "enlarge"], vae.patch, strides)
}

/// Checks that the encoder's channels fold as its blocks say, and that it shrinks by what the latent's layout says.
fn check_encoder(section: &Section<'_>, vae: &VideoVae) -> bool {
    let mut channels = vae.encoder.base_channels;
    let mut strides = Vec::new();
    for (i, block) in vae.encoder.blocks.iter().enumerate() {
        let EncoderBlock::Down { time, space, multiplier } = *block else { continue };
        strides.push((time, space));
        let (folded, before) = (time * space * space, channels);
        channels = channels.saturating_mul(multiplier);
        let folds = folded.is_multiple_of(multiplier) && channels.is_multiple_of(folded);
        let fits = section.problems.check(folds && channels <= MOST_CHANNELS, || {
            let named = section.named(&format!("encoder_blocks.{i}"));
            format!("{named} makes {channels} channels of {before} times {folded}, which does not fold")
        });
        if !fits {
            return false;
        }
    }
    check_strides(section, ["encoder_blocks", "shrink"], vae.patch, strides.into_iter())
}

/// Checks the product of strides in time and space.
fn check_strides(
    section: &Section<'_>,
    [key, verb]: [&str; 2],
    patch: usize,
    strides: impl Iterator<Item = (usize, usize)>,
) -> bool {
    let start = (Some(1usize), Some(patch));
    let product = strides.fold(start, |(time, space), (t, s)| {
        (time.and_then(|time| time.checked_mul(t)), space.and_then(|space| space.checked_mul(s)))
    });
    section.problems.check(product == (Some(TIME), Some(SPACE)), || {
        let [time, space] =
            [product.0, product.1].map(|n| n.map_or("too much".to_string(), |n| n.to_string()));
        let named = section.named(key);
        format!("{named} and patch_size {verb} {time} times in time and {space} in space, {TIME} and {SPACE} wanted")
    })
}
