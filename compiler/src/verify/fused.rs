//! The gate behind the Fused level.
//!
//! 1. Every op of the graph is covered exactly once, or is a view or a join.
//! 2. A result inside a kernel has no reader outside it.
//! 3. What a call reads was made before it: the calls of a body form no cycle.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::is_cyclic_directed;
use petgraph::graph::DiGraph;
use zoetrope_model_spec::lang::Value;

use super::rule;
use crate::error::Result;
use crate::fused::{Fused, FusedStmt};

/// Checks the rules above.
///
/// # Errors
/// The first broken rule.
pub fn fused(fused: &Fused) -> Result<()> {
    let mut covered = BTreeMap::new();
    let mut inside = BTreeSet::new();
    for (_, call) in fused.calls() {
        for value in &call.covers {
            *covered.entry(*value).or_insert(0) += 1;
            if *value != call.write {
                inside.insert(*value);
            }
        }
    }
    for (_, stmt) in fused.graph.statements() {
        let times = covered.get(&stmt.output).copied().unwrap_or(0);
        let want = usize::from(!stmt.op.is_view() && stmt.op.name() != "concat");
        let path = || format!("{} at {}", stmt.op, fused.graph.info(stmt.output).path);
        rule(times == want, "fused", "every op is covered exactly once", path)?;
    }
    for (_, call) in fused.calls() {
        let path = || format!("{} at {}", call.name, fused.graph.info(call.write).path);
        let hidden = call.reads.iter().any(|v| inside.contains(v));
        rule(!hidden, "fused", "a result inside a kernel has no reader outside it", path)?;
    }
    acyclic(fused, &fused.body)
}

fn acyclic(of: &Fused, body: &[FusedStmt]) -> Result<()> {
    let mut edges = DiGraph::<(), ()>::new();
    let mut node: BTreeMap<Value, _> = BTreeMap::new();
    for stmt in body {
        let (makes, reads): (Vec<Value>, Vec<Value>) = match stmt {
            FusedStmt::Call(call) => (vec![call.write], call.reads.clone()),
            FusedStmt::View(op) | FusedStmt::Join(op) => (vec![op.output], op.inputs.clone()),
            FusedStmt::Loop(l) => {
                acyclic(of, &l.body)?;
                let makes = l.carried.iter().map(|c| c.result).chain(l.collected.iter().map(|c| c.stack));
                (makes.collect(), l.carried.iter().map(|c| c.init).collect())
            }
        };
        let at = edges.add_node(());
        for read in &reads {
            let from = *node.entry(*read).or_insert_with(|| edges.add_node(()));
            edges.add_edge(from, at, ());
        }
        for made in makes {
            let to = *node.entry(made).or_insert_with(|| edges.add_node(()));
            edges.add_edge(at, to, ());
        }
    }
    rule(!is_cyclic_directed(&edges), "fused", "calls form no cycle", || of.graph.name.clone())
}
