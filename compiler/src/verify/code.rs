//! The verifier of the code of a plan: arguments are read back byte by byte and compared with the plan's rows.
//!
//! 1. Every launch has a call of a function that exists, whose argument is inside the table.
//! 2. The parts of an argument have the row strides and extents of the plan's operands, and its addresses are empty.
//! 3. The blocks of parts follow each other, none is without a block, and the last one ends where the call does.
//! 4. Threads come in warps, and as many as a block may have.
//! 5. Functions have names of their own.
//! 6. A tensor map describes an operand that is read: all of its rows and columns, as far apart as the plan says, of a
//!    dtype, at addresses and in boxes that a driver takes. Where a launch has some, all operands of real numbers and
//!    the results have rows at multiples of 16 bytes, which its kernel moves at once.
//! 7. Tensor maps lie behind all operands that the argument has room for, one after the other and aligned, and in the
//!    same order for every part; what lies there is empty. They end the argument, with room for those of all possible
//!    parts. Code of the portable class has none.

use std::collections::BTreeSet;

use zoetrope_runtime::plan::{Base, Call, Code, Dtype, Launch, Map, Operand, Phase, Plan};

use super::rule;
use crate::error::Result;

const LEVEL: &str = "code";
const HEADER: usize = 40;
const OPERAND: usize = 32;
const PARTS: usize = 8;
const MAP: usize = 128;

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
    rule(at <= argument.len(), LEVEL, "an argument has room for all operands", here)?;
    maps(code, call, argument, launch, &here)
}

fn maps(code: &Code, call: &Call, argument: &[u8], launch: &Launch, here: &dyn Fn() -> String) -> Result<()> {
    let maps = code.maps(call);
    rule(maps.is_some(), LEVEL, "the tensor maps of a call are in the table", here)?;
    let maps = maps.unwrap_or_default();
    rule(maps.is_empty() || code.class != "portable", LEVEL, "portable code has no tensor maps", here)?;
    let operands: Vec<(&Operand, bool)> = launch
        .parts
        .iter()
        .flat_map(|part| part.reads.iter().map(|read| (read, true)).chain([(&part.write, false)]))
        .collect();
    let parts = launch.parts.len().max(1);
    let (per_part, mapped) = (operands.len() / parts, maps.len() / parts);
    rule(maps.len() == mapped * parts, LEVEL, "every part has as many tensor maps", here)?;
    let room = HEADER + PARTS * per_part * OPERAND;
    let begin = if maps.is_empty() { room } else { room.next_multiple_of(128) };
    let whole = argument.len() == begin + PARTS * mapped * MAP;
    rule(whole, LEVEL, "an argument is as long as its operands and tensor maps", here)?;
    let lie_well =
        operands.iter().all(|(operand, _)| operand.dtype == Dtype::I32 || has_aligned_rows(operand));
    rule(maps.is_empty() || lie_well, LEVEL, "what lies beside tensor maps has aligned rows", here)?;
    for (i, map) in maps.iter().enumerate() {
        let found = operands.get(map.operand as usize);
        rule(found.is_some_and(|(_, read)| *read), LEVEL, "a tensor map is that of an operand", here)?;
        let Some((operand, _)) = found else { return Ok(()) };
        rule(describes(map, operand), LEVEL, "a tensor map describes all of its operand", here)?;
        rule(can_be_made(map, operand), LEVEL, "a tensor map is one that a driver makes", here)?;
        let (at, part, first) = (map.at as usize, i / mapped, &maps[i % mapped]);
        let same = map.operand as usize == part * per_part + first.operand as usize && map.tile == first.tile;
        rule(same, LEVEL, "the parts of an argument have the same tensor maps", here)?;
        rule(at == begin + i * MAP, LEVEL, "tensor maps lie behind the operands, one after the other", here)?;
        let empty = argument.get(at..at + MAP).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
        rule(empty, LEVEL, "tensor maps are inside the argument, and empty", here)?;
    }
    Ok(())
}

fn describes(map: &Map, operand: &Operand) -> bool {
    let columns = operand.shape.last().copied().unwrap_or(1);
    let rows: u64 = leading(operand).iter().map(|extent| *extent as u64).product();
    map.extents == [u64::from(columns), rows] && map.stride == u64::from(operand.row_stride) * 2
}

/// Whether rows begin at multiples of 16 bytes. Constants begin as buffers do.
fn has_aligned_rows(operand: &Operand) -> bool {
    let step = if operand.base == Base::Arena { operand.step } else { 0 };
    let stride = u64::from(operand.row_stride) * operand.dtype.bytes();
    (operand.offset | step | stride).is_multiple_of(16)
}

/// The rules of `cuTensorMapEncodeTiled` for maps of the one kind that there is.
fn can_be_made(map: &Map, operand: &Operand) -> bool {
    operand.dtype == Dtype::Bf16
        && has_aligned_rows(operand)
        && map.extents.iter().all(|extent| (1..=1 << 32).contains(extent))
        && map.stride < 1 << 40
        && map.tile[0] == 64
        && (1..=256).contains(&map.tile[1])
}

/// Extents of all axes but the last; behind them ones.
fn leading(operand: &Operand) -> Vec<i64> {
    let axes = operand.shape.len().saturating_sub(1);
    (0..4).map(|i| if i < axes { i64::from(operand.shape[i]) } else { 1 }).collect()
}

fn bytes<const N: usize>(of: &[u8], at: usize) -> [u8; N] {
    of.get(at..at + N).and_then(|b| b.try_into().ok()).unwrap_or([0xff; N])
}
