//! Values that must be whole and of their own get a copy where they are not: outputs, and the states of loops.

use zoetrope_kernels::Kernel;
use zoetrope_model_spec::lang::{Def, Graph, Value};

use crate::fused::{Call, Fused, FusedStmt};
use crate::view::Views;

/// Inserts the copies.
pub fn own(fused: Fused, catalog: &[Kernel]) -> Fused {
    own_states(own_outputs(fused, catalog), catalog)
}

/// An output is a whole value made by a launch: what is not gets a copy.
fn own_outputs(mut fused: Fused, catalog: &[Kernel]) -> Fused {
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
fn own_states(mut fused: Fused, catalog: &[Kernel]) -> Fused {
    let mut body = std::mem::take(&mut fused.body);
    let whole = body.clone();
    own_states_of(&mut fused.graph, &whole, &mut body, catalog);
    fused.body = body;
    fused
}

fn own_states_of(graph: &mut Graph, whole: &[FusedStmt], body: &mut [FusedStmt], catalog: &[Kernel]) {
    for stmt in body {
        let FusedStmt::Loop(l) = stmt else { continue };
        own_states_of(graph, whole, &mut l.body, catalog);
        for i in 0..l.carried.len() {
            let (next, inner) = (l.carried[i].next, l.carried[i].inner);
            let views = Views::new(graph, whole);
            let root = views.root(next);
            let made = l.body.iter().any(|s| matches!(s, FusedStmt::Call(call) if call.write == root));
            let shared = l.carried[..i].iter().any(|c| views.root(c.next) == root);
            if (made && !shared && views.is_whole(next)) || next == inner {
                continue;
            }
            let copy = copy_of(graph, catalog, next);
            l.carried[i].next = copy.write;
            l.body.push(FusedStmt::Call(copy));
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
        covers: vec![own],
        lost: Vec::new(),
    }
}
