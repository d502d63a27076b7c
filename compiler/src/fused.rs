//! The Fused level: a phase as kernel calls, each covering a piece of its graph.

use std::collections::BTreeMap;
use std::fmt;

use zoetrope_kernels::Meaning;
use zoetrope_model_spec::lang::{Carried, Collected, Count, Graph, OpStmt, Value};
use zoetrope_runtime::plan::bytes_text;

/// One kernel call.
#[derive(Clone, Debug)]
pub struct Call {
    /// By place in the catalog.
    pub kernel: usize,
    /// The kernel's name, for text forms.
    pub name: &'static str,
    /// The kernel's meaning with the attributes of the covered ops.
    pub meaning: Meaning,
    pub reads: Vec<Value>,
    pub write: Value,
    /// The operand that the result may be written over.
    pub in_place: Option<usize>,
    /// Set where it is: the result lies where this operand, a slice of a larger value, lay.
    pub over: Option<usize>,
    /// Part of the launch of the call before it.
    pub joined: bool,
    /// Results of the covered ops, in the meaning's order; the last is `write`.
    pub covers: Vec<Value>,
    /// Larger kernels that were tried here, and why each lost.
    pub lost: Vec<(&'static str, String)>,
}

#[derive(Clone, Debug)]
pub enum FusedStmt {
    Call(Call),
    /// A reshape or slice: no launch, another look at the same memory.
    View(OpStmt),
    /// A concatenation: no launch either, what is joined is made in its place.
    Join(OpStmt),
    Loop(FusedLoop),
}

#[derive(Clone, Debug)]
pub struct FusedLoop {
    pub name: String,
    pub count: Count,
    pub carried: Vec<Carried>,
    pub collected: Vec<Collected>,
    pub body: Vec<FusedStmt>,
}

/// The views of one body.
pub struct Looks(BTreeMap<Value, Value>);

impl Looks {
    pub fn of(body: &[FusedStmt]) -> Looks {
        let view = |stmt: &FusedStmt| match stmt {
            FusedStmt::View(view) => Some((view.output, view.inputs[0])),
            _ => None,
        };
        Looks(body.iter().filter_map(view).collect())
    }

    /// The value that `value` looks into.
    pub fn root(&self, mut value: Value) -> Value {
        while let Some(within) = self.0.get(&value) {
            value = *within;
        }
        value
    }
}

/// A phase after fusing. The graph keeps what is known of every value.
#[derive(Clone, Debug)]
pub struct Fused {
    pub graph: Graph,
    /// Calls that read weights, tables and each other only: they run once per load, before the body.
    pub load: Vec<FusedStmt>,
    pub body: Vec<FusedStmt>,
}

impl Fused {
    /// Every call with its loop depth, in order, those of the load first.
    pub fn calls(&self) -> Vec<(usize, &Call)> {
        fn walk<'a>(body: &'a [FusedStmt], depth: usize, out: &mut Vec<(usize, &'a Call)>) {
            for stmt in body {
                match stmt {
                    FusedStmt::Call(call) => out.push((depth, call)),
                    FusedStmt::View(_) | FusedStmt::Join(_) => {}
                    FusedStmt::Loop(inner) => walk(&inner.body, depth + 1, out),
                }
            }
        }
        let mut out = Vec::new();
        walk(&self.load, 0, &mut out);
        walk(&self.body, 0, &mut out);
        out
    }

    /// What was fused at the places whose path contains `path`, why, and what was tried and lost: the answer to
    /// `--why`.
    pub fn why(&self, path: &str) -> String {
        let mut out = String::new();
        for note in self.graph.notes.iter().filter(|note| note.path.contains(path)) {
            out += &format!("{}\n  {}\n", note.path, note.text);
        }
        let catalog = zoetrope_kernels::catalog();
        for (_, call) in self.calls() {
            let at = &self.graph.info(call.write).path;
            if at.contains(path) {
                out += &format!("{at}\n  chosen {}: {}\n", call.name, catalog[call.kernel].doc);
                let inner = call.covers.iter().filter(|v| **v != call.write);
                let bytes: usize = inner.map(|v| self.graph.info(*v).bytes()).sum();
                if bytes > 0 {
                    let (ops, bytes) = (call.covers.len(), bytes_text(bytes as u64));
                    out += &format!(
                        "  because {ops} ops in one keep {bytes} out of memory, once written and once read\n"
                    );
                }
                if let Some(over) = call.over {
                    out += &format!("  lies where operand {over}, {}, lay\n", call.reads[over]);
                } else if call.in_place.is_some() {
                    out += "  may write over an operand that nobody reads again\n";
                }
                call.lost.iter().for_each(|(name, reason)| out += &format!("  lost   {name}: {reason}\n"));
            }
        }
        out
    }
}

impl fmt::Display for Fused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "fused {}", self.graph.name)?;
        if !self.load.is_empty() {
            writeln!(f, "  once per load")?;
            self.body_text(f, &self.load, 2)?;
        }
        self.body_text(f, &self.body, 1)?;
        self.graph.outputs.iter().try_for_each(|o| writeln!(f, "  output {} = {}", o.name, o.value))
    }
}

impl Fused {
    fn body_text(&self, f: &mut fmt::Formatter<'_>, body: &[FusedStmt], depth: usize) -> fmt::Result {
        let pad = "  ".repeat(depth);
        for stmt in body {
            match stmt {
                FusedStmt::Call(call) => {
                    let info = self.graph.info(call.write);
                    let reads: Vec<_> = call.reads.iter().map(Value::to_string).collect();
                    let covers: Vec<_> = call.covers.iter().map(Value::to_string).collect();
                    let (covers, reads) = (covers.join(" "), reads.join(" "));
                    let with = if call.joined { "+ " } else { "" };
                    let over = call.over.map_or(String::new(), |i| format!(" over {}", call.reads[i]));
                    let (name, type_text, path) = (call.name, info.type_text(), &info.path);
                    writeln!(f, "{pad}{with}{covers} => {name} {reads}{over} : {type_text}   {path}")?;
                }
                FusedStmt::View(view) => {
                    writeln!(f, "{pad}{} = {} {}", view.output, view.op, view.inputs[0])?;
                }
                FusedStmt::Join(join) => {
                    let pieces: Vec<_> = join.inputs.iter().map(Value::to_string).collect();
                    writeln!(f, "{pad}{} = join {}", join.output, pieces.join(" "))?;
                }
                FusedStmt::Loop(l) => {
                    let times = match l.count {
                        Count::Fixed(n) => format!("x{n}"),
                        Count::Runtime => "x steps".to_string(),
                    };
                    writeln!(f, "{pad}loop {} {times}", l.name)?;
                    self.body_text(f, &l.body, depth + 1)?;
                    l.collected
                        .iter()
                        .try_for_each(|c| writeln!(f, "{pad}  collect {} -> {}", c.value, c.stack))?;
                    l.carried
                        .iter()
                        .try_for_each(|c| writeln!(f, "{pad}  next {} -> {}", c.next, c.inner))?;
                }
            }
        }
        Ok(())
    }
}
