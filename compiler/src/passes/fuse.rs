//! Ops become kernel calls: largest meaning first, from the results backwards.
//!
//! The pattern that is looked for is the kernel's meaning itself, so a rewrite can never disagree with its kernel.
//! A result inside a match must have no reader outside it, and must be made in the same loop body.

use std::collections::{BTreeMap, BTreeSet};

use zoetrope_kernels::{Kernel, Meaning, MeaningOp, Ref};
use zoetrope_model_spec::lang::{Graph, Op, OpStmt, Stmt, Value};

use crate::error::Error;
use crate::fused::{Call, Fused, FusedLoop, FusedStmt};

/// Covers every op of `graph` with a kernel of the catalog.
///
/// # Errors
/// An op that no kernel computes, with its path in the model.
pub fn fuse(graph: Graph, catalog: &[Kernel]) -> Result<Fused, Error> {
    let mut largest_first: Vec<usize> = (0..catalog.len()).collect();
    largest_first.sort_by_key(|k| std::cmp::Reverse(catalog[*k].meaning.ops.len()));
    let fuser = Fuser { graph: &graph, catalog, largest_first, uses: uses(&graph) };
    let body = fuser.body(&graph.body)?;
    Ok(Fused { load: Vec::new(), body, graph })
}

struct Fuser<'a> {
    graph: &'a Graph,
    catalog: &'a [Kernel],
    largest_first: Vec<usize>,
    uses: BTreeMap<Value, usize>,
}

/// How often every value is read, by ops, loops and outputs.
pub(super) fn uses(graph: &Graph) -> BTreeMap<Value, usize> {
    fn walk(body: &[Stmt], count: &mut impl FnMut(Value)) {
        for stmt in body {
            match stmt {
                Stmt::Op(op) => op.inputs.iter().copied().for_each(&mut *count),
                Stmt::Loop(l) => {
                    l.carried.iter().for_each(|c| [c.init, c.next].into_iter().for_each(&mut *count));
                    l.collected.iter().for_each(|c| count(c.value));
                    walk(&l.body, count);
                }
            }
        }
    }
    let mut uses = BTreeMap::new();
    let mut count = |value| *uses.entry(value).or_insert(0) += 1;
    walk(&graph.body, &mut count);
    graph.outputs.iter().for_each(|o| count(o.value));
    uses
}

/// A pattern being laid over ops: what each operand and each op of the pattern stands for so far.
#[derive(Clone)]
struct Match<'a> {
    operands: Vec<Option<Value>>,
    ops: Vec<Option<&'a OpStmt>>,
}

impl<'a> Fuser<'a> {
    fn body(&self, stmts: &'a [Stmt]) -> Result<Vec<FusedStmt>, Error> {
        let makers: BTreeMap<Value, &OpStmt> = stmts
            .iter()
            .filter_map(|s| match s {
                Stmt::Op(op) => Some((op.output, op)),
                Stmt::Loop(_) => None,
            })
            .collect();
        let mut covered: BTreeSet<Value> = BTreeSet::new();
        let mut out = Vec::with_capacity(stmts.len());
        for stmt in stmts.iter().rev() {
            match stmt {
                Stmt::Loop(l) => out.push(FusedStmt::Loop(FusedLoop {
                    name: l.name.clone(),
                    count: l.count,
                    carried: l.carried.clone(),
                    collected: l.collected.clone(),
                    body: self.body(&l.body)?,
                })),
                Stmt::Op(op) if covered.contains(&op.output) => {}
                Stmt::Op(op) if op.op.is_view() => out.push(FusedStmt::View(op.clone())),
                Stmt::Op(op) if op.op == (Op::Concat {}) => out.push(FusedStmt::Join(op.clone())),
                Stmt::Op(op) => {
                    let call = self.cover(op, &makers)?;
                    covered.extend(&call.covers);
                    out.push(FusedStmt::Call(call));
                }
            }
        }
        out.reverse();
        Ok(out)
    }

