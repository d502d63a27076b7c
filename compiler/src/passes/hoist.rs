//! What depends on weights alone moves to a segment that runs once per load.

use std::collections::BTreeSet;

use zoetrope_model_spec::lang::{Count, Def, Value};

use crate::fused::{Fused, FusedStmt};
use crate::view::Views;

/// Moves the calls that read nothing but weights, tables and each other to [`Fused::load`]. Calls inside loops of
/// fixed count stay: their weights change from iteration to iteration.
pub fn hoist(mut fused: Fused) -> Fused {
    let body = std::mem::take(&mut fused.body);
    let mut resident: BTreeSet<Value> = BTreeSet::new();
    let mut load = std::mem::take(&mut fused.load);
    let outputs: Vec<Value> = fused.graph.outputs.iter().map(|o| o.value).collect();
    let stays = {
        let views = Views::new(&fused.graph, &body);
        let mut constant = |stmt: &FusedStmt| match stmt {
            FusedStmt::Call(call) => {
                let fixed = call.reads.iter().all(|v| {
                    let root = views.root(*v);
                    matches!(fused.graph.info(root).def, Def::Weight { .. } | Def::Constant(_))
                        || resident.contains(&root)
                });
                let kept = fixed && !outputs.contains(&call.write);
                if kept {
                    resident.insert(call.write);
                }
                kept
            }
            FusedStmt::View(_) | FusedStmt::Join(_) | FusedStmt::Loop(_) => false,
        };
        split(&body, &mut constant, &mut load)
    };
    (fused.load, fused.body) = (load, stays);
    fused
}

fn split(
    body: &[FusedStmt],
    constant: &mut impl FnMut(&FusedStmt) -> bool,
    load: &mut Vec<FusedStmt>,
) -> Vec<FusedStmt> {
    let mut stays = Vec::with_capacity(body.len());
    // Whether the first part of the current launch stays.
    let mut headed = false;
    for stmt in body {
        match stmt {
            FusedStmt::Loop(l) if l.count == Count::Runtime => {
                let mut inner = l.clone();
                inner.body = split(&l.body, constant, load);
                stays.push(FusedStmt::Loop(inner));
            }
            FusedStmt::Call(call) => {
                let mut call = call.clone();
                headed &= call.joined;
                if constant(stmt) {
                    call.joined = false;
                    load.push(FusedStmt::Call(call));
                } else {
                    call.joined &= headed;
                    headed = true;
                    stays.push(FusedStmt::Call(call));
                }
            }
            stmt => stays.push(stmt.clone()),
        }
    }
    stays
}
