//! Values that must be whole and of their own get a copy where they are not: outputs, the states of loops, and what
//! is joined.

use std::collections::BTreeSet;

use zoetrope_kernels::Kernel;
use zoetrope_model_spec::lang::{Def, Graph, Value};

use crate::fused::{Call, Fused, FusedStmt, Looks};
use crate::view::Views;

/// Inserts the copies.
pub fn insert_copies(fused: Fused, catalog: &[Kernel]) -> Fused {
    copy_states(copy_outputs(copy_pieces(fused, catalog), catalog), catalog)
}

/// What is joined is made in its place: a whole value of the same body, in one join only, and nobody's output or
/// state. What is not gets a copy.
fn copy_pieces(mut fused: Fused, catalog: &[Kernel]) -> Fused {
    let mut taken: BTreeSet<Value> = BTreeSet::new();
    let looks = Looks::of(&fused.body);
    taken.extend(fused.graph.outputs.iter().map(|o| looks.root(o.value)));
    let body = std::mem::take(&mut fused.body);
    fused.body = copy_parts_of(&mut fused.graph, body, catalog, &mut taken);
    fused
}

fn copy_parts_of(
    graph: &mut Graph,
    body: Vec<FusedStmt>,
    catalog: &[Kernel],
    taken: &mut BTreeSet<Value>,
) -> Vec<FusedStmt> {
    let looks = Looks::of(&body);
    let mut made: BTreeSet<Value> = BTreeSet::new();
    let mut out = Vec::with_capacity(body.len());
    for mut stmt in body {
        match &mut stmt {
            FusedStmt::View(_) => {}
            FusedStmt::Call(call) => {
                made.insert(call.write);
            }
            FusedStmt::Loop(l) => {
                let inner = Looks::of(&l.body);
                taken.extend(l.carried.iter().map(|c| inner.root(c.next)));
                l.body = copy_parts_of(graph, std::mem::take(&mut l.body), catalog, taken);
                made.extend(l.collected.iter().map(|c| c.stack));
            }
            FusedStmt::Join(join) => {
                for piece in &mut join.inputs {
                    let root = looks.root(*piece);
                    let (have, want) = (graph.info(root), graph.info(*piece));
                    let whole = have.elements() == want.elements();
                    let same = have.dtype == graph.info(join.output).dtype;
                    if !(whole && same && made.contains(&root) && taken.insert(root)) {
                        let copy = copy_of(graph, catalog, *piece);
                        *piece = copy.write;
                        out.push(FusedStmt::Call(copy));
                    }
                }
                made.insert(join.output);
            }
        }
        out.push(stmt);
    }
    out
}

/// An output is a whole value made by a launch: what is not gets a copy.
fn copy_outputs(mut fused: Fused, catalog: &[Kernel]) -> Fused {
    for i in 0..fused.graph.outputs.len() {
        let value = fused.graph.outputs[i].value;
        let views = Views::new(&fused.graph, &fused.body);
        let root = views.root(value);
        let made = matches!(fused.graph.info(root).def, Def::Op | Def::Carried | Def::Collected);
        let shared = fused.graph.outputs[..i].iter().any(|o| views.root(o.value) == root);
        if made && !shared && views.is_whole(value) {
            continue;
        }
        let copy = copy_of(&mut fused.graph, catalog, value);
        fused.graph.outputs[i].value = copy.write;
        fused.body.push(FusedStmt::Call(copy));
    }
    fused
}

/// A loop's next state is a whole value made in its body, one for every piece: what is not gets a copy, so that
/// pieces may change places.
fn copy_states(mut fused: Fused, catalog: &[Kernel]) -> Fused {
    let mut body = std::mem::take(&mut fused.body);
    let whole = body.clone();
    copy_states_of(&mut fused.graph, &whole, &mut body, catalog);
    fused.body = body;
    fused
}

fn copy_states_of(graph: &mut Graph, whole: &[FusedStmt], body: &mut [FusedStmt], catalog: &[Kernel]) {
    for stmt in body {
        let FusedStmt::Loop(l) = stmt else { continue };
        copy_states_of(graph, whole, &mut l.body, catalog);
        for i in 0..l.carried.len() {
            let (next, inner) = (l.carried[i].next, l.carried[i].inner);
            let views = Views::new(graph, whole);
            let root = views.root(next);
            let made = l.body.iter().any(|s| match s {
                FusedStmt::Call(call) => call.write == root,
                FusedStmt::Loop(inner) => inner.carried.iter().any(|c| c.result == root),
                FusedStmt::View(_) | FusedStmt::Join(_) => false,
            });
            let shared = l.carried[..i].iter().any(|c| views.root(c.next) == root);
            if (made && !shared && views.is_whole(next)) || next == inner {
                continue;
            }
            let copy = copy_of(graph, catalog, next);
            l.carried[i].next = copy.write;
            l.body.push(FusedStmt::Call(copy));
        }
        for i in 0..l.collected.len() {
            // What is joined is there when its last piece is; a call says when.
            let root = Looks::of(&l.body).root(l.collected[i].value);
            if l.body.iter().any(|s| matches!(s, FusedStmt::Join(join) if join.output == root)) {
                let copy = copy_of(graph, catalog, l.collected[i].value);
                l.collected[i].value = copy.write;
                l.body.push(FusedStmt::Call(copy));
            }
        }
    }
}

/// A call that copies `value` to a new one.
fn copy_of(graph: &mut Graph, catalog: &[Kernel], value: Value) -> Call {
    let kernel = catalog.iter().position(|k| k.name == "copy").expect("the catalog has a copy kernel");
    let mut info = graph.info(value).clone();
    info.def = Def::Op;
    graph.values.push(info);
    let own = Value(graph.values.len() as u32 - 1);
    Call {
        kernel,
        name: catalog[kernel].name,
        meaning: catalog[kernel].meaning.clone(),
        reads: vec![value],
        write: own,
        in_place: None,
        over: None,
        joined: false,
        covers: vec![own],
        lost: Vec::new(),
    }
}
