//! Products of one input become one wider product: its weights lie side by side, and the input is read once.
//!
//! Queries, keys, values and the logits of the gates are such products. A product whose result goes into an epilogue
//! (GELU, a sum) stays alone: apart it never leaves the chip, together it would.

use std::collections::{BTreeMap, BTreeSet};

use zoetrope_kernels::{Kernel, Ref};
use zoetrope_model_spec::lang::{
    Constant, Def, Dtype, Graph, Info, Kept, Note, Op, OpStmt, Source, Stmt, Tensor, Value,
};

/// Merges products in every body.
pub fn merge_linears(mut graph: Graph, catalog: &[Kernel]) -> Graph {
    let epilogues = epilogues(catalog);
    let body = std::mem::take(&mut graph.body);
    let readers = readers(&body);
    graph.body = merge_body(&mut graph, body, &readers, &epilogues);
    graph
}

/// An op that reads a value, as its operand of this number.
type Reader = (Op, usize);

/// What kernels do to the result of a product of so many operands before it is written.
type Epilogue = (usize, Reader);

fn epilogues(catalog: &[Kernel]) -> Vec<Epilogue> {
    let mut found = Vec::new();
    for meaning in catalog.iter().map(|k| &k.meaning) {
        for (i, product) in meaning.ops.iter().enumerate().filter(|(_, op)| op.op == (Op::Linear {})) {
            for op in &meaning.ops {
                let places = (0..op.inputs.len()).filter(|place| op.inputs[*place] == Ref::Inner(i));
                found.extend(places.map(|place| (product.inputs.len(), (op.op.clone(), place))));
            }
        }
    }
    found
}

/// Every op that reads a value, bodies of loops included.
fn readers(body: &[Stmt]) -> BTreeMap<Value, Vec<Reader>> {
    let mut out: BTreeMap<Value, Vec<Reader>> = BTreeMap::new();
    for stmt in body {
        match stmt {
            Stmt::Op(op) => {
                for (place, value) in op.inputs.iter().enumerate() {
                    out.entry(*value).or_default().push((op.op.clone(), place));
                }
            }
            Stmt::Loop(l) => {
                for (value, ops) in readers(&l.body) {
                    out.entry(value).or_default().extend(ops);
                }
            }
        }
    }
    out
}

/// What products must have in common: the input, the number of the first iteration, a bias, the file, the type, and what
/// the weight is to stay in.
type Key = (Value, usize, bool, Source, Dtype, Option<Kept>);

fn merge_body(
    graph: &mut Graph,
    body: Vec<Stmt>,
    readers: &BTreeMap<Value, Vec<Reader>>,
    epilogues: &[Epilogue],
) -> Vec<Stmt> {
    let mut groups: BTreeMap<Key, Vec<OpStmt>> = BTreeMap::new();
    for stmt in &body {
        if let Stmt::Op(op) = stmt
            && let Some(key) = key(graph, op, readers, epilogues)
        {
            groups.entry(key).or_default().push(op.clone());
        }
    }
    groups.retain(|_, products| products.len() > 1);
    let member: BTreeSet<Value> = groups.values().flatten().map(|op| op.output).collect();
    let mut by_first: BTreeMap<Value, Vec<OpStmt>> =
        groups.into_values().map(|products| (products[0].output, products)).collect();
    let mut out = Vec::with_capacity(body.len());
    for stmt in body {
        match stmt {
            Stmt::Op(op) if by_first.contains_key(&op.output) => {
                let products = by_first.remove(&op.output).unwrap_or_default();
                out.extend(one_product(graph, products).into_iter().map(Stmt::Op));
            }
            Stmt::Op(op) if member.contains(&op.output) => {}
            Stmt::Op(op) => out.push(Stmt::Op(op)),
            Stmt::Loop(mut l) => {
                l.body = merge_body(graph, l.body, readers, epilogues);
                out.push(Stmt::Loop(l));
            }
        }
    }
    out
}

