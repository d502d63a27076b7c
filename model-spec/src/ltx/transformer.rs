//! The audio-video diffusion transformer (docs/model/transformer.md).

use std::ops::Range;

use super::attention::{Group, Places, gated, perturbed};
use super::config::{Heads, Transformer};
use super::feed_forward::feed_forward;
use super::modulation::{AUDIO, BlockSums, Names, Rows, VIDEO, modulation};
pub use super::pass_input::{PassInput, PerStream, Stream};
pub use super::positions::{Positions, Ropes};
use super::rope::Rotary;
use super::skip::{Skip, Skipped, stretches};
use crate::lang::{Builder, Op, Source, Value};

/// What the passes of an evaluation have in common of a stream.
struct Common {
    prefix: &'static str,
    heads: Heads,
    class: Value,
    bias: Option<Value>,
    bias_from_outside: Option<Value>,
    /// What the output head adds to its table, [classes, width].
    embedded: Value,
    sums: BlockSums,
}

/// Velocities of both streams, [tokens, 128] each: one evaluation of one pass, which skips nothing.
pub fn velocity(
    b: &Builder,
    cfg: &Transformer,
    at: &Positions,
    video: Stream,
    audio: Stream,
    context: PerStream,
) -> PerStream {
    let (ropes, context) = (Ropes::of(b, cfg, at), context.map(Some));
    let streams = PerStream { video: Some(video), audio: Some(audio) };
    let made = velocities(b, cfg, &ropes, streams, &[PassInput { skip: Skip::default(), context }])[0];
    made.map(|velocity| velocity.expect("both streams are there"))
}

/// Velocities of every pass in `inputs`, in their order, of the streams that are there. A stream alone has no attention to
/// the other one, and reads no weights of it.
///
/// A pass with the text of the first one is that one up to the first block in which they skip different things. So it
/// begins there, with what the first one has by then (docs/model/transformer.md 9).
pub fn velocities(
    b: &Builder,
    cfg: &Transformer,
    ropes: &Ropes,
    streams: PerStream<Option<Stream>>,
    inputs: &[PassInput],
) -> Vec<PerStream<Option<Value>>> {
    b.component(Source::Checkpoint, "model.diffusion_model", || {
        let [sigma_v, sigma_a] = streams.map_some(|stream| stream.sigma).both();
        let common = |names: &Names, own: Option<Stream>, other_sigma| {
            let own = own?;
            let made = modulation(b, cfg, names, own, other_sigma);
            Some(Common {
                prefix: names.prefix,
                heads: names.heads(cfg),
                class: own.class,
                bias: own.bias,
                bias_from_outside: own.bias_from_outside,
                embedded: made.embedded,
                sums: BlockSums::new(b, cfg, names, &made),
            })
        };
        let common = PerStream {
            video: common(&VIDEO, streams.video, sigma_a),
            audio: common(&AUDIO, streams.audio, sigma_v),
        };
        let begin = PerStream {
            video: streams.video.map(|stream| {
                b.tap("v.patchify", b.linear("patchify_proj", stream.latent, cfg.video.width()))
            }),
            audio: streams.audio.map(|stream| {
                b.tap("a.patchify", b.linear("audio_patchify_proj", stream.latent, cfg.audio.width()))
            }),
        };
        let blocks = Blocks { cfg, ropes, common: &common };
        let mut states = vec![begin; inputs.len()];
        let mut begun: Vec<bool> = inputs
            .iter()
            .enumerate()
            .map(|(i, input)| i == 0 || input.context != inputs[0].context)
            .collect();
        let skips: Vec<&Skip> = inputs.iter().map(|input| &input.skip).collect();
        for stretch in stretches(cfg.layers, &skips) {
            let first = skips[0].at(stretch.start);
            begun.iter_mut().zip(&skips).for_each(|(begun, skip)| *begun |= skip.at(stretch.start) != first);
            let here: Vec<usize> = (0..inputs.len()).filter(|i| begun[*i]).collect();
            let before: Vec<(&PassInput, States)> = here.iter().map(|i| (&inputs[*i], states[*i])).collect();
            let after = blocks.run(b, &stretch, &before);
            // Passes that have not begun are still the first one.
            states.fill(after[0]);
            here.iter().zip(after).for_each(|(i, x)| states[*i] = x);
        }
        let channels = PerStream { video: cfg.video_channels, audio: cfg.audio_channels };
        let velocity = |x: &States| {
            let head = |((common, channels), x): ((&Option<Common>, usize), Option<Value>)| {
                Some(head(b, cfg, common.as_ref()?, x?, channels))
            };
            common.as_ref().zip(channels).zip(*x).map(head)
        };
        states.iter().map(velocity).collect()
    })
}

