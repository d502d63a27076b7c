//! Weights of products stay encoded, where the kernels that read them decode them.
//!
//! The spec says which weights may, and a target in what. Such a weight becomes bytes, and every product that reads it gets
//! a `decode` of its own, which `fuse` covers with the product. A weight that something else reads, too, or whose rows are
//! no whole number of blocks, stays as the phase stores numbers.

use std::collections::BTreeMap;

use zoetrope_kernels::{Kernel, Ref};
use zoetrope_model_spec::lang::{Def, Dtype, Graph, Info, Kept, Layout, Note, Op, OpStmt, Stmt, Value};

use super::fuse::uses;

/// Makes bytes of the weights that may stay encoded.
pub fn keep_encoded(mut graph: Graph, catalog: &[Kernel]) -> Graph {
    let decoded = |stmt: &OpStmt| {
        let product = stmt.op == (Op::Linear {}) && decodes(catalog, stmt.inputs.len());
        product.then(|| stmt.inputs[WEIGHT])
    };
    let mut products: BTreeMap<Value, usize> = BTreeMap::new();
    for (_, stmt) in graph.statements() {
        decoded(stmt).into_iter().for_each(|weight| *products.entry(weight).or_insert(0) += 1);
    }
    let uses = uses(&graph);
    let mut kept: BTreeMap<Value, (Kept, usize)> = BTreeMap::new();
    for value in (0..graph.values.len() as u32).map(Value) {
        let alone = products.contains_key(&value) && products.get(&value) == uses.get(&value);
        let Def::Weight { keep: Some(keep), layout: Layout::Plain, .. } = graph.info(value).def else {
            continue;
        };
        let made = alone.then(|| encode(&mut graph.values[value.index()], keep));
        let text = match made {
            None => format!("does not stay in {keep}: it is read by more than products"),
            Some(None) => {
                format!("does not stay in {keep}: its rows are no whole number of {}", keep.granule())
            }
            Some(Some((columns, saved))) => {
                kept.insert(value, (keep, columns));
                format!("stays in {keep}, which takes {saved} bytes less")
            }
        };
        graph.notes.push(Note { path: graph.info(value).path.clone(), text });
    }
    let body = std::mem::take(&mut graph.body);
    graph.body = in_front(&mut graph, body, &kept);
    graph
}

/// The place of a product's weight.
const WEIGHT: usize = 1;

/// Whether a kernel decodes the weight of products of so many operands.
fn decodes(catalog: &[Kernel], operands: usize) -> bool {
    catalog.iter().map(|kernel| &kernel.meaning).any(|meaning| {
        let is_decode =
            |r: &Ref| matches!(r, Ref::Inner(i) if matches!(meaning.ops[*i].op, Op::Decode { .. }));
        let product =
            |op: &&zoetrope_kernels::MeaningOp| op.op == (Op::Linear {}) && op.inputs.len() == operands;
        meaning.ops.iter().filter(product).any(|op| is_decode(&op.inputs[WEIGHT]))
    })
}

/// Makes bytes of a weight: its columns, and how many bytes that saves. `None` where its rows cannot be encoded.
fn encode(info: &mut Info, kept: Kept) -> Option<(usize, usize)> {
    let (before, &[rows, columns]) = (info.bytes(), info.shape.as_slice()) else { return None };
    let bytes = kept.row_bytes(columns)?;
    (info.dtype, info.shape) = (Dtype::U8, vec![rows, bytes]);
    if let Def::Weight { layout, keep, .. } = &mut info.def {
        (*layout, *keep) = (Layout::Encoded { kept, columns }, None);
    }
    Some((columns, before.saturating_sub(info.bytes())))
}

