//! Gemma's `config.json` (docs/model/text.md 2, 5, checkpoint.md 2).

use serde_json::Value;

use super::super::config::{Gemma, Heads, Vision};
use super::section::{Problems, Section};

/// The language model's dimensions.
pub(super) fn read(root: &Section<'_>) -> Option<Gemma> {
    let kind = root.get("model_type");
    if kind != Some(&Value::from("gemma3")) {
        let help = "\"gemma3\" (use the folder of google/gemma-3-12b-it-qat-q4_0-unquantized)";
        return root.wrong("model_type", kind, help);
    }
    let section = root.section("text_config")?;
    section.fixed_if_present("model_type", "gemma3_text");
    section.fixed_if_present("attention_bias", false);
    section.fixed_if_present("hidden_activation", "gelu_pytorch_tanh");
    section.fixed_if_present("use_bidirectional_attention", false);
    for cap in ["attn_logit_softcapping", "final_logit_softcapping"] {
        section.fixed_if_present(cap, Value::Null);
    }
    let hidden = section.size("hidden_size");
    let layers = section.count("num_hidden_layers");
    let intermediate = section.size("intermediate_size");
    let vocab = section.size_or("vocab_size", 262_208);
    let heads = section.size_or("num_attention_heads", 16);
    let kv_heads = section.size_or("num_key_value_heads", 8);
    let head_dim = section.size_or("head_dim", 256);
    let norm_eps = section.real_or("rms_norm_eps", 1.0, Some(1e-6));
    let query_pre_attn_scalar = section.real_or("query_pre_attn_scalar", 1e6, Some(256.0));
    let sliding_window = section.size("sliding_window");
    let rope = rope(&section);
    let (heads, kv_heads, head_dim) = (heads?, kv_heads?, head_dim?);
    let shared = section.problems.check(heads % kv_heads == 0, || {
        format!(
            "{} is {heads}, a multiple of num_key_value_heads ({kv_heads}) wanted",
            section.named("num_attention_heads")
        )
    });
    let even = section.problems.check(head_dim % 2 == 0, || {
        format!("{} is {head_dim}, an even size wanted", section.named("head_dim"))
    });
    let bounded =
        section.problems.check(heads.checked_mul(head_dim).is_some_and(|width| width <= 1_000_000), || {
            format!("{} x head_dim is too much, at most 1000000 wanted", section.named("num_attention_heads"))
        });
    let layers = layers?;
    let pattern = pattern(&section, layers);
    let rope = rope?;
    let gemma = Gemma {
        hidden: hidden?,
        layers,
        heads: Heads { heads, head_dim },
        kv_heads,
        intermediate: intermediate?,
        vocab: vocab?,
        norm_eps: norm_eps? as f32,
        query_pre_attn_scalar: query_pre_attn_scalar?,
        sliding_window: sliding_window?,
        sliding_window_pattern: pattern?,
        rope_theta: rope.theta,
        rope_factor: rope.factor,
        rope_local_theta: rope.local_theta,
        vision: vision(root),
    };
    (shared && even && bounded).then_some(gemma)
}

/// The vision tower's dimensions. What is wrong with them is a matter of those who show it images: most read prompts alone.
fn vision(root: &Section<'_>) -> Result<Vision, String> {
    let problems = Problems::default();
    let root = root.noting(&problems);
    let vision = tower(&root);
    let problems = problems.into_list();
    vision.filter(|_| problems.is_empty()).ok_or_else(|| problems.join("; "))
}

