//! The launches of a plan as a CUDA driver takes them: one table for every class of cards.
//!
//! A plan says what a launch computes, its code which function of which machine code does it, on how many blocks, and
//! with which argument. Every function has one argument, a structure that is there byte by byte except for addresses,
//! which are known when memory is.
//!
//! ```text
//!  0  parts: i32
//!  4  end of each part's blocks: 8 × i32
//! 40  for every operand of every part, and behind its operands for its result:
//!     address: u64, row stride in elements: i64, extents of all axes but the last: 4 × i32
//! ```
//!
//! A function of a class of its own may read operands box by box, through *tensor maps*. Each is a structure of
//! [`MAP_BYTES`] bytes that a driver makes when the operand's address is known (`cuTensorMapEncodeTiled`). They end the
//! argument, which then begins at a multiple of [`MAP_ALIGN`]; a call's list of [`Map`]s says what they describe. All
//! have two axes, elements of bf16 that follow each other, rows of a box swizzled by 128 bytes, and zeros for what a
//! box has outside of its operand.

use std::fmt::Write;

use super::{List, Plan, Text, bytes_text};

/// Parts of an argument, at most.
pub const ARGUMENT_PARTS: usize = 8;
/// Where the operands of an argument begin.
pub const ARGUMENT_HEADER: usize = 40;
/// Bytes of each; its address comes first.
pub const ARGUMENT_OPERAND: usize = 32;

/// Bytes of a tensor map.
pub const MAP_BYTES: usize = 128;
/// A tensor map begins at a multiple of this, in an argument that does.
pub const MAP_ALIGN: usize = 128;

/// An architecture that machine code is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arch {
    /// As in `sm_90a`.
    pub name: Text,
    /// Compute capabilities of the cards that load it.
    pub serves: List<(u32, u32)>,
}

/// A function of machine code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, the same in the machine code of every architecture and nowhere else.
    pub symbol: Text,
    /// What it is made of, in words: kernel, dtypes, widths, attributes.
    pub key: Text,
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of shared memory of a block.
    pub shared: u32,
    /// Bytes of its argument.
    pub argument_bytes: u32,
    /// Whether its blocks go through the work of their part in strides: then no more of them are launched than the card
    /// has multiprocessors.
    pub strides: bool,
}

/// A launch: `blocks` blocks of a function, or, where it goes in strides, at most so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// By place in [`Code::functions`].
    pub function: u32,
    pub blocks: u32,
    /// Where its argument begins in [`Code::arguments`].
    pub argument: u64,
    /// Where its tensor maps begin in [`Code::maps`], and how many there are.
    pub maps: (u32, u32),
}

/// A tensor map of an argument, but for its address, which is that of its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// Where it begins in the argument.
    pub at: u32,
    /// The operand that it describes, counted as the argument has them.
    pub operand: u32,
    /// Columns and rows of the operand; all axes but the last are joined to rows.
    pub extents: [u64; 2],
    /// Bytes from one row to the next.
    pub stride: u64,
    /// Columns and rows of a box.
    pub tile: [u32; 2],
}

impl Map {
    /// `  2:64x128 of 1024x4096`: the operand, its boxes and all of it, as rows and columns.
    fn text(&self) -> String {
        let ([columns, rows], [width, height]) = (self.extents, self.tile);
        format!("  {}:{height}x{width} of {rows}x{columns}", self.operand)
    }
}

/// The code of a plan for a class of cards.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    /// The name of the plan.
    pub plan: Text,
    /// `portable`, or an architecture's own.
    pub class: Text,
    pub archs: List<Arch>,
    pub functions: List<Function>,
    /// By number of launch, a loop's body once.
    pub calls: List<Call>,
    /// Arguments, with zeros where addresses and tensor maps belong.
    pub arguments: List<u8>,
    /// Tensor maps of all calls.
    pub maps: List<Map>,
}

impl Code {
    /// The architecture whose machine code a card of a compute capability loads.
    pub fn arch(&self, capability: (u32, u32)) -> Option<&Arch> {
        self.archs.iter().find(|arch| arch.serves.contains(&capability))
    }

    /// Function, call and argument of launch `number`.
    pub fn call(&self, number: u32) -> Option<(&Function, &Call, &[u8])> {
        let call = self.calls.get(number as usize)?;
        let function = self.functions.get(call.function as usize)?;
        let from = call.argument as usize;
        Some((function, call, self.arguments.get(from..from + function.argument_bytes as usize)?))
    }

    /// The tensor maps of a call.
    pub fn maps(&self, call: &Call) -> Option<&[Map]> {
        let (first, count) = (call.maps.0 as usize, call.maps.1 as usize);
        self.maps.get(first..first + count)
    }

    /// A line for every function, and one for every launch of the plan, with boxes (rows by columns) of its operands.
    pub fn text(&self, plan: &Plan) -> String {
        let archs: Vec<_> = self.archs.iter().map(|a| format!("sm_{}", a.name)).collect();
        let mut out = format!("code {} {}   {}\n", self.plan, self.class, archs.join(" "));
        for (i, f) in self.functions.iter().enumerate() {
            let shared = bytes_text(u64::from(f.shared));
            let _ = writeln!(out, "f{i}  {}  {} threads  {shared} shared  {}", f.symbol, f.threads, f.key);
        }
        for phase in plan.phases.iter() {
            let _ = writeln!(out, "phase {}", phase.name);
            for (number, (launch, _)) in (phase.first..).zip(phase.launches()) {
                if let Some((function, call, _)) = self.call(number) {
                    let (blocks, symbol, path) = (call.blocks, &function.symbol, launch.path());
                    let maps: String = self.maps(call).unwrap_or_default().iter().map(Map::text).collect();
                    let function = call.function;
                    let _ = writeln!(out, "  {number:>4}  {blocks:>8}  f{function}  {symbol}{maps}  {path}");
                }
            }
        }
        out
    }
}
