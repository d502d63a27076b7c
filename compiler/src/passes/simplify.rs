//! Ops that need not be: casts that the op before can do, results that nobody reads.

use std::collections::{BTreeMap, BTreeSet};

use zoetrope_model_spec::lang::{Def, Dtype, Graph, Op, Stmt, Value};

/// Drops what is not needed.
pub fn simplify(graph: Graph) -> Graph {
    drop_dead(absorb_casts(graph))
}

/// A kernel rounds where it writes, so a cast that is the only reader of an f32 result is that result, stored
/// otherwise.
fn absorb_casts(mut graph: Graph) -> Graph {
    let mut readers: BTreeMap<Value, usize> = BTreeMap::new();
    count(&graph.body, &mut readers);
    per_iteration(&graph).for_each(|v| *readers.entry(v).or_insert(0) += 1);
    graph.outputs.iter().for_each(|o| *readers.entry(o.value).or_insert(0) += 1);
    let mut body = std::mem::take(&mut graph.body);
    absorb(&mut graph, &mut body, &readers);
    graph.body = body;
    graph
}

/// What loops read in one iteration or another.
fn per_iteration(graph: &Graph) -> impl Iterator<Item = Value> + '_ {
    graph
        .values
        .iter()
        .flat_map(|info| match &info.def {
            Def::PerIteration(values) => values.as_slice(),
            _ => &[],
        })
        .copied()
}

fn count(body: &[Stmt], readers: &mut BTreeMap<Value, usize>) {
    let mut read = |v: Value| *readers.entry(v).or_insert(0) += 1;
    for stmt in body {
        match stmt {
            Stmt::Op(op) => op.inputs.iter().copied().for_each(&mut read),
            Stmt::Loop(l) => {
                l.carried.iter().flat_map(|c| [c.init, c.next]).for_each(&mut read);
                l.collected.iter().map(|c| c.value).for_each(&mut read);
            }
        }
    }
    for stmt in body {
        if let Stmt::Loop(l) = stmt {
            count(&l.body, readers);
        }
    }
}

fn absorb(graph: &mut Graph, body: &mut Vec<Stmt>, readers: &BTreeMap<Value, usize>) {
    let mut at = 0;
    while at < body.len() {
        let cast = match &mut body[at] {
            Stmt::Loop(l) => {
                absorb(graph, &mut l.body, readers);
                None
            }
            Stmt::Op(op) => matches!(op.op, Op::Cast { .. }).then(|| (op.inputs[0], op.output)),
        };
        let maker = cast.filter(|(from, to)| {
            let wide = graph.info(*from).dtype == Dtype::F32 && graph.info(*to).dtype.is_float();
            wide && readers.get(from) == Some(&1)
        });
        let maker = maker.and_then(|(from, to)| {
            let makes = |s: &Stmt| matches!(s, Stmt::Op(op) if op.output == from && !op.op.is_view());
            body[..at].iter().position(makes).map(|i| (i, to))
        });
        match maker {
            Some((i, to)) => {
                if let Stmt::Op(op) = &mut body[i] {
                    op.output = to;
                }
                // What is made at `i` is now `to`; nothing between read the cast's operand.
                body.remove(at);
            }
            None => at += 1,
        }
    }
}

/// Keeps what an output, a loop's state or a collected value needs.
fn drop_dead(mut graph: Graph) -> Graph {
    let mut needed: BTreeSet<Value> =
        graph.outputs.iter().map(|o| o.value).chain(per_iteration(&graph)).collect();
    let body = std::mem::take(&mut graph.body);
    graph.body = live(body, &mut needed);
    for (i, info) in graph.values.iter_mut().enumerate() {
        if matches!(info.def, Def::Constant(_)) && !needed.contains(&Value(i as u32)) {
            // An unused table keeps its line in the text form and loses its weight.
            info.def = Def::Constant(zoetrope_model_spec::lang::Constant::Real(Vec::new()));
        }
    }
    graph
}

fn live(body: Vec<Stmt>, needed: &mut BTreeSet<Value>) -> Vec<Stmt> {
    let mut kept = Vec::with_capacity(body.len());
    for stmt in body.into_iter().rev() {
        match stmt {
            Stmt::Op(op) => {
                if needed.contains(&op.output) {
                    needed.extend(&op.inputs);
                    kept.push(Stmt::Op(op));
                }
            }
            Stmt::Loop(mut inner) => {
                inner.collected.retain(|c| needed.contains(&c.stack));
                needed.extend(inner.carried.iter().flat_map(|c| [c.init, c.next]));
                needed.extend(inner.collected.iter().map(|c| c.value));
                inner.body = live(inner.body, needed);
                kept.push(Stmt::Loop(inner));
            }
        }
    }
    kept.reverse();
    kept
}
