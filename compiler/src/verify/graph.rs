//! The verifier of the Graph level.
//!
//! 1. Every value is defined before it is read, and in a body that encloses the reader.
//! 2. Every op's result has the shape that its inputs give.
//! 3. A loop's state keeps its type from iteration to iteration; a collected value is the stack of all iterations.
//! 4. Every tensor of a file is one weight.
//! 5. What stays encoded is bytes in whole rows, and is read by what decodes just that.

use std::collections::{BTreeMap, BTreeSet};

use zoetrope_model_spec::lang::{Count, Def, Dtype, Graph, Layout, Loop, Op, OpStmt, Stmt, Value, infer};

use super::rule;
use crate::error::Result;

/// Checks the rules above.
///
/// # Errors
/// The first broken rule.
pub fn graph(graph: &Graph) -> Result<()> {
    let outside = |def: &Def| !matches!(def, Def::Op | Def::Carried | Def::Collected);
    let mut known: BTreeSet<Value> = graph.iter().filter(|(_, i)| outside(&i.def)).map(|(v, _)| v).collect();
    body(graph, &graph.body, &mut known)?;
    for output in &graph.outputs {
        rule(known.contains(&output.value), "graph", "an output is defined", || output.name.clone())?;
    }
    let mut tensors = BTreeMap::new();
    for (_, info) in graph.iter() {
        let Def::Weight { source, tensors: named, layout, .. } = &info.def else { continue };
        let rows: usize = named.iter().map(|t| t.rows).sum();
        let axes = if *layout == Layout::ChannelsLast { 3 } else { 1 };
        rule(info.shape.len() >= axes, "graph", "filters have taps and channels", || info.path.clone())?;
        rule(info.shape[0] == rows, "graph", "a weight is as long as its tensors", || info.path.clone())?;
        if let Layout::Encoded { kept, columns } = *layout {
            let whole = info.dtype == Dtype::U8 && info.shape.get(1).copied() == kept.row_bytes(columns);
            rule(whole, "graph", "what stays encoded is whole rows of bytes", || info.path.clone())?;
        }
        for tensor in named {
            let shape = (info.file_shape(tensor), *layout);
            let before = tensors.insert((source, &tensor.name, info.dtype), shape.clone());
            let same = before.is_none_or(|before| before == shape);
            rule(same, "graph", "a tensor has one shape and one order", || tensor.name.clone())?;
        }
    }
    Ok(())
}

fn body(graph: &Graph, stmts: &[Stmt], known: &mut BTreeSet<Value>) -> Result<()> {
    for stmt in stmts {
        match stmt {
            Stmt::Op(op) => {
                let path = || format!("{} at {}", op.op, graph.info(op.output).path);
                rule(
                    op.inputs.iter().all(|v| known.contains(v)),
                    "graph",
                    "an input is defined before its reader",
                    path,
                )?;
                let inputs: Vec<_> = op
                    .inputs
                    .iter()
                    .map(|v| (graph.info(*v).dtype, graph.info(*v).shape.as_slice()))
                    .collect();
                let shape = infer(&op.op, &inputs).map(|(_, shape)| shape);
                rule(
                    shape.as_ref() == Ok(&graph.info(op.output).shape),
                    "graph",
                    "a result has its op's shape",
                    path,
                )?;
                rule(decodes(graph, op), "graph", "what stays encoded is decoded as it is encoded", path)?;
                known.insert(op.output);
            }
            Stmt::Loop(l) => repeated(graph, l, known)?,
        }
    }
    Ok(())
}

/// An op that decodes reads a weight in the encoding that it decodes, and no other op reads one that is encoded.
fn decodes(graph: &Graph, stmt: &OpStmt) -> bool {
    let encoded = |value: &Value| match graph.info(*value).def {
        Def::Weight { layout: Layout::Encoded { kept, columns }, .. } => Some((kept, columns)),
        _ => None,
    };
    match stmt.op {
        Op::Decode { kept, columns } => stmt.inputs.iter().all(|v| encoded(v) == Some((kept, columns))),
        _ => stmt.inputs.iter().all(|v| encoded(v).is_none()),
    }
}

fn repeated(graph: &Graph, l: &Loop, known: &mut BTreeSet<Value>) -> Result<()> {
    let name = || l.name.clone();
    rule(
        l.carried.iter().all(|c| known.contains(&c.init)),
        "graph",
        "a loop's state has a first value",
        name,
    )?;
    let mut inner = known.clone();
    inner.extend(l.carried.iter().map(|c| c.inner));
    body(graph, &l.body, &mut inner)?;
    for c in &l.carried {
        rule(inner.contains(&c.next), "graph", "a loop's state has a next value", name)?;
        let kind = |v: Value| (graph.info(v).dtype, &graph.info(v).shape);
        let same = [c.inner, c.next, c.result].into_iter().all(|v| kind(v) == kind(c.init));
        rule(same, "graph", "a loop's state keeps its type", name)?;
    }
    for c in &l.collected {
        rule(inner.contains(&c.value), "graph", "a collected value is defined", name)?;
        let Count::Fixed(count) = l.count else {
            return rule(false, "graph", "values are collected in loops of fixed count", name);
        };
        let stacked = [&[count], graph.info(c.value).shape.as_slice()].concat();
        rule(graph.info(c.stack).shape == stacked, "graph", "a stack holds every iteration", name)?;
    }
    known.extend(l.carried.iter().map(|c| c.result));
    known.extend(l.collected.iter().map(|c| c.stack));
    Ok(())
}
