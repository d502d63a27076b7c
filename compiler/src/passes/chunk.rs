//! A clip goes through all layers a few frames at a time, so that no activation of the whole clip is ever there.
//!
//! Every value in memory between the first convolution over time and the results becomes a list of pieces. How many
//! frames of a value exist after a chunk is its frontier: a convolution that looks at the frame behind waits for it, so
//! deep layers lag, and go on when the clip has ended, never faster than it came. What readers will want again of a value, two
//! frames where convolutions read it, is kept as a tail and put before its next piece; tail and piece together are the
//! window that readers look into.
//!
//! All frames are made once, by the same kernels and from the same numbers as in one piece: results have the same
//! bits.

use std::collections::BTreeMap;
use std::ops::Range;

use zoetrope_model_spec::lang::{Def, Graph, Info, Op, OpStmt, Stmt, Value};

use crate::error::Result;
use crate::fused::Fused;
use crate::passes::cut::{ChunkedCall, Cut};

/// Cuts the clip into chunks of `frames` frames (at least one) of what the first convolutions look at, or of the last
/// results where layers fold frames. What kernels leave in memory in `whole`, which has no loops, is what they leave in
/// pieces.
///
/// # Errors
/// An op that is not known to go frame by frame, with its path.
pub fn chunk(whole: Fused, frames: usize) -> Result<Graph> {
    let cut = Cut::of(&whole)?;
    let frames = frames.max(1) * cut.folded;
    if cut.clip <= frames {
        return Ok(whole.graph);
    }
    let mut chunker = Chunker {
        cut: &cut,
        frames,
        values: whole.graph.values.clone(),
        body: cut.before.iter().copied().cloned().collect(),
        made: cut.calls.iter().map(|s| (s.value, 0)).collect(),
        windows: BTreeMap::new(),
        results: cut.results.iter().map(|v| (*v, Vec::new())).collect(),
    };
    let mut seen = 0;
    while cut.calls.iter().any(|s| chunker.made[&s.value] < s.all) {
        // What folds takes one frame for its first result.
        let next = if seen == 0 { frames + 1 - cut.folded } else { seen + frames };
        seen = cut.clip.min(next);
        for (at, call) in cut.calls.iter().enumerate() {
            chunker.advance(call, seen);
            chunker.trim(at);
        }
    }
    let Chunker { values, mut body, results, .. } = chunker;
    let joined = results.into_iter().map(|(output, inputs)| OpStmt { op: Op::Concat {}, inputs, output });
    body.extend(joined.chain(cut.after.iter().copied().cloned()));
    let body = body.into_iter().map(Stmt::Op).collect();
    Ok(Graph { values, body, ..whole.graph })
}

/// The frames of a call's result that are there: those from `first` to its frontier.
#[derive(Clone, Copy)]
struct Window {
    value: Value,
    first: usize,
}

struct Chunker<'a> {
    cut: &'a Cut<'a>,
    /// Of the clip, in one chunk.
    frames: usize,
    values: Vec<Info>,
    body: Vec<OpStmt>,
    /// The frontiers.
    made: BTreeMap<Value, usize>,
    windows: BTreeMap<Value, Window>,
    /// The pieces of what is wanted whole.
    results: BTreeMap<Value, Vec<Value>>,
}

impl Chunker<'_> {
    /// Makes the next frames of a call's result when the first `seen` frames of the clip may be looked at.
    fn advance(&mut self, call: &ChunkedCall, seen: usize) {
        let made = self.made[&call.value];
        let can = self.cut.makes(call.value, &|v| self.made.get(&v).copied().unwrap_or(seen));
        // The first piece may be larger, so that it ends where a frame of the clip does: frames unfold as a whole.
        let first = if made == 0 { call.rate.times - call.rate.dropped } else { 0 };
        let most = call.rate.of(self.frames) + first;
        let out = made..can.min(made + most);
        if out.is_empty() {
            return;
        }
        // The tail moves into the window when that is filled, not before: until then a window takes no memory.
        let tail = self.windows.remove(&call.value);
        let tail = tail.map(|w| Window { value: self.copy(w.value, call.value, made - w.first), ..w });
        let piece = self.make(call.value, &out);
        if let Some(pieces) = self.results.get_mut(&call.value) {
            pieces.push(piece);
        }
        if !self.cut.readers(call.value).is_empty() {
            let window = tail.map_or(Window { value: piece, first: made }, |w| {
                let value = self.emit(Op::Concat {}, vec![w.value, piece], call.value, out.end - w.first);
                Window { value, ..w }
            });
            self.windows.insert(call.value, window);
        }
        self.made.insert(call.value, out.end);
    }

    /// After call `at`: of windows that no later call looks into, only what the next chunks want is kept.
    fn trim(&mut self, at: usize) {
        let mut done = Vec::new();
        self.cut.looks(self.cut.calls[at].value, &(0..1), &mut |value, _| done.push(value));
        for value in done.into_iter().filter(|v| self.cut.readers(*v).last() == Some(&at)) {
            let Some(window) = self.windows.get(&value).copied() else { continue };
            let end = self.made[&value];
            let keep = self.cut.readers(value).iter().map(|r| self.wants(*r, value)).fold(end, usize::min);
            if keep == end {
                self.windows.remove(&value);
            } else if keep > window.first {
                let tail = self.slice(window.value, value, keep - window.first..end - window.first);
                let tail = self.copy(tail, value, end - keep);
                self.windows.insert(value, Window { value: tail, first: keep });
            }
        }
    }

    /// The first frame of `value` that call `reader` will still look at.
    fn wants(&self, reader: usize, value: Value) -> usize {
        let call = &self.cut.calls[reader];
        let next = self.made[&call.value];
        let mut first = usize::MAX;
        if next < call.all {
            self.cut.looks(call.value, &(next..next + 1), &mut |v, frames| {
                if v == value {
                    first = first.min(frames.start);
                }
            });
        }
        first
    }

    /// The frames `out` of a layer's result.
    fn make(&mut self, value: Value, out: &Range<usize>) -> Value {
        let layer = self.cut.made_by(value);
        let frames = layer.reach.reads(out, layer.all[0]);
        let mut inputs = layer.stmt.inputs.clone();
        for input in &mut inputs[..layer.framed().len()] {
            *input = if self.cut.is_inner(*input) {
                self.make(*input, &frames)
            } else {
                let window = self.windows.get(input).copied().unwrap_or(Window { value: *input, first: 0 });
                self.slice(window.value, *input, frames.start - window.first..frames.end - window.first)
            };
        }
        self.emit(layer.reach.piece(&layer.stmt.op, out, layer.all[1]), inputs, value, out.len())
    }

    fn slice(&mut self, from: Value, like: Value, frames: Range<usize>) -> Value {
        let (start, len) = (frames.start, frames.len());
        if len == self.values[from.index()].shape[0] {
            return from;
        }
        self.emit(Op::Slice { axis: 0, start, len }, vec![from], like, len)
    }

    fn copy(&mut self, from: Value, like: Value, frames: usize) -> Value {
        self.emit(Op::Copy {}, vec![from], like, frames)
    }

    /// A new value of so many frames, otherwise as `like`.
    fn emit(&mut self, op: Op, inputs: Vec<Value>, like: Value, frames: usize) -> Value {
        let mut info = self.values[like.index()].clone();
        info.shape[0] = frames;
        info.def = Def::Op;
        self.values.push(info);
        let output = Value(self.values.len() as u32 - 1);
        self.body.push(OpStmt { op, inputs, output });
        output
    }
}
