//! What a denoising step does with what the transformer says (docs/model/sampling.md 4, 6, 7.2).
//!
//! Tokens fall into classes that share a noise level: their class numbers a row of levels and of masks. Each of these
//! becomes one launch, and what holds x0 one with what makes it. Results are f32 unless the next op rounds them.

use super::solver::{Operand, Solver};
use crate::lang::{Builder, Op, Value};

/// x0 of one pass: `x` less `velocity`, both [tokens, channels], times the timestep of each token. `timesteps` is f32
/// \[classes\], `class` i32 \[tokens\].
pub fn denoised(b: &Builder, x: Value, velocity: Value, timesteps: Value, class: Value) -> Value {
    b.sub(x, b.mul(velocity, by_token(b, timesteps, class)))
}

/// `x` where a token's mask is 1, `clean` where it is 0, exactly, and between them elsewhere. `mask` is f32 \[classes\],
/// `class` i32 \[tokens\].
pub fn held(b: &Builder, x: Value, clean: Value, mask: Value, class: Value) -> Value {
    let mask = by_token(b, mask, class);
    b.add(b.mul(x, mask), b.mul(clean, b.affine(mask, -1.0, 1.0)))
}

/// The sum of `terms`, two to five: a coefficient, f32 \[1\], times [tokens, channels]. It may lie over the first one's.
pub fn combined(b: &Builder, terms: &[(Value, Value)]) -> Value {
    let products = terms.iter().map(|(coefficient, operand)| b.mul(*operand, *coefficient));
    let sum = products.reduce(|sum, term| b.add(sum, term));
    sum.expect("a sum has terms")
}

/// The registers of `solver` behind an evaluation that said `x0`, in the order of [`Solver::updates`], as `registers` are.
/// `coefficients` is f32 [[`Solver::coefficients`]]; `noise` is there where the solver draws some, and `hold` then brings
/// a new state to what is given, in evaluations that hold it.
///
/// # Panics
/// When a solver that draws noise has none.
pub fn advanced(
    b: &Builder,
    solver: Solver,
    registers: &[Value],
    x0: Value,
    noise: Option<Value>,
    coefficients: Value,
    hold: impl Fn(Value) -> Value,
) -> Vec<Value> {
    let updates = solver.updates();
    let register =
        |operand| updates.iter().position(|update| update.register == operand).map(|i| registers[i]);
    let (mut next, mut used) = (Vec::new(), 0);
    for update in updates {
        let value = |operand: &Operand| match operand {
            Operand::X0 => x0,
            Operand::Noise => noise.expect("a solver that draws has noise"),
            Operand::Next => next[0],
            Operand::State | Operand::Anchor | Operand::Former => {
                register(*operand).expect("a solver reads the registers that it updates")
            }
        };
        let operands: Vec<Value> = update.terms.iter().map(value).collect();
        let made = match operands[..] {
            [operand] => operand,
            _ => {
                let terms = operands
                    .iter()
                    .zip(used..)
                    .map(|(operand, i)| (b.slice(coefficients, 0, i, 1), *operand));
                combined(b, &terms.collect::<Vec<_>>())
            }
        };
        used += update.coefficients();
        let holds = solver.draws() && update.register == Operand::State;
        next.push(if holds { hold(made) } else { made });
    }
    next
}

/// `x` [tokens, channels] less the mean of all elements, over their standard deviation: of all tokens, or of those for
/// which `visible`, f32 \[tokens\], is 1 and not 0.
pub fn standardized(b: &Builder, x: Value, visible: Option<Value>) -> Value {
    b.op(Op::Standardize {}, &[&[x], visible.as_slice()].concat())
}

/// The standard deviation of all elements of `x` [tokens, channels], f32 \[1\], by their number less one: of all tokens,
/// or of those for which `visible`, f32 \[tokens\], is 1 and not 0.
pub fn deviation(b: &Builder, x: Value, visible: Option<Value>) -> Value {
    b.op(Op::Deviation {}, &[&[x], visible.as_slice()].concat())
}

/// What each token has of `column`, f32 \[classes\].
fn by_token(b: &Builder, column: Value, class: Value) -> Value {
    b.gather(b.reshape(column, &[b.dim(column, 0), 1]), class)
}
