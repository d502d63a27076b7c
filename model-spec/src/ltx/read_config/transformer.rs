//! The `transformer` section: the transformer and, beside it, the two connectors (docs/model/checkpoint.md 1.4).

use serde_json::{Value, json};

use super::super::config::{Connector, Heads, Transformer};
use super::section::Section;

const MAX_POSITION: f64 = 1e6;
const MAX_THETA: f64 = 1e9;

/// Choices that LTX-2.3 has made; a file that chose otherwise is another architecture.
fn check_choices(section: &Section<'_>) {
    let choices: [(&str, Value); 26] = [
        ("dropout", json!(0.0)),
        ("attention_bias", json!(true)),
        ("activation_fn", json!("gelu-approximate")),
        ("num_embeds_ada_norm", json!(1000)),
        ("use_linear_projection", json!(false)),
        ("only_cross_attention", json!(false)),
        ("cross_attention_norm", json!(true)),
        ("double_self_attention", json!(false)),
        ("upcast_attention", json!(false)),
        ("standardization_norm", json!("rms_norm")),
        ("norm_elementwise_affine", json!(false)),
        ("qk_norm", json!("rms_norm")),
        ("positional_embedding_type", json!("rope")),
        ("use_audio_video_cross_attention", json!(true)),
        ("share_ff", json!(false)),
        ("av_cross_ada_norm", json!(true)),
        ("use_middle_indices_grid", json!(true)),
        ("rope_type", json!("split")),
        ("frequencies_precision", json!("float64")),
        ("apply_gated_attention", json!(true)),
        ("cross_attention_adaln", json!(true)),
        ("connector_apply_gated_attention", json!(true)),
        ("caption_proj_before_connector", json!(true)),
        ("caption_projection_first_linear", json!(false)),
        ("caption_projection_second_linear", json!(false)),
        ("caption_proj_input_norm", json!(false)),
    ];
    for (key, wanted) in choices {
        section.fixed(key, wanted);
    }
    let absent: [(&str, Value); 6] = [
        ("num_vector_embeds", Value::Null),
        ("use_prompt_adaln_single", json!(true)),
        ("ff_bias", json!(true)),
        ("audio_ff_bias", json!(true)),
        ("connector_ff_bias", json!(true)),
        ("use_keyframes_abs_pos_embedding", json!(false)),
    ];
    for (key, wanted) in absent {
        section.fixed_if_present(key, wanted);
    }
}

/// Heads of an even size (rope turns pairs), `least` wide or more (rope needs two frequencies on each axis).
fn heads(section: &Section<'_>, heads: &str, head_dim: &str, least: usize) -> Option<Heads> {
    let (count, size) = (section.size(heads), section.size(head_dim));
    let (count, size) = (count?, size?);
    let fits = count.checked_mul(size).is_some_and(|width| (least..=1_000_000).contains(&width));
    section.problems.check(fits, || {
        format!(
            "{} x {head_dim} is {count} x {size}, a width from {least} to 1000000 wanted",
            section.named(heads)
        )
    });
    let even = size % 2 == 0;
    section.problems.check(even, || format!("{} is {size}, an even size wanted", section.named(head_dim)));
    (fits && even).then_some(Heads { heads: count, head_dim: size })
}

/// Checks that two keys agree, as far as both are there.
fn equal(section: &Section<'_>, key: &str, value: Option<usize>, wanted_key: &str, wanted: Option<usize>) {
    if let (Some(value), Some(wanted)) = (value, wanted) {
        section.problems.check(value == wanted, || {
            format!("{} is {value}, {wanted} ({wanted_key}) wanted", section.named(key))
        });
    }
}

/// The transformer's dimensions.
pub(super) fn read(section: &Section<'_>) -> Option<Transformer> {
    check_choices(section);
    let video = heads(section, "num_attention_heads", "attention_head_dim", 12);
    let audio = heads(section, "audio_num_attention_heads", "audio_attention_head_dim", 4);
    equal(
        section,
        "audio_num_attention_heads",
        audio.map(|a| a.heads),
        "num_attention_heads",
        video.map(|v| v.heads),
    );
    let (video_width, audio_width) = (video.map(Heads::width), audio.map(Heads::width));
    equal(
        section,
        "cross_attention_dim",
        section.size("cross_attention_dim"),
        "the video width",
        video_width,
    );
    let audio_context = section.size("audio_cross_attention_dim");
    equal(section, "audio_cross_attention_dim", audio_context, "the audio width", audio_width);
    let video_channels = section.size("in_channels");
    equal(section, "out_channels", section.size("out_channels"), "in_channels", video_channels);
    let audio_channels = section.size("audio_out_channels");
    equal(
        section,
        "audio_in_channels",
        section.size_or("audio_in_channels", 128),
        "audio_out_channels",
        audio_channels,
    );
    let layers = section.count("num_layers");
    let norm_eps = section.real("norm_eps", 1.0);
    let theta = section.real("positional_embedding_theta", MAX_THETA);
    let video_max_pos = section.reals::<3>("positional_embedding_max_pos", MAX_POSITION);
    let audio_max_pos = section.reals::<1>("audio_positional_embedding_max_pos", MAX_POSITION);
    let timestep_scale = section.real("timestep_scale_multiplier", 1e6);
    let cross_timestep_scale = section.real("av_ca_timestep_scale_multiplier", 1e6);
    Some(Transformer {
        video: video?,
        audio: audio?,
        layers: layers?,
        video_channels: video_channels?,
        audio_channels: audio_channels?,
        norm_eps: norm_eps? as f32,
        theta: theta?,
        video_max_pos: video_max_pos?.map(|x| x as f32),
        audio_max_pos: audio_max_pos?[0] as f32,
        timestep_scale: timestep_scale? as f32,
        cross_timestep_scale: cross_timestep_scale? as f32,
    })
}

/// The connectors' dimensions, video first.
pub(super) fn read_connectors(section: &Section<'_>) -> Option<(Connector, Connector)> {
    let video = heads(section, "connector_num_attention_heads", "connector_attention_head_dim", 4);
    let audio =
        heads(section, "audio_connector_num_attention_heads", "audio_connector_attention_head_dim", 4);
    let video_context = section.get("cross_attention_dim").and_then(Value::as_u64).map(|n| n as usize);
    let audio_context = section.get("audio_cross_attention_dim").and_then(Value::as_u64).map(|n| n as usize);
    let (video_width, audio_width) = (video.map(Heads::width), audio.map(Heads::width));
    equal(section, "connector width", video_width, "cross_attention_dim", video_context);
    equal(section, "audio connector width", audio_width, "audio_cross_attention_dim", audio_context);
    let layers = section.count("connector_num_layers");
    let audio_layers = section.count_or("audio_connector_num_layers", layers.unwrap_or(1));
    let max_pos = section.reals::<1>("connector_positional_embedding_max_pos", MAX_POSITION)?[0] as f32;
    // Registers, theta and epsilon have no keys that are read (docs/model/text.md 4).
    let connector =
        |heads, layers| Connector { heads, layers, registers: 128, max_pos, theta: 10000.0, norm_eps: 1e-6 };
    Some((connector(video?, layers?), connector(audio?, audio_layers?)))
}
