//! The verifier of results that lie where a slice of a larger value lay.
//!
//! 1. The slice has the result's type, and a kernel that may write over it.
//! 2. The larger value is made in the same body, so that every iteration of a loop has it anew.
//! 3. Nobody reads a byte of the slice from that launch on, but through the result.
//! 4. The result is no output, no state of a loop, and no piece of a join: those are whole.

use std::collections::{BTreeMap, BTreeSet};

use zoetrope_model_spec::lang::{Graph, Op, OpStmt, Value};

use super::region::Region;
use super::rule;
use crate::error::Result;
use crate::fused::{Fused, FusedStmt};

/// Checks the rules above.
///
/// # Errors
/// The first broken rule.
pub fn aliases(fused: &Fused) -> Result<()> {
    let mut places = Places { graph: &fused.graph, from: BTreeMap::new() };
    places.note(&fused.body);
    for stmt in &fused.load {
        let over = matches!(stmt, FusedStmt::Call(call) if call.over.is_some());
        let name = || fused.graph.name.clone();
        rule(!over, "fused", "what stays in memory lies nowhere else", name)?;
    }
    body_rules(&places, &fused.body, fused.graph.outputs.iter().map(|o| o.value).collect())
}

/// A read: the launch that makes it, the result that it is made for, the value.
type Read = (usize, Option<Value>, Value);

fn body_rules(places: &Places<'_>, body: &[FusedStmt], left: Vec<Value>) -> Result<()> {
    let mut whole: BTreeSet<Value> = left.iter().map(|v| places.seen(*v)).collect();
    let (mut made, mut aliased) = (BTreeSet::new(), Vec::new());
    let mut reads: Vec<Read> = left.iter().map(|v| (usize::MAX, None, *v)).collect();
    let mut launch = 0;
    for stmt in body {
        match stmt {
            FusedStmt::View(_) => {}
            FusedStmt::Join(join) => {
                whole.extend(join.inputs.iter().map(|v| places.seen(*v)));
                made.insert(join.output);
            }
            FusedStmt::Loop(l) => {
                launch += 1;
                let next = l.carried.iter().map(|c| c.next).chain(l.collected.iter().map(|c| c.value));
                body_rules(places, &l.body, next.collect())?;
                let mut inside = l.carried.iter().map(|c| c.init).collect();
                all_reads(std::slice::from_ref(stmt), &mut inside);
                reads.extend(inside.into_iter().map(|v| (launch, None, v)));
            }
            FusedStmt::Call(call) => {
                launch += usize::from(!call.joined);
                reads.extend(call.reads.iter().map(|v| (launch, Some(call.write), *v)));
                if let Some(over) = call.over {
                    let slice = call.reads[over];
                    aliased.push((launch, call, slice, made.contains(&places.root(slice))));
                }
                made.insert(call.write);
            }
        }
    }
    let mut by_root: BTreeMap<Value, Vec<Read>> = BTreeMap::new();
    reads.into_iter().for_each(|read| by_root.entry(places.root(read.2)).or_default().push(read));
    for (launch, call, slice, ours) in aliased {
        let path = || format!("{} at {}", call.name, places.graph.info(call.write).path);
        let alike = |a: Value, b: Value| {
            let (a, b) = (places.graph.info(a), places.graph.info(b));
            a.dtype == b.dtype && a.shape == b.shape
        };
        let fits = call.over == call.in_place && alike(slice, call.write);
        rule(fits, "fused", "a result fits the slice that it lies over", path)?;
        rule(ours, "fused", "what a result lies over is made in the same body", path)?;
        rule(!whole.contains(&call.write), "fused", "a result that must be whole lies over nothing", path)?;
        let late = by_root.get(&places.root(slice)).into_iter().flatten().find(|(when, whose, value)| {
            let own = *whose == Some(call.write) && *value == slice;
            *when >= launch && !own && !places.through(*value, call.write) && places.meet(*value, slice)
        });
        rule(late.is_none(), "fused", "nobody reads what a result was written over", path)?;
    }
    Ok(())
}

