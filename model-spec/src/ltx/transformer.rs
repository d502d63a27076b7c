//! The audio-video diffusion transformer (docs/model/transformer.md).

use std::ops::Range;

use super::attention::{Places, gated, perturbed};
use super::config::{Heads, Transformer};
use super::feed_forward::feed_forward;
pub use super::pass_input::{PassInput, PerStream};
pub use super::positions::{Positions, Ropes};
use super::rope::Rotary;
use super::skip::{Skip, Skipped, stretches};
use crate::lang::{Builder, Op, Source, Value};

/// What one stream brings to an evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// Noisy tokens [tokens, 128].
    pub latent: Value,
    /// The distinct timesteps of the stream's tokens, sigma times mask, f32 \[classes\].
    pub timesteps: Value,
    /// Which of them each token has, i32 \[tokens\].
    pub class: Value,
    /// The noise level of the stream as a whole, f32 \[1\].
    pub sigma: Value,
    /// What is added to the scores of its self-attention, f32 [tokens, tokens], or [1, tokens] for all queries
    /// ([`super::attention::bias_of`]).
    pub bias: Option<Value>,
    /// The same where the other stream attends to it, [1, tokens].
    pub bias_from_outside: Option<Value>,
}

/// Modulation vectors of one stream, one row per distinct timestep (docs/model/transformer.md 5).
struct Modulation {
    /// [classes, 9·width]
    main: Value,
    /// [classes, width]: what the output head adds to its table.
    embedded: Value,
    /// [1, 2·width]: shift and scale of the text context.
    prompt: Value,
    /// [classes, 4·width]: scale and shift towards the other stream.
    cross: Value,
    /// [1, width]: the gate of what enters this stream; made from the other stream's noise level.
    cross_gate: Value,
}

/// What the checkpoint and the taps call the modules of a stream.
struct Names {
    /// How most of its names begin.
    prefix: &'static str,
    /// Its name in the modules between the streams.
    stream: &'static str,
    /// The direction that enters it.
    entering: &'static str,
    tag: &'static str,
}

const VIDEO: Names = Names { prefix: "", stream: "video", entering: "a2v", tag: "v" };
const AUDIO: Names = Names { prefix: "audio_", stream: "audio", entering: "v2a", tag: "a" };

impl Names {
    fn heads(&self, cfg: &Transformer) -> Heads {
        if self.tag == VIDEO.tag { cfg.video } else { cfg.audio }
    }
}

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
    let ropes = Ropes::of(b, cfg, at);
    velocities(b, cfg, &ropes, video, audio, &[PassInput { skip: Skip::default(), context }])[0]
}

/// Velocities of every pass in `inputs`, in their order.
///
/// A pass with the text of the first one is that one up to the first block in which they skip different things. So it
/// begins there, with what the first one has by then (docs/model/transformer.md 9).
pub fn velocities(
    b: &Builder,
    cfg: &Transformer,
    ropes: &Ropes,
    video: Stream,
    audio: Stream,
    inputs: &[PassInput],
) -> Vec<PerStream> {
    b.component(Source::Checkpoint, "model.diffusion_model", || {
        let common = |names: &Names, own: Stream, other_sigma| {
            let made = modulation(b, cfg, names, own, other_sigma);
            Common {
                prefix: names.prefix,
                heads: names.heads(cfg),
                class: own.class,
                bias: own.bias,
                bias_from_outside: own.bias_from_outside,
                embedded: made.embedded,
                sums: BlockSums::new(b, cfg, names, &made),
            }
        };
        let (v, a) = (common(&VIDEO, video, audio.sigma), common(&AUDIO, audio, video.sigma));
        let begin = PerStream {
            video: b.tap("v.patchify", b.linear("patchify_proj", video.latent, cfg.video.width())),
            audio: b.tap("a.patchify", b.linear("audio_patchify_proj", audio.latent, cfg.audio.width())),
        };
        let blocks = Blocks { cfg, ropes, v: &v, a: &a };
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
            let before: Vec<(&PassInput, PerStream)> =
                here.iter().map(|i| (&inputs[*i], states[*i])).collect();
            let after = blocks.run(b, &stretch, &before);
            // Passes that have not begun are still the first one.
            states.fill(after[0]);
            here.iter().zip(after).for_each(|(i, x)| states[*i] = x);
        }
        let velocity = |x: &PerStream| PerStream {
            video: head(b, cfg, &v, x.video, cfg.video_channels),
            audio: head(b, cfg, &a, x.audio, cfg.audio_channels),
        };
        states.iter().map(velocity).collect()
    })
}

/// All blocks, and what all passes through them have in common.
struct Blocks<'a> {
    cfg: &'a Transformer,
    ropes: &'a Ropes,
    v: &'a Common,
    a: &'a Common,
}

