//! Gemma 3's vision tower, SigLIP, and its projector: an image as tokens of the language model (docs/model/text.md 5).

use super::config::{Gemma, Vision};
use super::sequence::sequence;
use crate::lang::{Builder, Op, Source, Value};

/// Colours of a pixel.
const COLOURS: usize = 3;

/// The shape of the image that it takes.
pub fn image_shape(cfg: &Vision) -> [usize; 3] {
    [COLOURS, cfg.image_side, cfg.image_side]
}

/// The tokens [tokens, hidden] that stand for `image` [3, side, side], in −1..1. They go into the language model as they
/// are: its embedding scale is not theirs.
pub fn see(b: &Builder, gemma: &Gemma, cfg: &Vision, image: Value) -> Value {
    let patches = b.component(Source::TextEncoder, "vision_tower.vision_model", || {
        let x = b.scope("embeddings", || embedding(b, cfg, image));
        let x = b.scope("encoder", || sequence(b, "layers", cfg.layers, x, |x| layer(b, cfg, x)));
        norm(b, cfg, "post_layernorm", x)
    });
    b.component(Source::TextEncoder, "multi_modal_projector", || project(b, gemma, cfg, patches))
}

/// A row for every patch, from the top left one along lines, and what its place adds.
fn embedding(b: &Builder, cfg: &Vision, image: Value) -> Value {
    let (patch, side, width) = (cfg.patch, cfg.patches(), cfg.heads.width());
    let numbers = COLOURS * patch * patch;
    // A convolution whose stride is its filters' size is a product with the patches' pixels in the filters' order.
    let tiles = b.reshape(image, &[COLOURS, side, patch, side, patch]);
    let tiles = b.reshape(b.permute(tiles, &[1, 3, 0, 2, 4]), &[side * side, numbers]);
    let x = b.scope("patch_embedding", || {
        let filters = b.reshape(b.weight("weight", &[width, COLOURS, patch, patch]), &[width, numbers]);
        b.op(Op::Linear {}, &[tiles, filters, b.weight("bias", &[width])])
    });
    b.add(x, b.scope("position_embedding", || b.weight("weight", &[side * side, width])))
}

fn layer(b: &Builder, cfg: &Vision, x: Value) -> Value {
    let h = norm(b, cfg, "layer_norm1", x);
    let x = b.add(x, b.scope("self_attn", || attention(b, cfg, h)));
    let h = norm(b, cfg, "layer_norm2", x);
    let mlp = || b.linear("fc2", b.gelu(b.linear("fc1", h, cfg.intermediate)), cfg.heads.width());
    b.add(x, b.scope("mlp", mlp))
}

/// Every patch to every patch.
fn attention(b: &Builder, cfg: &Vision, x: Value) -> Value {
    let (heads, width) = (cfg.heads.heads, cfg.heads.width());
    let scale = (1.0 / (cfg.heads.head_dim as f64).sqrt()) as f32;
    let inputs = ["q_proj", "k_proj", "v_proj"].map(|name| b.linear(name, x, width));
    let o = b.op(Op::Attention { heads, kv_heads: heads, scale, causal: false }, &inputs);
    b.linear("out_proj", o, width)
}

/// Layer norm with weight and bias.
fn norm(b: &Builder, cfg: &Vision, name: &str, x: Value) -> Value {
    b.scope(name, || {
        let [weight, bias] = ["weight", "bias"].map(|name| b.weight(name, &[cfg.heads.width()]));
        b.add(b.mul(b.op(Op::LayerNorm { eps: cfg.norm_eps }, &[x]), weight), bias)
    })
}

/// The means of squares of patches, each normalised, in the language model's width.
fn project(b: &Builder, gemma: &Gemma, cfg: &Vision, patches: Value) -> Value {
    let (side, width) = (cfg.patches(), cfg.heads.width());
    let pool = side / cfg.tokens_side;
    let square = b.reshape(patches, &[1, side, side, width]);
    let square = b.op(Op::SpaceToDepth { st: 1, sh: pool, sw: pool, repeat: 0 }, &[square]);
    let means = b.op(Op::GroupMean { size: pool * pool }, &[square]);
    let means = b.reshape(means, &[cfg.tokens(), width]);
    let norm = b.scope("mm_soft_emb_norm", || b.weight("weight", &[width]));
    let means = b.op(Op::RmsNorm { eps: cfg.norm_eps, offset: 1.0, groups: 1 }, &[means, norm]);
    // In the file its rows are what goes in, as in filters of transposed convolutions: with a single tap these are products.
    let weight = b.weight("mm_input_projection_weight", &[width, gemma.hidden]);
    let filters = b.reshape(weight, &[width, gemma.hidden, 1]);
    let no_bias = b.round(b.constant("no_bias", &[gemma.hidden], vec![0.0; gemma.hidden]));
    b.op(Op::ConvTranspose { stride: 1, pad: 0 }, &[means, filters, no_bias])
}
