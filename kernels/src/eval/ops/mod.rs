//! Every op as a [`RowOp`](super::row_op::RowOp).

pub(super) mod attention;
mod blur;
pub(super) mod conv;
pub(super) mod conv_transpose;
pub(super) mod decode;
mod filter;
mod gather;
mod group_norm;
pub(super) mod linear;
mod moves;
mod norm;
mod normal;
mod pointwise;
mod put_row;
mod registers;
mod rope;
mod shuffle;
mod sinusoid;
mod softmax;
mod statistics;
mod yuv420;

use zoetrope_model_spec::lang::Op;

use super::EvalError;
use super::row_op::{Prepared, Setup};

/// Loads what an op reads whole, and checks what only its numbers can tell.
pub(super) fn prepare<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    match *setup.op {
        Op::Unary { f } => pointwise::unary(f),
        Op::Binary { f } => pointwise::binary(setup, f),
        Op::Affine { scale, offset } => pointwise::affine(scale, offset),
        Op::Clamp { lo, hi } => pointwise::clamp(lo, hi),
        Op::Cast { .. } => pointwise::cast(setup),
        Op::Copy {} => pointwise::copy(),
        Op::Snake {} => pointwise::snake(setup),
        Op::HeadScale { heads } => pointwise::head_scale(setup, heads),
        Op::MaskRows {} => pointwise::mask_rows(setup),
        Op::Decode { kept, .. } => decode::prepare(setup, kept),
        Op::Linear {} => linear::prepare(setup),
        Op::RmsNorm { eps, offset, groups } => norm::rms(setup, eps, offset, groups),
        Op::LayerNorm { eps } => norm::layer(setup, eps),
        Op::GroupNorm { groups, eps } => group_norm::prepare(setup, groups, eps),
        Op::Deviation {} => statistics::deviation(setup),
        Op::Standardize {} => statistics::standardize(setup),
        Op::Gather {} => gather::prepare(setup),
        Op::Rope { heads, shared } => rope::prepare(setup, heads, shared),
        Op::Attention { heads, kv_heads, scale, causal } => {
            attention::prepare(setup, attention::Shape { heads, kv_heads, scale, causal })
        }
        Op::Sinusoid { half } => sinusoid::prepare(setup, half),
        Op::PlaceRegisters {} => registers::prepare(setup),
        Op::Conv { ref pads, replicate, stride, dilation } => {
            conv::prepare(setup, pads, replicate, stride, dilation)
        }
        Op::ConvTranspose { stride, pad } => conv_transpose::prepare(setup, stride, pad),
        Op::DepthToSpace { st, sh, sw, drop } => shuffle::depth_to_space(setup, [st, sh, sw], drop),
        Op::Unpatchify { patch } => shuffle::unpatchify(setup, patch),
        Op::SpaceToDepth { st, sh, sw, repeat } => shuffle::space_to_depth(setup, [st, sh, sw], repeat),
        Op::Patchify { patch } => shuffle::patchify(setup, patch),
        Op::GroupMean { size } => shuffle::group_mean(setup, size),
        Op::Yuv420 {} => yuv420::prepare(setup),
        Op::Upsample {} => shuffle::upsample(setup),
        Op::PutRow {} => put_row::prepare(setup),
        Op::FilterUp { ratio, pad, crop_left, .. } => filter::up(setup, ratio, pad, crop_left),
        Op::FilterDown { stride, pad_left, pad_right } => filter::down(setup, stride, [pad_left, pad_right]),
        Op::BlurDown { stride } => blur::down(setup, stride),
        Op::Normal { stream, .. } => normal::prepare(setup, stream),
        Op::Reshape { .. } => moves::reshape(setup),
        Op::Slice { axis, start, .. } => moves::slice(setup, axis, start),
        Op::Permute { ref axes } => moves::permute(setup, axes),
        Op::Concat {} => moves::concat(setup),
        Op::OuterAdd {} => pointwise::outer_add(setup),
        Op::Iteration {} => Err(EvalError::Shape("the entry of an iteration is a view".to_string())),
    }
}
