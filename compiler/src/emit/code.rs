//! The code of a plan as Rust: static tables, one row a line, and the bytes of its arguments in a file of their own.

use std::fmt::Write;

use quote::quote;
use zoetrope_runtime::plan::Code;

use super::{pretty, table};
use crate::error::Result;

/// What is written for the code of a plan.
pub struct EmittedCode {
    /// A Rust file with `pub static CODE: Code`, to be included in a module of its own.
    pub rust: String,
    /// Arguments, which the Rust file includes from beside it.
    pub arguments: Vec<u8>,
}

/// Writes `code` as Rust that includes its arguments from `arguments_file` (a name in the same folder).
///
/// # Errors
/// The text is not Rust: a mistake in this module.
pub fn emit_code(code: &Code, arguments_file: &str) -> Result<EmittedCode> {
    let (plan, class) = (&*code.plan, &*code.class);
    let archs = code.archs.iter().map(|arch| {
        let name = &*arch.name;
        let serves = arch.serves.iter().map(|(major, minor)| quote!((#major, #minor)));
        quote! { arch(#name, &[#(#serves),*]) }
    });
    let item = quote! {
        /// The plan's launches as a driver takes them.
        pub static CODE: Code = Code {
            plan: Cow::Borrowed(#plan),
            class: Cow::Borrowed(#class),
            archs: Cow::Borrowed(const { &[#(#archs),*] }),
            functions: Cow::Borrowed(&FUNCTIONS),
            calls: Cow::Borrowed(&CALLS),
            arguments: Cow::Borrowed(include_bytes!(#arguments_file)),
            maps: Cow::Borrowed(&MAPS),
        };
    };
    let uses = quote! {
        use std::borrow::Cow;
        use zoetrope_runtime::plan::rows::*;
        use zoetrope_runtime::plan::{Call, Code, Function, Map};
    };
    let mut rust = String::new();
    let _ = writeln!(rust, "{}\n{}", pretty(uses)?, pretty(item)?);
    let functions = code.functions.iter().map(|f| {
        let (threads, shared, bytes, strides) = (f.threads, f.shared, f.argument_bytes, f.strides);
        format!("function({:?}, {threads}, {shared}, {bytes}, {strides}, {:?}),", f.symbol, f.key)
    });
    table(&mut rust, "FUNCTIONS", "Function", functions, code.functions.len());
    let calls = code
        .calls
        .iter()
        .map(|c| format!("call({}, {}, {}, {:?}),", c.function, c.blocks, c.argument, c.maps));
    table(&mut rust, "CALLS", "Call", calls, code.calls.len());
    let maps = code
        .maps
        .iter()
        .map(|m| format!("map({}, {}, {:?}, {}, {:?}),", m.at, m.operand, m.extents, m.stride, m.tile));
    table(&mut rust, "MAPS", "Map", maps, code.maps.len());
    Ok(EmittedCode { rust, arguments: code.arguments.to_vec() })
}
