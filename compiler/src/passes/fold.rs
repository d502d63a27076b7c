//! What never changes becomes a table: ops over constants are evaluated at build time.
//!
//! The evaluator is the CPU's own, so a folded table holds the bits that a launch would have made.

use half::bf16;
use zoetrope_kernels::eval::{Data, DataMut, Operand, Tensor, TensorMut, evaluate};
use zoetrope_kernels::{Meaning, MeaningOp, Ref};
use zoetrope_model_spec::lang::{Constant, Def, Dtype, Graph, Info, OpStmt, Stmt};

use crate::error::{Error, Result};

/// Evaluates every op whose inputs are all known.
///
/// # Errors
/// An op that the evaluator refuses, with its path.
pub fn fold(mut graph: Graph) -> Result<Graph> {
    let body = std::mem::take(&mut graph.body);
    graph.body = fold_body(&mut graph, body)?;
    Ok(graph)
}

fn fold_body(graph: &mut Graph, body: Vec<Stmt>) -> Result<Vec<Stmt>> {
    let mut out = Vec::with_capacity(body.len());
    for stmt in body {
        match stmt {
            Stmt::Op(op) => {
                let known = op.inputs.iter().all(|v| matches!(graph.info(*v).def, Def::Constant(_)));
                if known && !op.op.is_view() {
                    let value = value_of(graph, &op)?;
                    graph.values[op.output.index()].def = Def::Constant(value);
                } else {
                    out.push(Stmt::Op(op));
                }
            }
            Stmt::Loop(mut inner) => {
                inner.body = fold_body(graph, inner.body)?;
                out.push(Stmt::Loop(inner));
            }
        }
    }
    Ok(out)
}

/// The elements of a constant in its storage type.
enum Stored {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
    I32(Vec<i32>),
}

fn stored(info: &Info) -> Stored {
    match (&info.def, info.dtype) {
        (Def::Constant(Constant::Real(v)), Dtype::Bf16) => {
            Stored::Bf16(v.iter().copied().map(bf16::from_f32).collect())
        }
        (Def::Constant(Constant::Real(v)), _) => Stored::F32(v.clone()),
        (Def::Constant(Constant::Int(v)), _) => Stored::I32(v.clone()),
        _ => unreachable!("only constants are folded"),
    }
}

fn value_of(graph: &Graph, stmt: &OpStmt) -> Result<Constant> {
    let held: Vec<_> = stmt.inputs.iter().map(|v| stored(graph.info(*v))).collect();
    let operands: Vec<_> = stmt
        .inputs
        .iter()
        .zip(&held)
        .map(|(v, held)| {
            let data = match held {
                Stored::F32(v) => Data::F32(v),
                Stored::Bf16(v) => Data::Bf16(v),
                Stored::I32(v) => Data::I32(v),
            };
            let shape = graph.info(*v).shape.as_slice();
            Operand::Tensor(Tensor { data, shape, row_stride: shape.last().copied().unwrap_or(1) })
        })
        .collect();
    let inputs = (0..operands.len()).map(Ref::Operand).collect();
    let meaning = Meaning { ops: vec![MeaningOp { op: stmt.op.clone(), inputs }] };
    let info = graph.info(stmt.output);
    let packed = vec![None; operands.len()];
    let failed = |message: String| Error::Fold { op: stmt.op.to_string(), path: info.path.clone(), message };
    let run = |data: DataMut<'_>| {
        let out = TensorMut { data, shape: &info.shape };
        evaluate(&meaning, &operands, &packed, out).map_err(|e| failed(e.to_string()))
    };
    match info.dtype {
        Dtype::F32 => {
            let mut out = vec![0.0; info.elements()];
            run(DataMut::F32(&mut out))?;
            Ok(Constant::Real(out))
        }
        Dtype::Bf16 => {
            let mut out = vec![bf16::ZERO; info.elements()];
            run(DataMut::Bf16(&mut out))?;
            Ok(Constant::Real(out.into_iter().map(bf16::to_f32).collect()))
        }
        Dtype::I32 | Dtype::U8 => Err(failed("integers are not computed".to_string())),
    }
}
