//! The verifier of the Fused level.
//!
//! 1. Every op of the graph is covered exactly once, or is a view or a join.
//! 2. A result inside a kernel has no reader outside it.
//! 3. What a call reads was made before it: the calls of a body form no cycle.
//! 4. What runs once per load reads weights, tables and what is made there, and is no output.
//! 5. A result that lies where another value lay destroys nothing that is read later (`aliases`).

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::is_cyclic_directed;
use petgraph::graph::DiGraph;
use zoetrope_model_spec::lang::{Def, Value};

use super::{aliases, rule};
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
    acyclic(fused, fused.load.iter().chain(&fused.body))?;
    load(fused)?;
    aliases(fused)
}

/// What is made once per load has to be there whatever the host writes.
fn load(fused: &Fused) -> Result<()> {
    let mut looks = BTreeMap::new();
    note_views(&fused.body, &mut looks);
    let mut made = BTreeSet::new();
    let outputs: Vec<Value> = fused.graph.outputs.iter().map(|o| o.value).collect();
    for stmt in &fused.load {
        let FusedStmt::Call(call) = stmt else {
            return rule(false, "fused", "a load is calls alone", || fused.graph.name.clone());
        };
        let path = || format!("{} at {}", call.name, fused.graph.info(call.write).path);
        let fixed = call.reads.iter().all(|v| {
            let mut root = *v;
            while let Some(within) = looks.get(&root) {
                root = *within;
            }
            let constant = matches!(fused.graph.info(root).def, Def::Weight { .. } | Def::Constant(_));
            constant || made.contains(&root)
        });
        rule(fixed, "fused", "what runs once per load reads what never changes", path)?;
        rule(!outputs.contains(&call.write), "fused", "an output is made in every run", path)?;
        made.insert(call.write);
    }
    Ok(())
}

fn note_views(body: &[FusedStmt], looks: &mut BTreeMap<Value, Value>) {
    for stmt in body {
        match stmt {
            FusedStmt::View(view) => _ = looks.insert(view.output, view.inputs[0]),
            FusedStmt::Loop(l) => note_views(&l.body, looks),
            FusedStmt::Call(_) | FusedStmt::Join(_) => {}
        }
    }
}

fn acyclic<'a>(of: &Fused, body: impl IntoIterator<Item = &'a FusedStmt>) -> Result<()> {
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
