//! The text form of a [`Graph`]: one line a statement, in spec order, with the model path at its end.

use std::fmt;

use super::{Constant, Count, Def, Graph, Info, Layout, Op, Stmt, Value};

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())?;
        let function = matches!(self, Op::Unary { .. } | Op::Binary { .. });
        self.fields().iter().filter(|_| !function).try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl Info {
    /// `bf16[48,4096]`
    pub fn type_text(&self) -> String {
        let dims: Vec<_> = self.shape.iter().map(usize::to_string).collect();
        format!("{}[{}]", self.dtype, dims.join(","))
    }
}

fn list(values: &[Value]) -> String {
    values.iter().map(Value::to_string).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "graph {}", self.name)?;
        for (value, info) in self.iter() {
            let kind = match &info.def {
                Def::Input(role) if role.per_step() => format!("step input {role:?}"),
                Def::Input(role) => format!("input {role:?}"),
                Def::Weight { source, tensors, first, layout, keep } => {
                    let tensor = tensors.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(" | ");
                    let from = if *first > 0 { format!(" from {first}") } else { String::new() };
                    let kind = match layout {
                        Layout::Plain => "weight".to_string(),
                        Layout::ChannelsLast => "filters".to_string(),
                        Layout::Encoded { kept, .. } => format!("weight in {kept}"),
                    };
                    let keep = keep.map_or(String::new(), |kept| format!(" to stay in {kept}"));
                    writeln!(
                        f,
                        "  {value} = {kind} {tensor}{from}{keep} : {}   {}",
                        info.type_text(),
                        source.name()
                    )?;
                    continue;
                }
                Def::Constant(Constant::Real(_)) => "constant".to_string(),
                Def::Constant(Constant::Int(_)) => "index".to_string(),
                Def::PerIteration(values) => format!("per iteration {}", list(values)),
                Def::Op | Def::Carried | Def::Collected => continue,
            };
            writeln!(f, "  {value} = {kind} : {}   {}", info.type_text(), info.path)?;
        }
        self.body_text(f, &self.body, 1)?;
        self.outputs.iter().try_for_each(|o| writeln!(f, "  output {} = {}   {:?}", o.name, o.value, o.role))
    }
}

impl Graph {
    fn body_text(&self, f: &mut fmt::Formatter<'_>, body: &[Stmt], depth: usize) -> fmt::Result {
        let pad = "  ".repeat(depth);
        for stmt in body {
            match stmt {
                Stmt::Op(op) => {
                    let info = self.info(op.output);
                    let (value, inputs) = (op.output, list(&op.inputs));
                    writeln!(f, "{pad}{value} = {} {inputs} : {}   {}", op.op, info.type_text(), info.path)?;
                }
                Stmt::Loop(l) => {
                    let times = match l.count {
                        Count::Fixed(n) => format!("x{n}"),
                        Count::Runtime => "x steps".to_string(),
                    };
                    let state: Vec<_> =
                        l.carried.iter().map(|c| format!("{} <- {}", c.inner, c.init)).collect();
                    writeln!(f, "{pad}loop {} {times} ({})", l.name, state.join(", "))?;
                    self.body_text(f, &l.body, depth + 1)?;
                    for c in &l.collected {
                        writeln!(f, "{pad}  collect {} -> {}", c.value, c.stack)?;
                    }
                    for c in &l.carried {
                        writeln!(f, "{pad}  next {} -> {} {}", c.next, c.inner, c.result)?;
                    }
                }
            }
        }
        Ok(())
    }
}