fn key(
    graph: &Graph,
    op: &OpStmt,
    readers: &BTreeMap<Value, Vec<Reader>>,
    epilogues: &[Epilogue],
) -> Option<Key> {
    if op.op != (Op::Linear {}) {
        return None;
    }
    let read = |v: Value| readers.get(&v).map_or(&[][..], Vec::as_slice);
    let arity = op.inputs.len();
    let folds = |(reader, place): &Reader| {
        epilogues.iter().any(|(operands, (epilogue, at))| {
            *operands == arity && epilogue.stands_for(reader) && (at == place || reader.commutes())
        })
    };
    let epilogue = matches!(read(op.output), [reader] if folds(reader));
    let mut weights = op.inputs[1..].iter().map(|w| match &graph.info(*w).def {
        Def::Weight { source, first, .. } if read(*w).len() == 1 => {
            Some((*first, *source, graph.info(*w).dtype))
        }
        _ => None,
    });
    let (first, source, dtype) = weights.next()??;
    let alike = weights.all(|w| w == Some((first, source, dtype)));
    let keep = match graph.info(op.inputs[1]).def {
        Def::Weight { keep, .. } => keep,
        _ => None,
    };
    (alike && !epilogue).then(|| (op.inputs[0], first, arity == 3, source, dtype, keep))
}

/// The widest first, so that what is narrow does not shift the others.
fn one_product(graph: &mut Graph, mut products: Vec<OpStmt>) -> Vec<OpStmt> {
    let width = |graph: &Graph, v: Value| graph.info(v).shape.last().copied().unwrap_or(1);
    products.sort_by_key(|op| std::cmp::Reverse(width(graph, op.output)));
    let mut inputs = vec![products[0].inputs[0]];
    for operand in 1..products[0].inputs.len() {
        let weights: Vec<Value> = products.iter().map(|op| op.inputs[operand]).collect();
        inputs.push(side_by_side(graph, &weights));
    }
    let first = graph.info(products[0].output).clone();
    let total: usize = products.iter().map(|op| width(graph, op.output)).sum();
    let axis = first.shape.len() - 1;
    let shape = [&first.shape[..axis], &[total]].concat();
    let names: Vec<&str> = products.iter().map(|op| last_name(&graph.info(op.output).path)).collect();
    let path = first.path.rsplit_once('.').map_or("", |(scope, _)| scope).to_string();
    let text = format!(
        "{} read the same input: one product of {total} columns reads it once instead of {} times",
        names.join(", "),
        names.len()
    );
    graph.notes.push(Note { path: path.clone(), text });
    let all = define(graph, Info { path, shape, def: Def::Op, ..first });
    let mut out = vec![OpStmt { op: Op::Linear {}, inputs, output: all }];
    let mut start = 0;
    for op in products {
        let len = width(graph, op.output);
        out.push(OpStmt { op: Op::Slice { axis, start, len }, inputs: vec![all], output: op.output });
        start += len;
    }
    out
}

fn side_by_side(graph: &mut Graph, weights: &[Value]) -> Value {
    let mut joined = graph.info(weights[0]).clone();
    let mut all: Vec<Tensor> = Vec::new();
    let mut names = Vec::new();
    for weight in weights {
        let info = &mut graph.values[weight.index()];
        if let Def::Weight { tensors, .. } = &info.def {
            all.extend(tensors.iter().cloned());
        }
        names.push(info.path.rsplit('.').nth(1).unwrap_or("").to_string());
        // The weight has no reader of its own any more.
        info.def = Def::Constant(Constant::Real(Vec::new()));
    }
    joined.shape[0] = all.iter().map(|t| t.rows).sum();
    let scope: Vec<&str> = joined.path.rsplitn(3, '.').collect();
    joined.path = match scope[..] {
        [what, _, scope] => format!("{scope}.{}.{what}", names.join("+")),
        _ => joined.path,
    };
    if let Def::Weight { tensors, .. } = &mut joined.def {
        *tensors = all;
    }
    define(graph, joined)
}

fn last_name(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn define(graph: &mut Graph, info: Info) -> Value {
    graph.values.push(info);
    Value(graph.values.len() as u32 - 1)
}
