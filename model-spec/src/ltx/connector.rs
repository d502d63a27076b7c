//! From Gemma's hidden states to the text contexts: feature extractor and connectors (docs/model/text.md 3, 4).

use super::attention;
use super::config::Connector;
use super::feed_forward::feed_forward;
use super::pass_input::PerStream;
use super::rope::{self, Axis, Rotary};
use super::sequence::sequence;
use crate::lang::{Builder, Op, Source, Value};

const FEATURE_EPS: f32 = 1e-6;

/// The features of the streams that are there, [tokens, width of the stream], in the tokenizer's order, from
/// `hidden` [states, tokens, d] and `attention_mask` i32 \[tokens\]. Taps `v.features`, `a.features`.
pub fn features(
    b: &Builder,
    streams: PerStream<Option<&Connector>>,
    hidden: Value,
    attention_mask: Value,
) -> PerStream<Option<Value>> {
    let (states, tokens, width) = (b.dim(hidden, 0), b.dim(hidden, 1), b.dim(hidden, 2));
    let x = b.permute(b.rms(hidden, FEATURE_EPS), &[1, 2, 0]);
    let x = b.reshape(x, &[tokens, width * states]);
    let x = b.op(Op::MaskRows {}, &[x, attention_mask]);
    let project = |name: &str, out: usize| {
        let scale = (out as f64 / width as f64).sqrt();
        b.linear(name, b.affine(x, scale as f32, 0.0), out)
    };
    b.component(Source::Checkpoint, "text_embedding_projection", || {
        let [v, a] = streams.map_some(|connector| connector.heads.width()).both();
        let video = v.map(|width| project("video_aggregate_embed", width));
        let audio = a.map(|width| project("audio_aggregate_embed", width));
        PerStream {
            video: video.map(|features| b.tap("v.features", features)),
            audio: audio.map(|features| b.tap("a.features", features)),
        }
    })
}

/// The contexts of the streams that are there, of the shapes of `features`: prompt tokens first, then registers, all of which the
/// transformer attends to.
pub fn connect(
    b: &Builder,
    streams: PerStream<Option<&Connector>>,
    features: PerStream<Option<Value>>,
    attention_mask: Value,
) -> PerStream<Option<Value>> {
    let names = PerStream { video: "video_embeddings_connector", audio: "audio_embeddings_connector" };
    names.zip(streams).zip(features).map(|((name, cfg), features)| {
        let (cfg, features) = (cfg?, features?);
        let prefix = format!("model.diffusion_model.{name}");
        Some(b.component(Source::Checkpoint, &prefix, || connector(b, cfg, features, attention_mask)))
    })
}

fn connector(b: &Builder, cfg: &Connector, features: Value, attention_mask: Value) -> Value {
    let registers = b.weight("learnable_registers", &[cfg.registers, cfg.heads.width()]);
    let x = b.op(Op::PlaceRegisters {}, &[features, attention_mask, registers]);
    let rope = places(b, cfg, b.dim(x, 0));
    let x = sequence(b, "transformer_1d_blocks", cfg.layers, x, |x| block(b, cfg, &rope, x));
    b.rms(x, cfg.norm_eps)
}

/// A token's position is its place, once the prompt's tokens stand in front.
fn places(b: &Builder, cfg: &Connector, tokens: usize) -> Rotary {
    let axis = Axis { mids: (0..tokens).map(|place| place as f32).collect(), max_pos: cfg.max_pos };
    let index = (0..tokens as i32).collect();
    rope::axial(b, "rope", cfg.heads.width(), &[axis], cfg.theta, index)
}

fn block(b: &Builder, cfg: &Connector, rope: &Rotary, x: Value) -> Value {
    let h = b.rms(x, cfg.norm_eps);
    let h = b.scope("attn1", || {
        attention::gated(
            b,
            cfg.heads,
            cfg.norm_eps,
            h,
            h,
            attention::Places { q: Some(rope), k: Some(rope), ..attention::Places::default() },
        )
    });
    let x = b.add(x, h);
    let h = b.rms(x, cfg.norm_eps);
    b.add(x, b.scope("ff", || feed_forward(b, h)))
}