impl Blocks<'_> {
    /// Takes every pass from its state through a stretch of blocks: one loop, whose body has a block for each.
    fn run(&self, b: &Builder, stretch: &Range<usize>, passes: &[(&PassInput, PerStream)]) -> Vec<PerStream> {
        let (v, a) = (self.v.sums.of(b, stretch), self.a.sums.of(b, stretch));
        let flat: Vec<Value> = passes.iter().flat_map(|(_, x)| [x.video, x.audio]).collect();
        let pairs = |flat: &[Value]| -> Vec<PerStream> {
            flat.chunks_exact(2).map(|x| PerStream { video: x[0], audio: x[1] }).collect()
        };
        let out = b.scope("transformer_blocks.*", || {
            b.repeat("transformer_blocks", stretch.clone(), &flat, |x| {
                let blocks = passes.iter().zip(pairs(x)).map(|((input, _), x)| {
                    let v = StreamInBlock { common: self.v, sums: &v, context: input.context.video };
                    let a = StreamInBlock { common: self.a, sums: &a, context: input.context.audio };
                    block(b, self, &v, &a, input.skip.at(stretch.start), x)
                });
                let after: Vec<PerStream> = blocks.collect();
                // Where there are several stretches, numbers of iterations are not those of blocks.
                if let ([only], true) = (&after[..], stretch.len() == self.cfg.layers) {
                    b.tap("block*.v", only.video);
                    b.tap("block*.a", only.audio);
                }
                after.iter().flat_map(|x| [x.video, x.audio]).collect()
            })
        });
        pairs(&out)
    }
}

fn modulation(b: &Builder, cfg: &Transformer, names: &Names, own: Stream, other_sigma: Value) -> Modulation {
    let width = names.heads(cfg).width();
    let scaled = |t: Value, scale: f32| b.affine(t, scale, 0.0);
    let t = scaled(own.timesteps, cfg.timestep_scale);
    let sigma = scaled(own.sigma, cfg.timestep_scale);
    let entering_sigma = scaled(other_sigma, cfg.cross_timestep_scale);
    let Names { prefix, stream, entering, tag } = names;
    let (main, embedded) = adaln(b, &format!("{prefix}adaln_single"), t, width, 9);
    let (prompt, _) = adaln(b, &format!("{prefix}prompt_adaln_single"), sigma, width, 2);
    let (cross, _) = adaln(b, &format!("av_ca_{stream}_scale_shift_adaln_single"), t, width, 4);
    let (cross_gate, _) = adaln(b, &format!("av_ca_{entering}_gate_adaln_single"), entering_sigma, width, 1);
    let tap = |what: &str, value| b.tap(&format!("{tag}.{what}"), value);
    Modulation {
        main: tap("adaln", main),
        embedded: tap("embedded_timestep", embedded),
        prompt: tap("prompt_adaln", prompt),
        cross: tap("cross_scale_shift", cross),
        cross_gate: tap("cross_gate", cross_gate),
    }
}

/// AdaLN-single: `rows` vectors per timestep, [n, rows·width], and the embedded timestep [n, width].
fn adaln(b: &Builder, name: &str, t: Value, width: usize, rows: usize) -> (Value, Value) {
    b.scope(name, || {
        let sinusoid = b.round(b.op(Op::Sinusoid { half: 128 }, &[t]));
        let embedded = b.scope("emb.timestep_embedder", || {
            b.linear("linear_2", b.silu(b.linear("linear_1", sinusoid, width)), width)
        });
        (b.linear("linear", b.silu(embedded), rows * width), embedded)
    })
}

/// Tables of modulation rows of all blocks plus what the timestep adds: summed once per evaluation.
#[derive(Clone, Copy)]
struct Sums {
    /// [blocks, classes, rows·width]
    all: Value,
    width: usize,
}

/// The vectors `row` of one block's sum, [classes, width] each.
struct Rows {
    sum: Value,
    width: usize,
}

impl Sums {
    /// Rows `first` and following of every block's table `tables` [blocks·total, width], plus `made`
    /// [classes, rows·width].
    fn new(b: &Builder, tables: Value, total: usize, first: usize, made: Value) -> Sums {
        let (blocks, width) = (b.dim(tables, 0) / total, b.width(tables));
        let flat = b.reshape(tables, &[blocks, total * width]);
        let table = b.slice(flat, 1, first * width, b.width(made));
        Sums { all: b.op(Op::OuterAdd {}, &[table, made]), width }
    }

    /// Those of a stretch of blocks.
    fn of(&self, b: &Builder, blocks: &Range<usize>) -> Sums {
        if blocks.len() == b.dim(self.all, 0) {
            return *self;
        }
        Sums { all: b.slice(self.all, 0, blocks.start, blocks.len()), ..*self }
    }

    /// Those of the current block.
    fn here(&self, b: &Builder) -> Rows {
        Rows { sum: b.iteration(self.all), width: self.width }
    }
}

impl Rows {
    fn row(&self, b: &Builder, row: usize) -> Value {
        b.slice(self.sum, 1, row * self.width, self.width)
    }
}

