//! The launches as a graph for Graphviz: a box per phase and loop, an arrow from who wrote bytes last to who reads
//! them.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use zoetrope_runtime::plan::{Item, Launch, Loop, Operand, Plan, bytes_text, flops_text};

use super::live::Live;

/// The plan in the DOT language.
pub fn graph(plan: &Plan) -> String {
    let mut out = String::new();
    write_graph(plan, &mut out).expect("writing to a string does not fail");
    out
}

fn write_graph(plan: &Plan, out: &mut String) -> fmt::Result {
    writeln!(out, "digraph {} {{", quoted(&plan.name))?;
    writeln!(out, "  node [shape=box fontname=\"sans-serif\" fontsize=10]")?;
    writeln!(out, "  graph [fontname=\"sans-serif\" rankdir=TB]")?;
    let mut edges = Edges::new(plan);
    for (p, phase) in plan.phases.iter().enumerate() {
        writeln!(out, "  subgraph cluster_{p} {{\n    label={}", quoted(&phase.name))?;
        let (mut number, mut loops) = (phase.first, 0);
        for item in phase.segments.iter().flat_map(|s| s.items.iter()) {
            match item {
                Item::Launch(launch) => {
                    node(plan, number, launch, "    ", out)?;
                    edges.add(number, launch, None);
                    number += 1;
                }
                Item::Loop(l) => {
                    let label = quoted(&format!("{} x{}", l.name, l.count));
                    writeln!(out, "    subgraph cluster_{p}_{loops} {{\n      label={label}")?;
                    loops += 1;
                    // The second time around, the body reads what the iteration before has left.
                    for (n, launch) in (number..).zip(l.body.iter()) {
                        node(plan, n, launch, "      ", out)?;
                        edges.add(n, launch, Some(l));
                    }
                    if l.count > 1 {
                        edges.next_iteration(number, l);
                    }
                    number += l.body.len() as u32;
                    writeln!(out, "    }}")?;
                }
            }
        }
        writeln!(out, "  }}")?;
    }
    for ((from, to), next_iteration) in edges.all {
        writeln!(out, "  l{from} -> l{to}{}", if next_iteration { " [style=dashed]" } else { "" })?;
    }
    writeln!(out, "}}")
}

fn node(plan: &Plan, number: u32, launch: &Launch, pad: &str, out: &mut String) -> fmt::Result {
    let kernel = &plan.kernels[launch.kernel as usize].name;
    let queue = if launch.queue > 0 { format!(", queue {}", launch.queue) } else { String::new() };
    let cost = format!("{}, {}{queue}", flops_text(launch.flops()), bytes_text(launch.bytes()));
    writeln!(
        out,
        "{pad}l{number} [label={}]",
        quoted(&format!("{number} {kernel}\n{}\n{cost}", launch.path()))
    )
}

/// Text as a DOT string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Bytes of a buffer, and the launch that wrote them.
struct Written {
    by: u32,
    from: u64,
    to: u64,
}

/// The arrows, found on one walk along the time line.
struct Edges<'p> {
    live: Live<'p>,
    /// Of every buffer, what was written and is not written over.
    written: BTreeMap<usize, Vec<Written>>,
    /// Of every buffer that a loop's body reads, the readers; kept for the loop that is walked.
    readers: Vec<(u32, usize, u64, u64)>,
    /// From, to, and whether it is only from one iteration to the next.
    all: BTreeMap<(u32, u32), bool>,
}

impl<'p> Edges<'p> {
    fn new(plan: &'p Plan) -> Edges<'p> {
        Edges {
            live: Live::new(&plan.buffers),
            written: BTreeMap::new(),
            readers: Vec::new(),
            all: BTreeMap::new(),
        }
    }

    fn add(&mut self, number: u32, launch: &Launch, of: Option<&Loop>) {
        self.live.advance(number);
        for operand in launch.parts.iter().flat_map(|p| p.reads.iter()) {
            let Some(buffer) = self.live.holding(operand) else { continue };
            let (from, to) = span(operand, of);
            for w in self.written.get(&buffer).into_iter().flatten() {
                if w.from < to && from < w.to {
                    self.all.insert((w.by, number), false);
                }
            }
            self.readers.push((number, buffer, from, to));
        }
        for part in launch.parts.iter() {
            let Some(buffer) = self.live.holding(&part.write) else { continue };
            let (from, to) = span(&part.write, of);
            let solid = part.write.step == 0
                && (part.write.rows() <= 1 || u64::from(part.write.row_stride) == part.write.cols());
            let before = self.written.entry(buffer).or_default();
            // Results over slices leave what lies between their rows to others.
            before.retain(|w| {
                if solid { w.from < from || to < w.to } else { (w.from, w.to, w.by) != (from, to, number) }
            });
            before.push(Written { by: number, from, to });
        }
    }

    /// Arrows to readers of the body from those writers of it that come later: their bytes are read an iteration on.
    fn next_iteration(&mut self, first: u32, l: &Loop) {
        let last = first + l.body.len() as u32;
        for (reader, buffer, from, to) in
            self.readers.drain(..).filter(|(reader, ..)| (first..last).contains(reader))
        {
            for w in self.written.get(&buffer).into_iter().flatten() {
                if w.by >= reader && w.by < last && w.from < to && from < w.to {
                    self.all.entry((w.by, reader)).or_insert(true);
                }
            }
        }
    }
}

/// The bytes that an operand touches in all iterations.
fn span(operand: &Operand, of: Option<&Loop>) -> (u64, u64) {
    let iterations = of.map_or(0, |l| u64::from(l.count).saturating_sub(1));
    (operand.offset, operand.offset + operand.step * iterations + operand.extent())
}