fn tower(root: &Section<'_>) -> Option<Vision> {
    let tokens = root.size_or("mm_tokens_per_image", 256);
    let section = root.section("vision_config")?;
    section.fixed_if_present("model_type", "siglip_vision_model");
    section.fixed_if_present("hidden_act", "gelu_pytorch_tanh");
    section.fixed_if_present("num_channels", 3);
    let image_side = section.size("image_size");
    let patch = section.size("patch_size");
    let layers = section.count("num_hidden_layers");
    let width = section.size("hidden_size");
    let heads = section.count("num_attention_heads");
    let intermediate = section.size("intermediate_size");
    let norm_eps = section.real_or("layer_norm_eps", 1.0, Some(1e-6));
    let (tokens, image_side, patch, width, heads) = (tokens?, image_side?, patch?, width?, heads?);
    let check = |good: bool, key: &str, have: usize, want: String| {
        section.problems.check(good, || format!("{} is {have}, {want} wanted", section.named(key)))
    };
    check(image_side <= 1 << 13, "image_size", image_side, "at most 8192".to_string());
    check(image_side % patch == 0, "image_size", image_side, format!("a multiple of patch_size ({patch})"));
    check(width % heads == 0, "hidden_size", width, format!("a multiple of num_attention_heads ({heads})"));
    let (patches, tokens_side) = (image_side / patch, tokens.isqrt());
    let square = tokens_side * tokens_side == tokens && patches > 0 && patches % tokens_side == 0;
    root.problems.check(square, || {
        format!(
            "{} is {tokens}, the square of a divisor of {patches} (patches in a row) wanted",
            root.named("mm_tokens_per_image")
        )
    });
    Some(Vision {
        image_side,
        patch,
        layers: layers?,
        heads: Heads { heads, head_dim: width / heads },
        intermediate: intermediate?,
        norm_eps: norm_eps? as f32,
        tokens_side,
    })
}

struct Rope {
    theta: f64,
    factor: f64,
    local_theta: f64,
}

/// The frequencies' keys, as they were first written or as newer writers group them under `rope_parameters`.
fn rope(section: &Section<'_>) -> Option<Rope> {
    const MAX: f64 = 1e9;
    let (theta, local_theta, scaling) = match section.optional("rope_parameters") {
        None => {
            let theta = section.real_or("rope_theta", MAX, Some(1e6));
            let local_theta = section.real_or("rope_local_base_freq", MAX, Some(1e4));
            (theta, local_theta, section.optional("rope_scaling"))
        }
        Some(groups) => {
            let (global, local) = (groups.section("full_attention"), groups.section("sliding_attention"));
            let (global, local) = (global?, local?);
            local.fixed_if_present("rope_type", "default");
            (
                global.real_or("rope_theta", MAX, Some(1e6)),
                local.real_or("rope_theta", MAX, Some(1e4)),
                Some(global),
            )
        }
    };
    let factor = match scaling {
        Some(scaling) if scaling.get("rope_type") != Some(&Value::from("default")) => {
            scaling.fixed("rope_type", "linear");
            scaling.real("factor", 1e6)
        }
        _ => Some(1.0),
    };
    Some(Rope { theta: theta?, factor: factor?, local_theta: local_theta? })
}

/// Every how many layers one sees everything. Newer writers list the kind of each layer beside it, or instead.
fn pattern(section: &Section<'_>, layers: usize) -> Option<usize> {
    let key = match section.get("_sliding_window_pattern") {
        Some(_) => "_sliding_window_pattern",
        None => "sliding_window_pattern",
    };
    let kinds = section.get("layer_types").and_then(Value::as_array);
    let global = |kind: &Value| kind == "full_attention";
    // Without one global layer in the list any pattern longer than it will do.
    let listed = kinds.map_or(6, |kinds| kinds.iter().position(global).map_or(layers + 1, |first| first + 1));
    let pattern = section.count_or(key, listed)?;
    let agrees = kinds.is_none_or(|kinds| {
        let wanted = |(layer, kind)| global(kind) == ((layer + 1) % pattern == 0);
        kinds.len() == layers && kinds.iter().enumerate().all(wanted)
    });
    let agrees = section.problems.check(agrees, || {
        let named = section.named("layer_types");
        format!(
            "{named} does not say that each layer whose number divides by {pattern} is global and no other"
        )
    });
    agrees.then_some(pattern)
}
