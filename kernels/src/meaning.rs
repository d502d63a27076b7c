//! What a kernel computes, as a small graph of ops over its operands.

use std::collections::BTreeMap;

use zoetrope_model_spec::lang::{Attr, Dtype, Graph, Kept, Op, Stmt};

/// Where an op of a meaning finds an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ref {
    /// What the kernel reads, by place in its declaration.
    Operand(usize),
    /// The result of an earlier op of the meaning.
    Inner(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub struct MeaningOp {
    pub op: Op,
    pub inputs: Vec<Ref>,
}

/// Ops in the order they are evaluated; the last one's result is what the kernel writes.
///
/// In a declaration the attributes of the ops are those of its sample; in a plan they are the matched ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Meaning {
    pub ops: Vec<MeaningOp>,
}

impl Meaning {
    /// Reads a recorded graph whose inputs are the operands, in order, and whose one output is the result.
    ///
    /// Every op's result is used by a later op or is the output, and the output is made last; a declaration that
    /// breaks this is a mistake in the declaration, and panics when the catalog is built.
    pub fn of(graph: &Graph) -> Meaning {
        let operands: Vec<_> = graph.inputs().map(|(value, _)| value).collect();
        let stmts: Vec<_> = graph
            .body
            .iter()
            .map(|stmt| match stmt {
                Stmt::Op(op) => op,
                Stmt::Loop(_) => panic!("{}: a meaning has no loops", graph.name),
            })
            .collect();
        let find = |value| {
            let operand = operands.iter().position(|o| *o == value).map(Ref::Operand);
            operand.or_else(|| stmts.iter().position(|s| s.output == value).map(Ref::Inner))
        };
        let ops: Vec<MeaningOp> = stmts
            .iter()
            .map(|s| MeaningOp {
                op: s.op.clone(),
                inputs: s.inputs.iter().map(|v| find(*v).expect("a meaning has no constants")).collect(),
            })
            .collect();
        let last = stmts.last().map(|s| s.output);
        assert_eq!(
            last,
            graph.outputs.first().map(|o| o.value),
            "{}: the last op makes the result",
            graph.name
        );
        for inner in 0..ops.len().saturating_sub(1) {
            let used = ops.iter().any(|op| op.inputs.contains(&Ref::Inner(inner)));
            assert!(used, "{}: op {inner} of the meaning is not used", graph.name);
        }
        Meaning { ops }
    }

    /// How the result is stored where real numbers are stored as `real`: a kernel that ends with a cast to integers
    /// writes those.
    pub fn stores(&self, real: Dtype) -> Dtype {
        match self.ops.last().map(|last| &last.op) {
            Some(Op::Cast { to }) if !to.is_float() => *to,
            _ => real,
        }
    }

    /// What the rows of an operand stay encoded in, and how many columns they have; `None` for one that is not decoded.
    pub fn encoding(&self, operand: usize) -> Option<(Kept, usize)> {
        self.ops.iter().find_map(|op| match op.op {
            Op::Decode { kept, columns } if op.inputs == [Ref::Operand(operand)] => Some((kept, columns)),
            _ => None,
        })
    }

    /// The attributes of all ops, one list after the other, as a plan stores them.
    pub fn attrs(&self) -> Vec<Attr> {
        self.ops.iter().flat_map(|op| op.op.attrs()).collect()
    }

    /// The attributes that a match binds, for people: `eps=1e-6 groups=16`. Names are those of the ops' fields; where
    /// several ops have a field of that name, the op's stands before it, and a second op of a kind has a number.
    pub fn attrs_text(&self) -> String {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut all: Vec<(String, &str, String)> = Vec::new();
        for op in self.ops.iter().map(|op| &op.op) {
            let nth = seen.entry(op.name()).and_modify(|n| *n += 1).or_insert(1);
            let of = if *nth == 1 { op.name().to_string() } else { format!("{}_{nth}", op.name()) };
            let free = op.fields().into_iter().filter(|(field, _)| !op.pins(field));
            all.extend(free.map(|(field, value)| (of.clone(), field, value)));
        }
        let alone = |field: &str| all.iter().filter(|(_, other, _)| *other == field).count() == 1;
        let word = |(op, field, value): &(String, &str, String)| {
            if alone(field) { format!("{field}={value}") } else { format!("{op}.{field}={value}") }
        };
        all.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    /// The same structure with the attributes of a plan's row. `None` when the list does not fit.
    pub fn with_attrs(&self, attrs: &[Attr]) -> Option<Meaning> {
        let mut rest = attrs;
        let mut ops = Vec::with_capacity(self.ops.len());
        for op in &self.ops {
            // The lengths of attribute lists may differ from the sample's (a convolution's padding), so the
            // shortest prefix that makes an op is taken; an op's own lists carry their length.
            let taken =
                (0..=rest.len()).find_map(|n| Op::rebuild(op.op.name(), &rest[..n]).map(|op| (op, n)));
            let (made, n) = taken?;
            rest = &rest[n..];
            ops.push(MeaningOp { op: made, inputs: op.inputs.clone() });
        }
        rest.is_empty().then_some(Meaning { ops })
    }
}
