//! The gate behind the code of a plan: arguments are read back byte by byte and compared with the plan's rows.
//!
//! 1. Every launch has a call of a function that exists, whose argument is inside the table.
//! 2. The parts of an argument have the row strides and extents of the plan's operands, and its addresses are empty.
//! 3. The blocks of parts follow each other, none is without a block, and the last one ends where the call does.
//! 4. Threads come in warps, and as many as a block may have.
//! 5. Functions have names of their own.

use std::collections::BTreeSet;

use zoetrope_runtime::plan::{Code, Launch, Operand, Phase, Plan};

use super::rule;
use crate::error::Result;

const LEVEL: &str = "code";
const HEADER: usize = 40;
const OPERAND: usize = 32;
const PARTS: usize = 8;

/// Checks the rules above.
///
/// # Errors
/// The first broken rule.
pub fn code(plan: &Plan, code: &Code) -> Result<()> {
    let names: BTreeSet<_> = code.functions.iter().map(|f| &f.symbol).collect();
    rule(names.len() == code.functions.len(), LEVEL, "functions have names of their own", String::new)?;
    for f in code.functions.iter() {
        let fits = f.threads.is_multiple_of(32) && (32..=1024).contains(&f.threads);
        rule(fits, LEVEL, "threads come in warps, at most 1024", || f.key.to_string())?;
    }
    for phase in plan.phases.iter() {
        for (number, (launch, _)) in (phase.first..).zip(phase.launches()) {
            one(code, number, launch)?;
        }
    }
    let launches: usize = plan.phases.iter().map(|p: &Phase| p.launches().count()).sum();
    rule(launches == code.calls.len(), LEVEL, "there is a call for every launch and no other", String::new)
}

fn one(code: &Code, number: u32, launch: &Launch) -> Result<()> {
    let here = || format!("launch {number}, {}", launch.path());
    let found = code.call(number);
    rule(found.is_some(), LEVEL, "a launch has a call of a known function with its argument", here)?;
    let Some((_, call, argument)) = found else { return Ok(()) };
    let int = |at: usize| i64::from(i32::from_le_bytes(bytes(argument, at)));
    let long = |at: usize| i64::from_le_bytes(bytes(argument, at));
    rule(int(0) == launch.parts.len() as i64, LEVEL, "an argument has the parts of its launch", here)?;
    let mut end = 0;
    for part in 0..launch.parts.len().min(PARTS) {
        rule(int(4 + 4 * part) > end, LEVEL, "every part has blocks, one after the other", here)?;
        end = int(4 + 4 * part);
    }
    rule(end == i64::from(call.blocks), LEVEL, "the blocks of the parts are those of the call", here)?;
    let operands = launch.parts.iter().flat_map(|p| p.reads.iter().chain([&p.write]));
    let mut at = HEADER;
    for operand in operands {
        let extents: Vec<i64> = (0..4).map(|axis| int(at + 16 + 4 * axis)).collect();
        rule(long(at) == 0, LEVEL, "addresses are empty", here)?;
        let same = long(at + 8) == i64::from(operand.row_stride) && extents == leading(operand);
        rule(same, LEVEL, "operands have the plan's row strides and extents", here)?;
        at += OPERAND;
    }
    rule(at <= argument.len(), LEVEL, "an argument has room for all operands", here)
}

/// Extents of all axes but the last; behind them ones.
fn leading(operand: &Operand) -> Vec<i64> {
    let axes = operand.shape.len().saturating_sub(1);
    (0..4).map(|i| if i < axes { i64::from(operand.shape[i]) } else { 1 }).collect()
}

fn bytes<const N: usize>(of: &[u8], at: usize) -> [u8; N] {
    of.get(at..at + N).and_then(|b| b.try_into().ok()).unwrap_or([0xff; N])
}
