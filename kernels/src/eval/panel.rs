//! One sweep, evaluated panel by panel on all threads.

use std::ops::{Deref, DerefMut, Range};

use rayon::prelude::*;
use zoetrope_model_spec::lang::Op;

use super::row_op::{BoxedRowOp, Panel};
use super::rows::Rows;
use super::scratch::Scratch;
use super::{DataMut, Tensor};

/// Where an op finds the rows of an input.
#[derive(Clone, Copy)]
pub(crate) enum RowInput<'a> {
    /// Nowhere: it holds the whole.
    Whole,
    /// Made by an earlier op of the sweep.
    Made(usize),
    Tensor(Tensor<'a>),
    /// In the result's memory, at the rows that the panel is about to write.
    InResult,
}

/// One op of a sweep, ready to run.
pub(crate) struct Link<'a> {
    pub op: BoxedRowOp<'a>,
    pub inputs: Vec<RowInput<'a>>,
    /// Length of a row of each input.
    pub widths: Vec<usize>,
    /// Length of a row of the result.
    pub width: usize,
    /// Nobody else reads input 0, which an earlier op made: its buffer may be changed.
    pub takes_over: bool,
}

/// What the panels of a sweep write.
pub(crate) struct Output<'a> {
    /// The op whose result it is, by its place in the sweep.
    pub op: usize,
    pub data: DataMut<'a>,
}

/// Rows of a panel of a product: the library copies its columns of a weight once for each panel.
const PRODUCT_ROWS: usize = 256;

/// Elements of the widest buffer of a panel of elementwise ops: a few such buffers fit the second-level cache.
const ELEMENTS: usize = 1 << 14;

/// True for ops that do many operations for each element, in panels that do not depend on the machine.
pub(crate) fn is_product(op: &Op) -> bool {
    matches!(op, Op::Linear {} | Op::Attention { .. } | Op::Conv { .. } | Op::ConvTranspose { .. })
}

/// Rows of a panel, and whether there are then fewer panels than threads. No result depends on this.
fn panel_rows(rows: usize, widest: usize, products: bool) -> (usize, bool) {
    let threads = rayon::current_num_threads();
    if !products {
        return ((ELEMENTS / widest).clamp(1, rows), false);
    }
    (PRODUCT_ROWS, rows.div_ceil(PRODUCT_ROWS) < threads)
}