fn all_reads(body: &[FusedStmt], out: &mut Vec<Value>) {
    for stmt in body {
        match stmt {
            FusedStmt::Call(call) => out.extend(&call.reads),
            FusedStmt::View(_) | FusedStmt::Join(_) => {}
            FusedStmt::Loop(l) => {
                out.extend(l.carried.iter().flat_map(|c| [c.init, c.next]));
                out.extend(l.collected.iter().map(|c| c.value));
                all_reads(&l.body, out);
            }
        }
    }
}

/// Why a value lies in another.
enum Lies<'a> {
    Seen(&'a OpStmt),
    /// From this row of the whole on.
    Joined(Value, usize),
    Over(Value),
}

impl Lies<'_> {
    fn within(&self) -> Value {
        match self {
            Lies::Seen(stmt) => stmt.inputs[0],
            Lies::Joined(whole, _) => *whole,
            Lies::Over(slice) => *slice,
        }
    }
}

/// Where values lie.
struct Places<'a> {
    graph: &'a Graph,
    from: BTreeMap<Value, Lies<'a>>,
}

impl<'a> Places<'a> {
    fn note(&mut self, body: &'a [FusedStmt]) {
        for stmt in body {
            match stmt {
                FusedStmt::View(stmt) => _ = self.from.insert(stmt.output, Lies::Seen(stmt)),
                FusedStmt::Call(call) => {
                    let over = call.over.map(|i| Lies::Over(call.reads[i]));
                    over.map(|lies| self.from.insert(call.write, lies));
                }
                FusedStmt::Join(join) => {
                    let mut row = 0;
                    for piece in &join.inputs {
                        self.from.insert(self.seen(*piece), Lies::Joined(join.output, row));
                        row += self.graph.info(*piece).shape[0];
                    }
                }
                FusedStmt::Loop(l) => self.note(&l.body),
            }
        }
    }

    /// The value that reshapes and slices of it are looks at.
    fn seen(&self, value: Value) -> Value {
        match self.from.get(&value) {
            Some(Lies::Seen(stmt)) => self.seen(stmt.inputs[0]),
            _ => value,
        }
    }

    fn root(&self, value: Value) -> Value {
        self.from.get(&value).map_or(value, |lies| self.root(lies.within()))
    }

    /// True when `value` is `result`, or lies in what it left.
    fn through(&self, value: Value, result: Value) -> bool {
        value == result || self.from.get(&value).is_some_and(|lies| self.through(lies.within(), result))
    }

    /// True when two values of one root share an element, or when that is not known.
    fn meet(&self, a: Value, b: Value) -> bool {
        match (self.grid(a).and_then(|g| g.region()), self.grid(b).and_then(|g| g.region())) {
            (Some(a), Some(b)) => a.meets(&b),
            _ => true,
        }
    }

    /// How a value lies in its root; `None` where that is not known.
    fn grid(&self, value: Value) -> Option<Grid> {
        let shape = &self.graph.info(value).shape;
        match self.from.get(&value) {
            None => Some(Grid::packed(0, shape)),
            Some(Lies::Over(slice)) => self.grid(*slice),
            Some(Lies::Joined(whole, row)) => {
                let whole = self.grid(*whole)?;
                let apart: usize = whole.axes[1..].iter().map(|(n, _)| n).product();
                whole.is_packed().then(|| Grid::packed(whole.first + row * apart, shape))
            }
            Some(Lies::Seen(stmt)) => {
                let mut grid = self.grid(stmt.inputs[0])?;
                match &stmt.op {
                    Op::Slice { axis, start, len } => {
                        grid.first += start * grid.axes[*axis].1;
                        grid.axes[*axis].0 = *len;
                        Some(grid)
                    }
                    Op::Reshape { .. } if grid.is_packed() => Some(Grid::packed(grid.first, shape)),
                    // Axes of one entry come and go, all others stay.
                    Op::Reshape { .. } => {
                        grid.axes.retain(|(n, _)| *n != 1);
                        let kept = shape.iter().filter(|n| **n != 1).eq(grid.axes.iter().map(|(n, _)| n));
                        kept.then_some(grid)
                    }
                    _ => None,
                }
            }
        }
    }
}

/// Elements of a root: the first one, and extent and stride of every axis.
struct Grid {
    first: usize,
    axes: Vec<(usize, usize)>,
}

