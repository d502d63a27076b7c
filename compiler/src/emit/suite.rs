//! A suite as Rust: static tables of numbers.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use zoetrope_runtime::plan::{Member, Suite};

use super::{option, pretty, table};
use crate::error::Result;

/// Writes `suite` as a Rust file with `pub static SUITE: Suite`, to be included in a module of its own.
///
/// # Errors
/// The text is not Rust: a mistake in this module.
pub fn emit_suite(suite: &Suite) -> Result<String> {
    let mut rows = String::new();
    let members: Vec<TokenStream> =
        suite.members.iter().enumerate().map(|(i, of)| member(&mut rows, i, of)).collect();
    let (peak_bytes, brought) = (suite.peak_bytes, suite.brought.iter());
    let vram = option(suite.vram);
    let item = quote! {
        /// Plans of one model in one memory.
        pub static SUITE: Suite = Suite {
            members: Cow::Borrowed(const { &[#(#members),*] }),
            vram: #vram,
            peak_bytes: #peak_bytes,
            brought: Cow::Borrowed(const { &[#(#brought),*] }),
        };
    };
    let uses = quote! {
        use std::borrow::Cow;
        use zoetrope_runtime::plan::rows::{member, placement};
        use zoetrope_runtime::plan::Suite;
    };
    Ok(format!("{}\n{}\n{rows}", pretty(uses)?, pretty(item)?))
}

fn member(rows: &mut String, number: usize, of: &Member) -> TokenStream {
    let mut numbers = |name: String, of: &str, list: Vec<String>| {
        table(rows, &name, of, list.chunks(16).map(|c| c.join(", ") + ","), list.len());
        format_ident!("{name}")
    };
    let constants = of.constants.iter().map(u32::to_string).collect();
    let constants = numbers(format!("M{number}_CONSTANTS"), "u32", constants);
    let phases: Vec<TokenStream> = of
        .phases
        .iter()
        .enumerate()
        .map(|(i, at)| {
            let places = at.places.iter().map(|at| format!("{at:#x}")).collect();
            let places = numbers(format!("M{number}_P{i}_PLACES"), "u64", places);
            let kept = at.kept.iter().map(u32::to_string).collect();
            let kept = numbers(format!("M{number}_P{i}_KEPT"), "u32", kept);
            let (weight_bytes, table_bytes) = (at.weight_bytes, at.table_bytes);
            quote!(placement(&#places, &#kept, #weight_bytes, #table_bytes))
        })
        .collect();
    let plan = &*of.plan;
    quote!(member(#plan, &#constants, const { &[#(#phases),*] }))
}