/// Evaluates a sweep of `rows` rows.
pub(crate) fn run(links: &[Link<'_>], rows: usize, products: bool, outputs: Vec<Output<'_>>) {
    let widest = links.iter().map(|l| l.width).max().unwrap_or(1);
    let (size, wide) = panel_rows(rows, widest, products);
    let mut tasks: Vec<Vec<Output<'_>>> = (0..rows.div_ceil(size)).map(|_| Vec::new()).collect();
    for output in outputs {
        let chunks = output.data.chunks(size * links[output.op].width);
        tasks.iter_mut().zip(chunks).for_each(|(task, data)| task.push(Output { op: output.op, data }));
    }
    tasks.into_par_iter().enumerate().for_each(|(i, outputs)| {
        panel(links, i * size..rows.min((i + 1) * size), wide, outputs);
    });
}

fn panel(links: &[Link<'_>], rows: Range<usize>, wide: bool, mut outputs: Vec<Output<'_>>) {
    if let ([link], [_]) = (links, &outputs[..])
        && matches!(link.inputs.first(), Some(RowInput::InResult))
        && !link.op.changes(&rows)
    {
        return;
    }
    let at = direct(links, &outputs);
    let mut result = at.and_then(|_| outputs.pop());
    let mut result = result.as_mut().and_then(|output| match &mut output.data {
        DataMut::F32(data) => Some(&mut **data),
        _ => None,
    });
    let mut made: Vec<Option<Buffer<'_>>> = links.iter().map(|_| None).collect();
    for (place, link) in links.iter().enumerate() {
        let taken = match link.inputs.first() {
            Some(RowInput::Made(maker)) if link.takes_over => made[*maker].take(),
            _ => None,
        };
        let here = Here { made: &made, outputs: &outputs, rows: rows.clone() };
        let in_place = link.op.in_place();
        let mut out = match taken {
            Some(buffer) => buffer,
            None => {
                let mut buffer = match result.take_if(|_| at == Some(place)) {
                    Some(result) => Buffer::Result(result),
                    None => Buffer::Scratch(Scratch::new(rows.len() * link.width)),
                };
                if in_place {
                    here.copy(link.inputs[0], link.widths[0], &mut buffer);
                }
                buffer
            }
        };
        let hold = |i: usize| match i {
            0 if in_place => Held::NOTHING,
            _ => here.hold(link.inputs[i], link.widths[i]),
        };
        let held: Vec<Held<'_>> = (0..link.inputs.len()).map(hold).collect();
        let views: Vec<Rows<'_>> = held.iter().map(Held::rows).collect();
        link.op.run(&Panel { rows: rows.clone(), inputs: &views, wide }, &mut out);
        made[place] = Some(out);
    }
    for output in &mut outputs {
        if let Some(made) = &made[output.op] {
            output.data.store(made);
        }
    }
}

/// The op whose result may be made where the last output lies: that output's own, or the one whose buffer it takes over.
/// `None` where numbers are stored otherwise than they are computed, or where the output's old bytes are read.
fn direct(links: &[Link<'_>], outputs: &[Output<'_>]) -> Option<usize> {
    let output = outputs.last()?;
    let old = |link: &Link<'_>| link.inputs.iter().any(|input| matches!(input, RowInput::InResult));
    if !matches!(output.data, DataMut::F32(_)) || links.iter().any(old) {
        return None;
    }
    let mut place = output.op;
    while let (true, Some(RowInput::Made(maker))) = (links[place].takes_over, links[place].inputs.first()) {
        place = *maker;
    }
    // A result that another op takes over in its turn is no longer there at the end.
    let taken =
        |link: &Link<'_>| link.takes_over && matches!(link.inputs[0], RowInput::Made(m) if m == output.op);
    let twice = outputs.iter().filter(|other| other.op == output.op).count() > 1;
    (!twice && !links.iter().any(taken)).then_some(place)
}

/// Rows that an op has made: on their own, or where the result lies.
enum Buffer<'a> {
    Scratch(Scratch),
    Result(&'a mut [f32]),
}

impl Deref for Buffer<'_> {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match self {
            Buffer::Scratch(scratch) => scratch,
            Buffer::Result(result) => result,
        }
    }
}

impl DerefMut for Buffer<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        match self {
            Buffer::Scratch(scratch) => scratch,
            Buffer::Result(result) => result,
        }
    }
}

/// What a panel has so far.
struct Here<'a> {
    made: &'a [Option<Buffer<'a>>],
    outputs: &'a [Output<'a>],
    rows: Range<usize>,
}

/// Rows of an input: where they lie, or a converted copy.
enum Held<'a> {
    There(Rows<'a>),
    Copy(Scratch, usize),
}

impl Held<'_> {
    const NOTHING: Held<'static> = Held::There(Rows { data: &[], stride: 0 });

    fn rows(&self) -> Rows<'_> {
        match self {
            Held::There(rows) => *rows,
            Held::Copy(buffer, stride) => Rows { data: buffer, stride: *stride },
        }
    }
}

impl<'a> Here<'a> {
    fn hold(&self, input: RowInput<'a>, width: usize) -> Held<'a> {
        let there = match input {
            RowInput::Whole => return Held::NOTHING,
            RowInput::Made(place) => self.made[place].as_deref().map(|data| Rows { data, stride: width }),
            RowInput::Tensor(tensor) => tensor.borrow_rows(self.rows.clone()),
            RowInput::InResult => None,
        };
        there.map_or_else(
            || {
                let mut buffer = Scratch::new(self.rows.len() * width);
                self.copy(input, width, &mut buffer);
                Held::Copy(buffer, width)
            },
            Held::There,
        )
    }

    fn copy(&self, input: RowInput<'_>, width: usize, to: &mut [f32]) {
        match input {
            RowInput::Whole => {}
            RowInput::Made(place) => {
                if let Some(from) = &self.made[place] {
                    to.copy_from_slice(from);
                }
            }
            RowInput::Tensor(tensor) => tensor.load_rows(self.rows.clone(), to),
            // The result is the last output of its sweep.
            RowInput::InResult => {
                if let Some(output) = self.outputs.last() {
                    let shape = [self.rows.len(), width];
                    let tensor = Tensor { data: output.data.as_data(), shape: &shape, row_stride: width };
                    tensor.load_rows(0..self.rows.len(), to);
                }
            }
        }
    }
}
