//! Loops of fixed count become straight statements, for passes that treat every iteration in its own way.
//!
//! A weight with `*` in its name becomes one weight per iteration, a value per iteration the one of its iteration, the
//! entry of an iteration a slice; what an iteration leaves is what the next one reads. Loops whose count the host
//! decides stay loops.

use std::collections::BTreeMap;

use zoetrope_model_spec::lang::{
    Carried, Collected, Count, Def, Graph, Info, Loop, Op, OpStmt, Output, Stmt, Value,
};

/// The same computation without loops of fixed count.
pub fn unroll(graph: Graph) -> Graph {
    let mut unroller =
        Unroller { from: &graph, values: Vec::new(), now: BTreeMap::new(), weights: BTreeMap::new() };
    // Inputs keep their order, which is that of the phase's ports.
    for (value, _) in graph.inputs() {
        unroller.value(value, None);
    }
    let body = unroller.body(&graph.body, None);
    let output = |o: &Output| Output { value: unroller.value(o.value, None), ..o.clone() };
    let outputs = graph.outputs.iter().map(output).collect();
    let values = unroller.values;
    Graph { values, body, outputs, ..graph }
}

struct Unroller<'a> {
    from: &'a Graph,
    values: Vec<Info>,
    /// What stands for a value where the unrolling is.
    now: BTreeMap<Value, Value>,
    /// Weights of iterations.
    weights: BTreeMap<(Value, usize), Value>,
}

impl Unroller<'_> {
    fn body(&mut self, stmts: &[Stmt], iteration: Option<usize>) -> Vec<Stmt> {
        let mut out = Vec::with_capacity(stmts.len());
        for stmt in stmts {
            match stmt {
                Stmt::Op(stmt) => {
                    let mut inputs: Vec<_> = stmt.inputs.iter().map(|v| self.value(*v, iteration)).collect();
                    let mut kind = stmt.op.clone();
                    if let (Op::Iteration {}, Some(start)) = (&kind, iteration) {
                        inputs[0] = self.entry(inputs[0], start, &mut out);
                        kind = Op::Reshape { shape: self.from.info(stmt.output).shape.clone() };
                    }
                    out.push(op(kind, inputs, self.define(stmt.output, iteration)));
                }
                Stmt::Loop(l) => match l.count {
                    Count::Fixed(count) => self.iterations(l, count, iteration, &mut out),
                    Count::Runtime => out.push(Stmt::Loop(self.kept(l, iteration))),
                },
            }
        }
        out
    }

    fn iterations(&mut self, l: &Loop, count: usize, outer: Option<usize>, out: &mut Vec<Stmt>) {
        let mut state: Vec<Value> = l.carried.iter().map(|c| self.value(c.init, outer)).collect();
        let mut rows = vec![Vec::with_capacity(count); l.collected.len()];
        for iteration in 0..count {
            self.now.extend(l.carried.iter().zip(&state).map(|(c, v)| (c.inner, *v)));
            out.extend(self.body(&l.body, Some(iteration)));
            state = l.carried.iter().map(|c| self.value(c.next, Some(iteration))).collect();
            for (c, rows) in l.collected.iter().zip(&mut rows) {
                let value = self.value(c.value, Some(iteration));
                let shape = [&[1], self.values[value.index()].shape.as_slice()].concat();
                let row = self.push(Info {
                    shape: shape.clone(),
                    def: Def::Op,
                    ..self.values[value.index()].clone()
                });
                rows.push(row);
                out.push(op(Op::Reshape { shape }, vec![value], row));
            }
        }
        self.now.extend(l.carried.iter().zip(&state).map(|(c, v)| (c.result, *v)));
        for (c, rows) in l.collected.iter().zip(rows) {
            let stack = self.define(c.stack, outer);
            self.values[stack.index()].def = Def::Op;
            out.push(op(Op::Concat {}, rows, stack));
        }
    }

    /// Entry `start` of a stack, as a stack of one.
    fn entry(&mut self, stack: Value, start: usize, out: &mut Vec<Stmt>) -> Value {
        let mut info = Info { def: Def::Op, ..self.values[stack.index()].clone() };
        info.shape[0] = 1;
        let entry = self.push(info);
        out.push(op(Op::Slice { axis: 0, start, len: 1 }, vec![stack], entry));
        entry
    }

    fn kept(&mut self, l: &Loop, iteration: Option<usize>) -> Loop {
        let state =
            l.carried.iter().map(|c| (self.value(c.init, iteration), self.define(c.inner, iteration)));
        let state: Vec<_> = state.collect();
        let body = self.body(&l.body, iteration);
        let carried = l.carried.iter().zip(state).map(|(c, (init, inner))| Carried {
            init,
            inner,
            next: self.value(c.next, iteration),
            result: self.define(c.result, iteration),
        });
        let carried = carried.collect();
        let collected = l.collected.iter().map(|c| Collected {
            value: self.value(c.value, iteration),
            stack: self.define(c.stack, iteration),
        });
        let collected = collected.collect();
        Loop { name: l.name.clone(), count: l.count, carried, collected, body }
    }

    /// What a reader in iteration `iteration` of the innermost loop of fixed count sees as `value`.
    fn value(&mut self, value: Value, iteration: Option<usize>) -> Value {
        match (&self.from.info(value).def, iteration) {
            (Def::PerIteration(values), Some(iteration)) => self.value(values[iteration], None),
            (Def::Weight { tensors, .. }, Some(iteration))
                if tensors.iter().any(|t| t.name.contains('*')) =>
            {
                let known = self.weights.get(&(value, iteration)).copied();
                let weight = known.unwrap_or_else(|| self.define(value, Some(iteration)));
                *self.weights.entry((value, iteration)).or_insert(weight)
            }
            _ => self.now.get(&value).copied().unwrap_or_else(|| self.define(value, iteration)),
        }
    }

    /// A new value that stands for `value` from here on, named after its iteration.
    fn define(&mut self, value: Value, iteration: Option<usize>) -> Value {
        let mut info = self.from.info(value).clone();
        if let Some(iteration) = iteration {
            let mut number = iteration;
            if let Def::Weight { first, .. } = &mut info.def {
                number += std::mem::take(first);
            }
            let named = |text: &str| text.replacen('*', &number.to_string(), 1);
            if let Def::Weight { tensors, .. } = &mut info.def {
                tensors.iter_mut().for_each(|t| t.name = named(&t.name));
            }
            info.path = named(&info.path);
        }
        let new = self.push(info);
        self.now.insert(value, new);
        new
    }

    fn push(&mut self, info: Info) -> Value {
        self.values.push(info);
        Value(self.values.len() as u32 - 1)
    }
}

fn op(op: Op, inputs: Vec<Value>, output: Value) -> Stmt {
    Stmt::Op(OpStmt { op, inputs, output })
}