/// The tokens of the streams that are there.
type States = PerStream<Option<Value>>;

/// All blocks, and what all passes through them have in common.
struct Blocks<'a> {
    cfg: &'a Transformer,
    ropes: &'a Ropes,
    common: &'a PerStream<Option<Common>>,
}

impl Blocks<'_> {
    /// Takes every pass from its state through a stretch of blocks: one loop, whose body has a block for each.
    fn run(&self, b: &Builder, stretch: &Range<usize>, passes: &[(&PassInput, States)]) -> Vec<States> {
        let sums = self.common.as_ref().map(|common| common.as_ref().map(|c| c.sums.of(b, stretch)));
        let flat: Vec<Value> = passes.iter().flat_map(|(_, x)| x.present()).collect();
        let states = |flat: &[Value]| -> Vec<States> {
            let mut flat = flat.iter().copied();
            passes.iter().map(|(_, x)| x.map(|there| there.and_then(|_| flat.next()))).collect()
        };
        let out = b.scope("transformer_blocks.*", || {
            b.repeat("transformer_blocks", stretch.clone(), &flat, |x| {
                let blocks = passes.iter().zip(states(x)).map(|((input, _), x)| {
                    let streams = self.common.as_ref().zip(sums.as_ref()).zip(input.context);
                    let streams = streams.map(|((common, sums), context)| {
                        Some(StreamInBlock::new(b, common.as_ref()?, sums.as_ref()?, context?))
                    });
                    b.may_keep(|| block(b, self, &streams, input.skip.at(stretch.start), x))
                });
                let after: Vec<States> = blocks.collect();
                // Where there are several stretches, numbers of iterations are not those of blocks.
                if let ([only], true) = (&after[..], stretch.len() == self.cfg.layers) {
                    only.video.map(|x| b.tap("block*.v", x));
                    only.audio.map(|x| b.tap("block*.a", x));
                }
                after.iter().flat_map(|x| x.present()).collect()
            })
        });
        states(&out)
    }
}

/// rms(x)·(1 + scale) + shift, with the rows of each token's timestep.
fn modulated(b: &Builder, eps: f32, x: Value, class: Value, scale: Value, shift: Value) -> Value {
    b.modulate(b.rms(x, eps), b.gather(scale, class), b.gather(shift, class))
}

/// x + y·gate, with the gate row of each token's timestep.
fn gated_residual(b: &Builder, x: Value, y: Value, class: Value, gate: Value) -> Value {
    b.add(x, b.mul(y, b.gather(gate, class)))
}

/// A stream in a block: what is there for all passes, and what its own pass brings.
struct StreamInBlock<'a> {
    common: &'a Common,
    sums: &'a BlockSums,
    main: Rows,
    context: Value,
}

impl<'a> StreamInBlock<'a> {
    fn new(b: &Builder, common: &'a Common, sums: &'a BlockSums, context: Value) -> StreamInBlock<'a> {
        StreamInBlock { common, sums, main: sums.main.here(b), context }
    }
}

/// One block in one pass.
fn block(
    b: &Builder,
    blocks: &Blocks<'_>,
    streams: &PerStream<Option<StreamInBlock<'_>>>,
    skipped: Skipped,
    x: States,
) -> States {
    let Blocks { cfg, ropes, .. } = blocks;
    let eps = cfg.norm_eps;
    let there = |x: States| streams.as_ref().zip(x).map(|(stream, x)| Some((stream.as_ref()?, x?)));
    let ropes_of = PerStream {
        video: (!skipped.video).then_some((&ropes.video, ropes.video_groups.as_slice())),
        audio: (!skipped.audio).then_some((&ropes.audio, [].as_slice())),
    };
    let mut x = there(x).zip(ropes_of).map(|(there, rope)| {
        let (stream, x) = there?;
        Some(self_and_text(b, eps, stream, rope, x))
    });
    if let (PerStream { video: Some((v, x_v)), audio: Some((a, x_a)) }, false) =
        (there(x), skipped.a2v && skipped.v2a)
    {
        x = across(b, cfg, ropes, v, a, skipped, PerStream { video: x_v, audio: x_a }).map(Some);
    }
    there(x).map_some(|(stream, x)| mlp(b, eps, stream, x))
}

