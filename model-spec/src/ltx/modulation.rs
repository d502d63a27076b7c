//! What modulates the transformer's blocks: vectors made from noise levels (docs/model/transformer.md 5).

use std::ops::Range;

use super::config::{Heads, Transformer};
use super::pass_input::Stream;
use crate::lang::{Builder, Op, Value};

/// What the checkpoint and the taps call the modules of a stream.
pub(super) struct Names {
    /// How most of its names begin.
    pub prefix: &'static str,
    /// Its name in the modules between the streams.
    pub stream: &'static str,
    /// The direction that enters it.
    pub entering: &'static str,
    pub tag: &'static str,
}

pub(super) const VIDEO: Names = Names { prefix: "", stream: "video", entering: "a2v", tag: "v" };
pub(super) const AUDIO: Names = Names { prefix: "audio_", stream: "audio", entering: "v2a", tag: "a" };

impl Names {
    pub fn heads(&self, cfg: &Transformer) -> Heads {
        if self.tag == VIDEO.tag { cfg.video } else { cfg.audio }
    }
}

/// Modulation vectors of one stream, one row per distinct timestep (docs/model/transformer.md 5).
pub(super) struct Modulation {
    /// [classes, 9·width]
    pub main: Value,
    /// [classes, width]: what the output head adds to its table.
    pub embedded: Value,
    /// [1, 2·width]: shift and scale of the text context.
    pub prompt: Value,
    /// Where there is another stream.
    pub cross: Option<CrossModulation>,
}

/// Modulation of the attention between the streams.
pub(super) struct CrossModulation {
    /// [classes, 4·width]: scale and shift towards the other stream.
    pub rows: Value,
    /// [1, width]: the gate of what enters this stream; made from the other stream's noise level.
    pub gate: Value,
}

pub(super) fn modulation(
    b: &Builder,
    cfg: &Transformer,
    names: &Names,
    own: Stream,
    other_sigma: Option<Value>,
) -> Modulation {
    let width = names.heads(cfg).width();
    let scaled = |t: Value, scale: f32| b.affine(t, scale, 0.0);
    let t = scaled(own.timesteps, cfg.timestep_scale);
    let sigma = scaled(own.sigma, cfg.timestep_scale);
    let Names { prefix, stream, entering, tag } = names;
    let (main, embedded) = adaln(b, &format!("{prefix}adaln_single"), t, width, 9);
    let (prompt, _) = adaln(b, &format!("{prefix}prompt_adaln_single"), sigma, width, 2);
    let tap = |what: &str, value| b.tap(&format!("{tag}.{what}"), value);
    let cross = other_sigma.map(|other_sigma| {
        let entering_sigma = scaled(other_sigma, cfg.cross_timestep_scale);
        let (rows, _) = adaln(b, &format!("av_ca_{stream}_scale_shift_adaln_single"), t, width, 4);
        let (gate, _) = adaln(b, &format!("av_ca_{entering}_gate_adaln_single"), entering_sigma, width, 1);
        CrossModulation { rows: tap("cross_scale_shift", rows), gate: tap("cross_gate", gate) }
    });
    Modulation {
        main: tap("adaln", main),
        embedded: tap("embedded_timestep", embedded),
        prompt: tap("prompt_adaln", prompt),
        cross,
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
pub(super) struct Sums {
    /// [blocks, classes, rows·width]
    all: Value,
    width: usize,
}

/// The vectors `row` of one block's sum, [classes, width] each.
pub(super) struct Rows {
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
    pub fn here(&self, b: &Builder) -> Rows {
        Rows { sum: b.iteration(self.all), width: self.width }
    }
}

impl Rows {
    pub fn row(&self, b: &Builder, row: usize) -> Value {
        b.slice(self.sum, 1, row * self.width, self.width)
    }
}

/// What modulates a stream in every block.
#[derive(Clone, Copy)]
pub(super) struct BlockSums {
    /// Self-attention, feed-forward, attention to the text: nine rows.
    pub main: Sums,
    /// The text context: shift and scale.
    pub prompt: Sums,
    /// Where there is another stream.
    pub cross: Option<CrossSums>,
}

/// What modulates the attention between the streams in every block.
#[derive(Clone, Copy)]
pub(super) struct CrossSums {
    /// Towards the other stream, twice scale and shift.
    pub rows: Sums,
    /// The gate of what enters from the other stream.
    pub gate: Sums,
}

impl BlockSums {
    pub fn new(b: &Builder, cfg: &Transformer, names: &Names, m: &Modulation) -> BlockSums {
        let width = names.heads(cfg).width();
        let tables =
            |name: &str, rows| b.weight_of_iterations("transformer_blocks", cfg.layers, name, &[rows, width]);
        let Names { prefix, stream, .. } = names;
        let main = tables(&format!("{prefix}scale_shift_table"), 9);
        let prompt = tables(&format!("{prefix}prompt_scale_shift_table"), 2);
        let (main, prompt) = (Sums::new(b, main, 9, 0, m.main), Sums::new(b, prompt, 2, 0, m.prompt));
        let cross = m.cross.as_ref().map(|m| {
            let cross = tables(&format!("scale_shift_table_a2v_ca_{stream}"), 5);
            CrossSums { rows: Sums::new(b, cross, 5, 0, m.rows), gate: Sums::new(b, cross, 5, 4, m.gate) }
        });
        BlockSums { main, prompt, cross }
    }

    /// What modulates it in a stretch of blocks.
    pub fn of(&self, b: &Builder, blocks: &Range<usize>) -> BlockSums {
        let [main, prompt] = [self.main, self.prompt].map(|sums| sums.of(b, blocks));
        let cross = self
            .cross
            .map(|CrossSums { rows, gate }| CrossSums { rows: rows.of(b, blocks), gate: gate.of(b, blocks) });
        BlockSums { main, prompt, cross }
    }
}