/// Puts a `decode` in front of every product with such a weight.
fn in_front(graph: &mut Graph, body: Vec<Stmt>, kept: &BTreeMap<Value, (Kept, usize)>) -> Vec<Stmt> {
    let mut out = Vec::with_capacity(body.len());
    for stmt in body {
        match stmt {
            Stmt::Op(mut op) => {
                let weight = op.inputs.get(WEIGHT).and_then(|weight| Some((*weight, *kept.get(weight)?)));
                if let Some((weight, (kept, columns))) = weight {
                    let Info { path, shape, .. } = graph.info(weight).clone();
                    let shape = vec![shape[0], columns];
                    graph.values.push(Info { path, dtype: Dtype::F32, shape, def: Def::Op });
                    let output = Value(graph.values.len() as u32 - 1);
                    op.inputs[WEIGHT] = output;
                    let decode = Op::Decode { kept, columns };
                    out.push(Stmt::Op(OpStmt { op: decode, inputs: vec![weight], output }));
                }
                out.push(Stmt::Op(op));
            }
            Stmt::Loop(mut inner) => {
                inner.body = in_front(graph, inner.body, kept);
                out.push(Stmt::Loop(inner));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use zoetrope_kernels::catalog;
    use zoetrope_model_spec::lang::{Builder, Source};

    use super::*;
    use crate::passes::{fuse, merge_linears};
    use crate::verify;

    /// The kernels of two products with one input, one of which others read, too, and of a third, narrower one.
    fn kernels(kept: Option<Kept>, columns: usize) -> (Vec<&'static str>, Vec<(Dtype, Vec<usize>)>) {
        let b = Builder::new("test", Dtype::Bf16).keeping(kept);
        let x = b.input("x", Dtype::Bf16, &[5, columns]);
        let (q, k, outside) = b.component(Source::Checkpoint, "", || {
            let inside = b.may_keep(|| (b.linear("q", x, 48), b.linear("k", x, 16)));
            (inside.0, inside.1, b.linear("outside", b.silu(x), 8))
        });
        b.output("q", q);
        b.output("k", k);
        b.output("o", outside);
        let catalog = catalog();
        let graph = keep_encoded(merge_linears(b.finish().expect("recorded"), &catalog), &catalog);
        verify::graph(&graph).expect("a graph");
        let weights = graph.values.iter().filter(|info| matches!(&info.def, Def::Weight { .. }));
        let weights = weights.map(|info| (info.dtype, info.shape.clone())).collect();
        let fused = fuse(graph, &catalog).expect("covered");
        (fused.calls().iter().map(|(_, call)| call.name).collect(), weights)
    }

    #[test]
    fn products_side_by_side_decode_one_weight() {
        let (names, weights) = kernels(Some(Kept::Q8_0), 64);
        // The weight of the product outside, and the two that lie side by side.
        assert!(names.contains(&"decode_linear_bias") && names.contains(&"silu_linear_bias"), "{names:?}");
        assert!(weights.contains(&(Dtype::U8, vec![64, 80])), "{weights:?}");
        assert!(weights.contains(&(Dtype::Bf16, vec![8, 64])), "{weights:?}");
        // Rows of 48 are no blocks of 32; and nobody asked.
        for (kept, columns) in [(Some(Kept::Q8_0), 48), (Some(Kept::Q4_K), 64), (None, 64)] {
            let (names, weights) = kernels(kept, columns);
            assert!(names.contains(&"linear_bias"), "{names:?}");
            assert!(weights.iter().all(|(dtype, _)| *dtype == Dtype::Bf16), "{weights:?}");
        }
    }

    #[test]
    fn what_others_read_is_not_encoded() {
        let b = Builder::new("test", Dtype::Bf16).keeping(Some(Kept::Fp8));
        let x = b.input("x", Dtype::Bf16, &[5, 64]);
        let y = b.may_keep(|| b.linear_no_bias("q", x, 16));
        b.output("y", y);
        let mut graph = b.finish().expect("recorded");
        let weight =
            graph.iter().find(|(_, info)| matches!(info.def, Def::Weight { .. })).expect("a weight").0;
        graph.outputs.push(zoetrope_model_spec::lang::Output { value: weight, ..graph.outputs[0].clone() });
        let graph = keep_encoded(graph, &catalog());
        assert_eq!(graph.info(weight).dtype, Dtype::Bf16);
        assert!(graph.notes.iter().any(|note| note.text.contains("more than products")));
    }
}