    /// The largest kernel whose meaning ends in `root`.
    fn cover(&self, root: &'a OpStmt, makers: &BTreeMap<Value, &'a OpStmt>) -> Result<Call, Error> {
        let mut lost = Vec::new();
        for k in &self.largest_first {
            let kernel = &self.catalog[*k];
            if !kernel.meaning.ops.last().is_some_and(|last| last.op.stands_for(&root.op)) {
                continue;
            }
            match self.lay(kernel, root, makers) {
                Ok(found) => return Ok(self.call(*k, kernel, found, lost)),
                Err(reason) => lost.push((kernel.name, reason)),
            }
        }
        Err(Error::NoKernel { op: root.op.to_string(), path: self.graph.info(root.output).path.clone() })
    }

    fn lay(
        &self,
        kernel: &Kernel,
        root: &'a OpStmt,
        makers: &BTreeMap<Value, &'a OpStmt>,
    ) -> Result<Match<'a>, String> {
        let pattern = &kernel.meaning;
        let empty = Match { operands: vec![None; kernel.reads.len()], ops: vec![None; pattern.ops.len()] };
        let found = self.lay_op(pattern, pattern.ops.len() - 1, root, makers, empty)?;
        self.check_axes(kernel, &found)?;
        Ok(found)
    }

    fn lay_op(
        &self,
        pattern: &Meaning,
        at: usize,
        stmt: &'a OpStmt,
        makers: &BTreeMap<Value, &'a OpStmt>,
        mut state: Match<'a>,
    ) -> Result<Match<'a>, String> {
        let want: &MeaningOp = &pattern.ops[at];
        if let Some(already) = state.ops[at] {
            let same = already.output == stmt.output;
            return if same { Ok(state) } else { Err(format!("{} stands for two values", want.op.label())) };
        }
        if !want.op.stands_for(&stmt.op) {
            return Err(format!("{} instead of {}", stmt.op.label(), want.op.label()));
        }
        let (have, wanted) = (stmt.inputs.len(), want.inputs.len());
        if have != wanted {
            return Err(format!("{} of {have} operands instead of {wanted}", stmt.op.label()));
        }
        let inside = pattern.ops.iter().flat_map(|op| &op.inputs).filter(|r| **r == Ref::Inner(at)).count();
        if at + 1 < pattern.ops.len() && self.uses.get(&stmt.output) != Some(&inside) {
            return Err(format!("the result of {} is read elsewhere", stmt.op.label()));
        }
        state.ops[at] = Some(stmt);
        let orders: &[&[usize]] = if want.op.commutes() { &[&[0, 1], &[1, 0]] } else { &[] };
        let straight: Vec<usize> = (0..stmt.inputs.len()).collect();
        let mut reason = String::new();
        let orders = if orders.is_empty() { vec![straight.as_slice()] } else { orders.to_vec() };
        for order in orders {
            // A broadcast operand of a commuting op cannot trade places with the full one.
            if order != straight
                && self.graph.info(stmt.inputs[0]).shape != self.graph.info(stmt.inputs[1]).shape
            {
                continue;
            }
            let laid = want.inputs.iter().zip(order).try_fold(state.clone(), |state, (want, i)| {
                self.lay_input(pattern, *want, stmt.inputs[*i], makers, state)
            });
            match laid {
                Ok(done) => return Ok(done),
                Err(why) => reason = why,
            }
        }
        Err(reason)
    }

    fn lay_input(
        &self,
        pattern: &Meaning,
        want: Ref,
        value: Value,
        makers: &BTreeMap<Value, &'a OpStmt>,
        mut state: Match<'a>,
    ) -> Result<Match<'a>, String> {
        match want {
            Ref::Operand(i) => match state.operands[i] {
                Some(bound) if bound != value => Err("one operand stands for two values".to_string()),
                _ => {
                    state.operands[i] = Some(value);
                    Ok(state)
                }
            },
            Ref::Inner(at) => match makers.get(&value) {
                Some(stmt) => self.lay_op(pattern, at, stmt, makers, state),
                None => Err(format!("{} is made elsewhere", pattern.ops[at].op.label())),
            },
        }
    }

    /// Named axes must be the same number everywhere.
    fn check_axes(&self, kernel: &Kernel, found: &Match<'_>) -> Result<(), String> {
        let mut bound: BTreeMap<&str, usize> = BTreeMap::new();
        let root = found.ops.last().copied().flatten().map(|s| s.output);
        let operands = kernel.reads.iter().zip(&found.operands);
        for (decl, value) in operands.chain([(&kernel.writes, &root)]) {
            let shape = value.map(|v| self.graph.info(v).shape.as_slice()).unwrap_or_default();
            let gap = decl.axes.iter().position(|a| *a == "..");
            let (head, tail) = match gap {
                Some(i) => (&decl.axes[..i], &decl.axes[i + 1..]),
                None => (decl.axes, &decl.axes[..0]),
            };
            let fits = if gap.is_some() {
                shape.len() >= head.len() + tail.len()
            } else {
                shape.len() == head.len()
            };
            if !fits {
                return Err(format!("{} is {shape:?}, not {:?}", decl.name, decl.axes));
            }
            let pairs = head.iter().zip(shape).chain(tail.iter().rev().zip(shape.iter().rev()));
            for (axis, extent) in pairs {
                let fixed = axis.parse::<usize>().ok();
                let first = fixed.unwrap_or_else(|| *bound.entry(axis).or_insert(*extent));
                if first != *extent {
                    return Err(format!("{} has {extent} {axis} instead of {first}", decl.name));
                }
            }
        }
        Ok(())
    }

    fn call(&self, k: usize, kernel: &Kernel, found: Match<'a>, lost: Vec<(&'static str, String)>) -> Call {
        let stmts: Vec<&OpStmt> = found.ops.into_iter().flatten().collect();
        let ops = stmts
            .iter()
            .zip(&kernel.meaning.ops)
            .map(|(stmt, pattern)| MeaningOp { op: stmt.op.clone(), inputs: pattern.inputs.clone() })
            .collect();
        let covers: Vec<Value> = stmts.iter().map(|s| s.output).collect();
        Call {
            kernel: k,
            name: kernel.name,
            meaning: Meaning { ops },
            reads: found.operands.into_iter().flatten().collect(),
            write: covers[covers.len() - 1],
            in_place: kernel.in_place,
            over: None,
            joined: false,
            covers,
            lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use zoetrope_kernels::catalog;
    use zoetrope_model_spec::lang::{Builder, Dtype};

    use super::*;

    /// The kernels of attention to values of these shapes and what follows, and why others lost.
    fn kernels(shapes: &[&[usize]], gates: bool) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
        let b = Builder::new("test", Dtype::F32);
        let inputs: Vec<Value> = shapes.iter().map(|shape| b.input("x", Dtype::F32, shape)).collect();
        let attention = Op::Attention { heads: 2, kv_heads: 2, scale: 0.25, causal: false };
        let mut result = b.op(attention, &inputs);
        if gates {
            let logits = b.input("logits", Dtype::F32, &[5, 2]);
            let gates = b.affine(b.sigmoid(logits), 2.0, 0.0);
            result = b.op(Op::HeadScale { heads: 2 }, &[result, gates]);
        }
        b.output("y", result);
        let fused = fuse(b.finish().expect("recorded"), &catalog()).expect("covered");
        let calls = fused.body.into_iter().filter_map(|stmt| match stmt {
            FusedStmt::Call(call) => Some((call.name, call.lost)),
            _ => None,
        });
        calls.collect()
    }

    /// A pattern has as many operands as what it stands for, though the op takes fewer and more.
    #[test]
    fn attention_with_a_bias_is_another_pattern() {
        let shapes: [&[usize]; 4] = [&[5, 16], &[7, 16], &[7, 16], &[5, 7]];
        for (inputs, gates, name, lost) in [
            (3, false, "attention", None),
            (4, false, "attention_bias", Some("attention")),
            (3, true, "attention_gate", None),
            (4, true, "attention_bias_gate", Some("attention_gate")),
        ] {
            let calls = kernels(&shapes[..inputs], gates);
            assert_eq!(calls.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [name]);
            let of = |operands: &str| {
                let all =
                    calls[0].1.iter().filter(|(_, why)| why.starts_with(&format!("attention of {operands}")));
                all.map(|(lost, _)| *lost).collect::<Vec<_>>()
            };
            assert_eq!(of("4 operands instead of 3"), lost.into_iter().collect::<Vec<_>>());
        }
        // One row of biases for all queries is a third one, unless there is one query.
        for (queries, name) in [(5, "attention_key_bias"), (1, "attention_bias")] {
            let shapes: [&[usize]; 4] = [&[queries, 16], &[7, 16], &[7, 16], &[1, 7]];
            assert_eq!(kernels(&shapes, false)[0].0, name);
        }
        let shapes: [&[usize]; 4] = [&[5, 16], &[7, 16], &[7, 16], &[1, 7]];
        assert_eq!(kernels(&shapes, true)[0].0, "attention_key_bias_gate");
    }

    /// The kernels of what `record` makes of inputs: two of tokens, their classes, and a port with two rows of columns.
    fn step(record: impl Fn(&Builder, [Value; 2], Value, [Value; 2]) -> Value) -> Vec<&'static str> {
        let b = Builder::new("test", Dtype::Bf16);
        let tokens = ["x", "y"].map(|name| b.input(name, Dtype::Bf16, &[5, 16]));
        let class = b.input("class", Dtype::I32, &[5]);
        let columns = b.input("columns", Dtype::F32, &[6]);
        let columns = [0, 3].map(|first| b.slice(columns, 0, first, 3));
        b.output("z", b.round(record(&b, tokens, class, columns)));
        let graph = crate::passes::simplify(b.finish().expect("recorded"));
        let fused = fuse(graph, &catalog()).expect("covered");
        let calls = fused.body.into_iter().filter_map(|stmt| match stmt {
            FusedStmt::Call(call) => Some(call.name),
            _ => None,
        });
        calls.collect()
    }

    /// Rounding and views take no launch of their own.
    #[test]
    fn what_a_denoising_step_does_is_one_launch_each() {
        use zoetrope_model_spec::ltx::sampler::{combined, denoised, deviation, held, standardized};

        let x0 =
            |b: &Builder, [x, y]: [Value; 2], class, [times, _]: [Value; 2]| denoised(b, x, y, times, class);
        assert_eq!(step(x0), ["denoised_classes"]);
        let hold = |b: &Builder, [x, y]: [Value; 2], class, [_, mask]: [Value; 2]| held(b, x, y, mask, class);
        assert_eq!(step(hold), ["held"]);
        let both = |b: &Builder, [x, y]: [Value; 2], class, [times, mask]: [Value; 2]| {
            held(b, x0(b, [x, y], class, [times, mask]), y, mask, class)
        };
        assert_eq!(step(both), ["denoised_classes_held"]);
        let rescaled = |b: &Builder, x: Value, numbers: Value| {
            let [cond, own, rescale] = [0, 1, 2].map(|i| b.slice(numbers, 0, i, 1));
            let ratio = b.affine(b.div(cond, own), 1.0, -1.0);
            b.mul(x, b.affine(b.mul(ratio, rescale), 1.0, 1.0))
        };
        assert_eq!(step(|b, [x, _], _, [numbers, _]| rescaled(b, x, numbers)), ["rescaled"]);
        let rescaled_held = |b: &Builder, [x, y]: [Value; 2], class, [numbers, mask]: [Value; 2]| {
            held(b, rescaled(b, x, numbers), y, mask, class)
        };
        assert_eq!(step(rescaled_held), ["rescaled_held"]);
        for (count, name) in (2..).zip(["combine_2", "combine_3", "combine_4", "combine_5"]) {
            let sum = |b: &Builder, [x, y]: [Value; 2], _, [first, second]: [Value; 2]| {
                let coefficient = |i: usize| b.slice([first, second][i / 3], 0, i % 3, 1);
                let terms: Vec<_> = (0..count).map(|i| (coefficient(i), [x, y][i % 2])).collect();
                combined(b, &terms)
            };
            assert_eq!(step(sum), [name]);
        }
        assert_eq!(step(|b, [x, _], _, _| standardized(b, x, None)), ["standardize"]);
        assert_eq!(step(|b, [x, _], _, _| deviation(b, x, None)), ["deviation"]);
        let visible = |b: &Builder| b.input("visible", Dtype::F32, &[5]);
        assert_eq!(step(|b, [x, _], _, _| standardized(b, x, Some(visible(b)))), ["standardize_visible"]);
        assert_eq!(step(|b, [x, _], _, _| deviation(b, x, Some(visible(b)))), ["deviation_visible"]);
    }
}