impl Grid {
    fn packed(first: usize, shape: &[usize]) -> Grid {
        let stride = |i: usize| shape[i + 1..].iter().product();
        Grid { first, axes: shape.iter().enumerate().map(|(i, n)| (*n, stride(i))).collect() }
    }

    fn is_packed(&self) -> bool {
        let mut inner = 1;
        self.axes.iter().rev().all(|(n, stride)| {
            let follows = *n == 1 || *stride == inner;
            inner *= n;
            follows
        })
    }

    /// As rows that are evenly apart; `None` where they are not.
    fn region(&self) -> Option<Region> {
        let mut axes: Vec<(usize, usize)> = self.axes.iter().copied().filter(|(n, _)| *n != 1).collect();
        let mut width = 1;
        while let Some((n, _)) = axes.pop_if(|(_, stride)| *stride == width) {
            width *= n;
        }
        let (mut rows, mut pitch) = (1, width);
        for (n, stride) in axes.into_iter().rev() {
            if rows > 1 && stride != rows * pitch {
                return None;
            }
            pitch = if rows > 1 { pitch } else { stride };
            rows *= n;
        }
        Some(Region::rows(self.first as u64, rows as u64, width as u64, pitch as u64))
    }
}

#[cfg(test)]
mod tests {
    use zoetrope_kernels::catalog;
    use zoetrope_model_spec::lang::{Builder, Dtype};

    use super::*;
    use crate::error::Error;
    use crate::fused::Call;
    use crate::passes::{alias_in_place, fuse, group, hoist, insert_copies};

    /// A product whose halves are normalised where they lie, and a factor that depends on a weight alone.
    fn halves() -> Fused {
        let b = Builder::new("halves", Dtype::F32);
        let x = b.input("x", Dtype::F32, &[6, 16]);
        let wide = b.add(x, x);
        let half = |at: usize| b.rms(b.slice(wide, 1, at, 8), 1e-6);
        let sum = b.add(half(0), half(8));
        b.output("y", b.mul(sum, b.sigmoid(b.weight("scale", &[8]))));
        let catalog = catalog();
        let fused = fuse(b.finish().expect("shapes fit"), &catalog).expect("covered");
        alias_in_place(hoist(group(insert_copies(fused, &catalog))))
    }

    fn calls(fused: &mut Fused) -> Vec<&mut Call> {
        let calls = fused.body.iter_mut().filter_map(|stmt| match stmt {
            FusedStmt::Call(call) => Some(call),
            _ => None,
        });
        calls.collect()
    }

    fn refused(change: impl FnOnce(&mut Fused)) -> String {
        let mut fused = halves();
        change(&mut fused);
        match aliases(&fused) {
            Err(Error::Verifier { rule, .. }) => rule.to_string(),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn the_fused_level_shows_what_lies_where() {
        let fused = halves();
        aliases(&fused).expect("rules hold");
        let text = fused.to_string();
        assert!(text.contains("once per load\n    %") && text.contains("=> sigmoid"), "{text}");
        assert_eq!(text.matches(" over %").count(), 3, "{text}");
    }

    #[test]
    fn what_would_be_destroyed_is_found() {
        let first =
            |fused: &mut Fused| calls(fused).into_iter().find(|c| c.over.is_some()).map(|c| c.clone());
        // Read once more after the norm was written over it.
        let late = refused(|fused| {
            let slice = first(fused).map(|call| call.reads[0]).expect("an alias");
            calls(fused).pop().expect("a last call").reads[0] = slice;
        });
        assert!(late.contains("nobody reads"), "{late}");
        let output = refused(|fused| {
            let aliased = first(fused).map(|call| call.write).expect("an alias");
            fused.graph.outputs[0].value = aliased;
        });
        assert!(output.contains("must be whole"), "{output}");
        let other = refused(|fused| {
            let call = calls(fused).into_iter().find(|c| c.over.is_some()).expect("an alias");
            call.in_place = None;
        });
        assert!(other.contains("fits the slice"), "{other}");
        // What comes from outside is wanted by the next run.
        let outside = refused(|fused| {
            let input = fused.graph.inputs().next().map(|(v, _)| v).expect("an input");
            let call = calls(fused).into_iter().next().expect("a call");
            (call.in_place, call.over) = (Some(0), Some(0));
            call.reads[0] = input;
        });
        assert!(outside.contains("same body"), "{outside}");
    }
}