/// Self-attention, or what stands for it where there is no `rope` because it is perturbed; then attention to the text.
/// With the rope come the groups of the stream's tokens.
fn self_and_text(
    b: &Builder,
    eps: f32,
    s: &StreamInBlock<'_>,
    rope: Option<(&Rotary, &[Group])>,
    x: Value,
) -> Value {
    let Common { prefix, heads, class, bias, .. } = *s.common;
    let m = &s.main;
    let n = modulated(b, eps, x, class, m.row(b, 1), m.row(b, 0));
    let y = b.scope(&format!("{prefix}attn1"), || match rope {
        Some((rope, groups)) => {
            let places = Places { q: Some(rope), k: Some(rope), bias, groups };
            gated(b, heads, eps, n, n, places)
        }
        None => perturbed(b, heads, n),
    });
    let x = gated_residual(b, x, y, class, m.row(b, 2));

    let p = s.sums.prompt.here(b);
    let q = modulated(b, eps, x, class, m.row(b, 7), m.row(b, 6));
    let text = b.modulate(s.context, p.row(b, 1), p.row(b, 0));
    let y = b.scope(&format!("{prefix}attn2"), || gated(b, heads, eps, q, text, Places::default()));
    gated_residual(b, x, y, class, m.row(b, 8))
}

/// Attention between the streams, as far as it is not skipped; both directions read the states from before either.
fn across(
    b: &Builder,
    cfg: &Transformer,
    r: &Ropes,
    v: &StreamInBlock<'_>,
    a: &StreamInBlock<'_>,
    skipped: Skipped,
    x: PerStream,
) -> PerStream {
    let eps = cfg.norm_eps;
    let rows = |s: &StreamInBlock<'_>| s.sums.cross.map(|c| (c.rows.here(b), c.gate.here(b).row(b, 0)));
    let (Some((rows_v, gate_v)), Some((rows_a, gate_a))) = (rows(v), rows(a)) else { return x };
    let side = |s: &StreamInBlock<'_>, rows: &Rows, x: Value, first: usize| {
        modulated(b, eps, x, s.common.class, rows.row(b, first), rows.row(b, first + 1))
    };
    let (q_v, kv_a) = (side(v, &rows_v, x.video, 0), side(a, &rows_a, x.audio, 0));
    let (q_a, kv_v) = (side(a, &rows_a, x.audio, 2), side(v, &rows_v, x.video, 2));
    // The inner width of both directions is the audio stream's.
    let inner = cfg.audio;
    let video = Places { q: Some(&r.video_time), k: Some(&r.audio), ..Places::default() };
    let audio = Places { q: video.k, k: video.q, bias: v.common.bias_from_outside, ..video };
    let video = Places { bias: a.common.bias_from_outside, ..video };
    let (into_v, into_a) = ("audio_to_video_attn", "video_to_audio_attn");
    let into_v = (!skipped.a2v).then(|| b.scope(into_v, || gated(b, inner, eps, q_v, kv_a, video)));
    let into_a = (!skipped.v2a).then(|| b.scope(into_a, || gated(b, inner, eps, q_a, kv_v, audio)));
    let entered = |x: Value, into: Option<Value>, gate| into.map_or(x, |into| b.add(x, b.mul(into, gate)));
    PerStream { video: entered(x.video, into_v, gate_v), audio: entered(x.audio, into_a, gate_a) }
}

fn mlp(b: &Builder, eps: f32, s: &StreamInBlock<'_>, x: Value) -> Value {
    let (class, m) = (s.common.class, &s.main);
    let n = modulated(b, eps, x, class, m.row(b, 4), m.row(b, 3));
    let y = b.scope(&format!("{}ff", s.common.prefix), || feed_forward(b, n));
    gated_residual(b, x, y, class, m.row(b, 5))
}

/// LayerNorm, modulated by the embedded timestep, projected to the latent channels.
fn head(b: &Builder, cfg: &Transformer, s: &Common, x: Value, channels: usize) -> Value {
    let table = b.weight(&format!("{}scale_shift_table", s.prefix), &[2, s.heads.width()]);
    let row = |r: usize| b.gather(b.add(s.embedded, b.slice(table, 0, r, 1)), s.class);
    let n = b.op(Op::LayerNorm { eps: cfg.norm_eps }, &[x]);
    b.linear(&format!("{}proj_out", s.prefix), b.modulate(n, row(1), row(0)), channels)
}

/// The timestep class of every token when all tokens of a stream share one: zeros.
pub fn one_class(b: &Builder, name: &str, tokens: usize) -> Value {
    b.index(name, &[tokens], vec![0; tokens])
}
