//! How the kernel calls of a phase meet time: which are made in chunks, what they look at, and what stays whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use zoetrope_model_spec::lang::{Graph, Op, OpStmt, Value};

use crate::error::{Error, Result};
use crate::fused::{Fused, FusedStmt};
use crate::passes::reach::{Rate, Reach};

/// The statements of a phase, by how they meet the cuts.
#[derive(Default)]
pub struct Cut<'a> {
    /// Whole, on the way to the first convolutions over time.
    pub before: Vec<&'a OpStmt>,
    /// Made in chunks, by result.
    layers: BTreeMap<Value, Layer<'a>>,
    /// Results of layers that a kernel keeps to itself.
    inner: BTreeSet<Value>,
    /// Results of layers that kernels leave in memory, in order.
    pub calls: Vec<ChunkedCall>,
    /// The calls that look at a call's result.
    readers: BTreeMap<Value, Vec<usize>>,
    /// Frames of what the first convolutions look at.
    pub clip: usize,
    /// How many of them the last layers fold into one.
    pub folded: usize,
    /// What is made in chunks and wanted whole.
    pub results: BTreeSet<Value>,
    /// Moves of whole results.
    pub after: Vec<&'a OpStmt>,
}

/// A statement that is executed for one chunk of the clip after the other.
pub struct Layer<'a> {
    pub stmt: &'a OpStmt,
    pub reach: Reach,
    /// How many of its first operands have frames.
    framed: usize,
    /// Frames of what it looks at, and of its result.
    pub all: [usize; 2],
}

/// A kernel call that is executed for one chunk after the other.
pub struct ChunkedCall {
    pub value: Value,
    /// Frames of the result.
    pub all: usize,
    /// Of the result, to the clip.
    pub rate: Rate,
}

impl Layer<'_> {
    /// The inputs of which frames are looked at; the others are weights.
    pub fn framed(&self) -> &[Value] {
        &self.stmt.inputs[..self.framed]
    }
}

impl<'a> Cut<'a> {
    /// # Errors
    /// An op that is not known to go frame by frame, with its path.
    pub fn of(whole: &'a Fused) -> Result<Cut<'a>> {
        let makers: BTreeMap<Value, &OpStmt> =
            whole.graph.statements().into_iter().map(|(_, stmt)| (stmt.output, stmt)).collect();
        let mut cut = Cut { folded: 1, ..Cut::default() };
        let (mut rates, mut joined) = (BTreeMap::new(), BTreeSet::new());
        for stmt in &whole.body {
            let stmts: Vec<&OpStmt> = match stmt {
                FusedStmt::Call(call) => call.covers.iter().map(|v| makers[v]).collect(),
                FusedStmt::View(stmt) | FusedStmt::Join(stmt) => vec![stmt],
                FusedStmt::Loop(l) => {
                    return Err(Error::Chunk {
                        op: format!("loop {}", l.name),
                        path: whole.graph.name.clone(),
                    });
                }
            };
            let reads = |known: &dyn Fn(&Value) -> bool| stmts.iter().flat_map(|s| &s.inputs).any(known);
            let (chunked, late) = (reads(&|v| rates.contains_key(v)), reads(&|v| joined.contains(v)));
            let moves = stmts.iter().all(|s| matches!(s.op, Op::Permute { .. } | Op::Reshape { .. }));
            let convolves = |s: &&OpStmt| matches!(Reach::of(&whole.graph, s), Some(Reach::Three { .. }));
            let starts = stmts.iter().any(convolves);
            if moves && (chunked || late) {
                cut.results.extend(stmts.iter().flat_map(|s| &s.inputs).filter(|v| rates.contains_key(*v)));
                joined.extend(stmts.iter().map(|s| s.output));
                cut.after.extend(stmts);
            } else if late || chunked || starts {
                for stmt in &stmts {
                    cut.layer(&whole.graph, stmt, late, &mut rates)?;
                }
                let outputs: Vec<Value> = stmts.iter().map(|s| s.output).collect();
                let (value, inner) = outputs.split_last().expect("a call covers an op");
                cut.inner.extend(inner);
                let (all, rate) = (whole.graph.info(*value).shape[0], rates[value]);
                cut.folded = cut.folded.max(rate.folded);
                cut.calls.push(ChunkedCall { value: *value, all, rate });
            } else {
                cut.before.extend(stmts);
            }
        }
        cut.results.extend(whole.graph.outputs.iter().map(|o| o.value).filter(|v| rates.contains_key(v)));
        cut.meet(&whole.graph);
        Ok(cut)
    }

    fn layer(
        &mut self,
        graph: &Graph,
        stmt: &'a OpStmt,
        late: bool,
        rates: &mut BTreeMap<Value, Rate>,
    ) -> Result<()> {
        let refused = || Error::Chunk { op: stmt.op.to_string(), path: graph.info(stmt.output).path.clone() };
        let reach = Reach::of(graph, stmt).filter(|_| !late).ok_or_else(refused)?;
        let all = [stmt.inputs[0], stmt.output].map(|v| graph.info(v).shape[0]);
        let layer = Layer { stmt, reach, framed: Reach::framed(graph, stmt), all };
        let rate = rates.get(&stmt.inputs[0]).copied().unwrap_or_default();
        rates.insert(stmt.output, rate.then(reach.rate()));
        self.layers.insert(stmt.output, layer);
        Ok(())
    }

    /// Who looks at whom.
    fn meet(&mut self, graph: &Graph) {
        let (mut readers, mut clip) = (BTreeMap::<Value, Vec<usize>>::new(), 0);
        for (at, call) in self.calls.iter().enumerate() {
            self.looks(call.value, &(0..call.all), &mut |value, _| match self.layers.get(&value) {
                Some(_) => readers.entry(value).or_default().push(at),
                None => clip = clip.max(graph.info(value).shape[0]),
            });
        }
        (self.readers, self.clip) = (readers, clip);
    }

    /// The layer of `value`.
    pub fn made_by(&self, value: Value) -> &Layer<'a> {
        &self.layers[&value]
    }

    /// True when a kernel keeps `value` to itself.
    pub fn is_inner(&self, value: Value) -> bool {
        self.inner.contains(&value)
    }

    /// The calls that look at `value`, in order.
    pub fn readers(&self, value: Value) -> &[usize] {
        self.readers.get(&value).map_or(&[], Vec::as_slice)
    }

    /// Tells `found` what is looked at in memory to make the frames `out` of `value`.
    pub fn looks<F: FnMut(Value, Range<usize>)>(&self, value: Value, out: &Range<usize>, found: &mut F) {
        let layer = &self.layers[&value];
        let frames = layer.reach.reads(out, layer.all[0]);
        for value in layer.framed() {
            if self.is_inner(*value) {
                self.looks(*value, &frames, found);
            } else {
                found(*value, frames.clone());
            }
        }
    }

    /// How many frames of `value` can be made when `there` says how many there are of what is in memory.
    pub fn makes(&self, value: Value, there: &impl Fn(Value) -> usize) -> usize {
        let layer = &self.layers[&value];
        let have = |v: &Value| if self.is_inner(*v) { self.makes(*v, there) } else { there(*v) };
        layer.reach.makes(layer.framed().iter().map(have).fold(layer.all[0], usize::min), layer.all[0])
    }
}