/// What modulates a stream in every block.
#[derive(Clone, Copy)]
struct BlockSums {
    /// Self-attention, feed-forward, attention to the text: nine rows.
    main: Sums,
    /// The text context: shift and scale.
    prompt: Sums,
    /// Towards the other stream, twice scale and shift.
    cross: Sums,
    /// The gate of what enters from the other stream.
    gate: Sums,
}

impl BlockSums {
    fn new(b: &Builder, cfg: &Transformer, names: &Names, m: &Modulation) -> BlockSums {
        let width = names.heads(cfg).width();
        let tables =
            |name: &str, rows| b.weight_of_iterations("transformer_blocks", cfg.layers, name, &[rows, width]);
        let Names { prefix, stream, .. } = names;
        let main = tables(&format!("{prefix}scale_shift_table"), 9);
        let prompt = tables(&format!("{prefix}prompt_scale_shift_table"), 2);
        let cross = tables(&format!("scale_shift_table_a2v_ca_{stream}"), 5);
        BlockSums {
            main: Sums::new(b, main, 9, 0, m.main),
            prompt: Sums::new(b, prompt, 2, 0, m.prompt),
            cross: Sums::new(b, cross, 5, 0, m.cross),
            gate: Sums::new(b, cross, 5, 4, m.cross_gate),
        }
    }

    /// What modulates it in a stretch of blocks.
    fn of(&self, b: &Builder, blocks: &Range<usize>) -> BlockSums {
        let [main, prompt, cross, gate] =
            [self.main, self.prompt, self.cross, self.gate].map(|sums| sums.of(b, blocks));
        BlockSums { main, prompt, cross, gate }
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
    context: Value,
}

/// One block in one pass.
fn block(
    b: &Builder,
    blocks: &Blocks<'_>,
    v: &StreamInBlock<'_>,
    a: &StreamInBlock<'_>,
    skipped: Skipped,
    x: PerStream,
) -> PerStream {
    let Blocks { cfg, ropes, .. } = blocks;
    let eps = cfg.norm_eps;
    let (m_v, m_a) = (v.sums.main.here(b), a.sums.main.here(b));
    let (rope_v, rope_a) = (&ropes.video, &ropes.audio);
    let mut x = PerStream {
        video: self_and_text(b, eps, v, &m_v, (!skipped.video).then_some(rope_v), x.video),
        audio: self_and_text(b, eps, a, &m_a, (!skipped.audio).then_some(rope_a), x.audio),
    };
    if !(skipped.a2v && skipped.v2a) {
        x = across(b, cfg, ropes, v, a, skipped, x);
    }
    PerStream { video: mlp(b, eps, v, &m_v, x.video), audio: mlp(b, eps, a, &m_a, x.audio) }
}

/// Self-attention, or what stands for it where there is no `rope` because it is perturbed; then attention to the text.
fn self_and_text(
    b: &Builder,
    eps: f32,
    s: &StreamInBlock<'_>,
    m: &Rows,
    rope: Option<&Rotary>,
    x: Value,
) -> Value {
    let Common { prefix, heads, class, bias, .. } = *s.common;
    let n = modulated(b, eps, x, class, m.row(b, 1), m.row(b, 0));
    let y = b.scope(&format!("{prefix}attn1"), || match rope {
        Some(_) => gated(b, heads, eps, n, n, Places { q: rope, k: rope, bias }),
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
    let rows = |s: &StreamInBlock<'_>| (s.sums.cross.here(b), s.sums.gate.here(b).row(b, 0));
    let ((rows_v, gate_v), (rows_a, gate_a)) = (rows(v), rows(a));
    let side = |s: &StreamInBlock<'_>, rows: &Rows, x: Value, first: usize| {
        modulated(b, eps, x, s.common.class, rows.row(b, first), rows.row(b, first + 1))
    };
    let (q_v, kv_a) = (side(v, &rows_v, x.video, 0), side(a, &rows_a, x.audio, 0));
    let (q_a, kv_v) = (side(a, &rows_a, x.audio, 2), side(v, &rows_v, x.video, 2));
    // The inner width of both directions is the audio stream's.
    let inner = cfg.audio;
    let video = Places { q: Some(&r.video_time), k: Some(&r.audio), bias: None };
    let video = Places { bias: a.common.bias_from_outside, ..video };
    let audio = Places { q: video.k, k: video.q, bias: v.common.bias_from_outside };
    let (into_v, into_a) = ("audio_to_video_attn", "video_to_audio_attn");
    let into_v = (!skipped.a2v).then(|| b.scope(into_v, || gated(b, inner, eps, q_v, kv_a, video)));
    let into_a = (!skipped.v2a).then(|| b.scope(into_a, || gated(b, inner, eps, q_a, kv_v, audio)));
    let entered = |x: Value, into: Option<Value>, gate| into.map_or(x, |into| b.add(x, b.mul(into, gate)));
    PerStream { video: entered(x.video, into_v, gate_v), audio: entered(x.audio, into_a, gate_a) }
}

fn mlp(b: &Builder, eps: f32, s: &StreamInBlock<'_>, m: &Rows, x: Value) -> Value {
    let class = s.common.class;
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
