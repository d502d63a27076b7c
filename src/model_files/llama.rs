//! Gemma as a GGUF file has it: its names, and what becomes of its values (docs/model-files.md).

use serde_json::json;
use zoetrope_model_spec::ltx::config::Gemma;
use zoetrope_runtime::files::{Gguf, Value};

/// The language model's names in a GGUF file, and officially.
const LAYER: [(&str, &str); 13] = [
    ("attn_norm", "input_layernorm"),
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];
const MODEL: &str = "language_model.model.";

/// The official name of a tensor; `None` for one that the text encoder does not have.
pub fn official(name: &str) -> Option<String> {
    match name {
        "token_embd.weight" => return Some(format!("{MODEL}embed_tokens.weight")),
        "output_norm.weight" => return Some(format!("{MODEL}norm.weight")),
        _ => {}
    }
    let (number, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let word = rest.strip_suffix(".weight")?;
    let (_, official) = LAYER.iter().find(|(theirs, _)| *theirs == word)?;
    Some(format!("{MODEL}layers.{number}.{official}.weight"))
}

/// What the metadata of a GGUF file say of the language model, as its `config.json` would; what they leave out is that of
/// `other`.
pub fn config(gguf: &Gguf, other: &Gemma) -> String {
    let value = |key: &str| gguf.value(&format!("gemma3.{key}"));
    let size = |key: &str, other: usize| value(key).and_then(Value::integer).unwrap_or(other as u64);
    let real = |key: &str, other: f64| value(key).and_then(Value::real).unwrap_or(other);
    let text_config = json!({
        "hidden_size": size("embedding_length", other.hidden),
        "num_hidden_layers": size("block_count", other.layers),
        "intermediate_size": size("feed_forward_length", other.intermediate),
        "vocab_size": other.vocab,
        "num_attention_heads": size("attention.head_count", other.heads.heads),
        "num_key_value_heads": size("attention.head_count_kv", other.kv_heads),
        "head_dim": size("attention.key_length", other.heads.head_dim),
        "rms_norm_eps": real("attention.layer_norm_rms_epsilon", other.norm_eps.into()),
        "query_pre_attn_scalar": other.query_pre_attn_scalar,
        "sliding_window": size("attention.sliding_window", other.sliding_window),
        "sliding_window_pattern": other.sliding_window_pattern,
        "rope_theta": real("rope.freq_base", other.rope_theta),
        "rope_local_base_freq": other.rope_local_theta,
        "rope_scaling": {
            "rope_type": value("rope.scaling.type").and_then(Value::text).unwrap_or("linear"),
            "factor": real("rope.scaling.factor", other.rope_factor),
        },
    });
    json!({ "model_type": "gemma3", "text_config": text_config }).to_string()
}

/// What is added to the values of a tensor: norms are stored as what the model multiplies by, which is one more.
pub fn added(name: &str) -> f32 {
    if name.ends_with("norm.weight") { -1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::{added, official};

    #[test]
    fn names() {
        let same = |theirs: &str, ours: &str| assert_eq!(official(theirs).as_deref(), Some(ours));
        same("token_embd.weight", "language_model.model.embed_tokens.weight");
        same("blk.11.ffn_norm.weight", "language_model.model.layers.11.pre_feedforward_layernorm.weight");
        same("blk.3.attn_q_norm.weight", "language_model.model.layers.3.self_attn.q_norm.weight");
        assert_eq!(official("output.weight"), None);
        assert_eq!(added("blk.3.attn_q_norm.weight"), -1.0);
        assert_eq!(added("blk.3.attn_q.weight"), 0.0);
    }
}
