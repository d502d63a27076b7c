//! The plan as Rust: static tables, one row a line.
//!
//! Items come from `quote`; the rows of long tables are written line by line, because a person reads them.

mod code;
mod suite;

pub use code::{EmittedCode, emit_code};
pub use suite::emit_suite;

use std::fmt::Write;

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, format_ident, quote};
use zoetrope_runtime::plan::{
    Adapter, Base, Dtype, Footprint, Item, Launch, Layout, Levels, Loop, Number, Operand, Origin, Part,
    Phase, Plan, Port, Role, Schedule, Segment, Solver,
};

use crate::error::{Error, Result};
use crate::plan_hash;

/// What is written for one plan.
pub struct Emitted {
    /// A Rust file with `pub static PLAN: Plan`, to be included in a module of its own.
    pub rust: String,
    /// The folded tables, which the Rust file includes from beside it.
    pub tables: Vec<u8>,
}

/// Writes `plan` as Rust that includes its tables from `tables_file` (a name in the same folder).
///
/// # Errors
/// The text is not Rust: a mistake in this module.
pub fn emit(plan: &Plan, tables_file: &str) -> Result<Emitted> {
    let mut rows = String::new();
    let phases: Vec<TokenStream> =
        plan.phases.iter().enumerate().map(|(i, p)| phase(&mut rows, i, p)).collect();
    constant_tables(&mut rows, plan);
    let (name, made_by) = (&*plan.name, &*plan.made_by);
    let facts = facts(plan);
    let (arena_bytes, peak_bytes) = (plan.arena_bytes, plan.peak_bytes);
    let item = quote! {
        /// The compiled target.
        pub static PLAN: Plan = Plan {
            name: Cow::Borrowed(#name),
            made_by: Cow::Borrowed(#made_by),
            facts: #facts,
            kernels: Cow::Borrowed(&KERNELS),
            constants: Cow::Borrowed(&CONSTANTS),
            tables: Cow::Borrowed(include_bytes!(#tables_file)),
            phases: Cow::Borrowed(&PHASES),
            buffers: Cow::Borrowed(&BUFFERS),
            arena_bytes: #arena_bytes,
            peak_bytes: #peak_bytes,
        };
    };
    let count = Literal::usize_unsuffixed(phases.len());
    let phases = quote! { static PHASES: [Phase; #count] = [#(#phases),*]; };
    let uses = quote! {
        use std::borrow::Cow;
        use zoetrope_runtime::plan::rows::*;
        #[allow(unused_imports, reason = "not every plan has all of them")]
        use zoetrope_runtime::plan::{
            Buffer, Constant, Facts, Fetch, Footprint, Item, Kept, Kernel, Launch, Levels, Lifetime, Loop, Number, Phase, Plan, Repeat, Role,
            Schedule, Segment, Solver, Source,
        };
    };
    let head = format!(
        "// Made by {}.\n// plan {}   Do not edit: see ARCHITECTURE.md.\n",
        plan.made_by,
        plan_hash(plan)
    );
    let rust = format!("{head}{}\n{}\n{}\n{rows}", pretty(uses)?, pretty(item)?, pretty(phases)?);
    Ok(Emitted { rust, tables: plan.tables.to_vec() })
}

fn pretty(tokens: TokenStream) -> Result<String> {
    let file = syn::parse2(tokens).map_err(|e| Error::Emit(e.to_string()))?;
    Ok(prettyplease::unparse(&file))
}

fn facts(plan: &Plan) -> TokenStream {
    let f = &plan.facts;
    let (width, height, frames, fps, carried) = (f.width, f.height, f.frames, f.fps, f.carried);
    let (pipeline, model, version) = (&*f.pipeline, &*f.model, &*f.model_version);
    let dtype = format_ident!("{}", dtype(f.dtype));
    let notes = f.notes.iter().map(|note| quote!(Cow::Borrowed(#note)));
    let decoder = f.decoder.as_ref().map_or(quote!(None), |name| quote!(Some(Cow::Borrowed(#name))));
    let decode_chunk = f.decode_chunk.map_or(quote!(None), |frames| quote!(Some(#frames)));
    let vram = f.vram.map_or(quote!(None), |bytes| quote!(Some(#bytes)));
    let reserve_bytes = f.reserve_bytes;
    let footprints = f.footprints.iter().map(footprint);
    quote! {
        Facts {
            width: #width,
            height: #height,
            frames: #frames,
            fps: #fps,
            carried: #carried,
            dtype: #dtype,
            pipeline: Cow::Borrowed(#pipeline),
            model: Cow::Borrowed(#model),
            model_version: Cow::Borrowed(#version),
            notes: Cow::Borrowed(&[#(#notes),*]),
            decoder: #decoder,
            decode_chunk: #decode_chunk,
            vram: #vram,
            reserve_bytes: #reserve_bytes,
            footprints: Cow::Borrowed(&[#(#footprints),*]),
        }
    }
}

fn footprint(footprint: &Footprint) -> TokenStream {
    let weights = match footprint.weights.map(|kept| format_ident!("{kept:?}")) {
        Some(kept) => quote!(Some(Kept::#kept)),
        None => quote!(None),
    };
    let (peak_bytes, least_vram) = (footprint.peak_bytes, footprint.least_vram);
    quote!(Footprint { weights: #weights, peak_bytes: #peak_bytes, least_vram: #least_vram })
}

fn phase(rows: &mut String, number: usize, phase: &Phase) -> TokenStream {
    let segments: Vec<_> = phase
        .segments
        .iter()
        .enumerate()
        .map(|(i, s)| segment(rows, &format!("P{number}_S{i}"), s))
        .collect();
    let (inputs, outputs) = (ports(&phase.inputs), ports(&phase.outputs));
    // Few plans have one, and an import that a plan does not need is a warning.
    let adapter = option(phase.adapter.map(|Adapter { slot, strength, rank }| {
        let rank = option(rank);
        quote!(zoetrope_runtime::plan::Adapter { slot: #slot, strength: #strength, rank: #rank })
    }));
    let (schedule, image) = (option(phase.schedule.as_ref().map(schedule)), option(phase.image));
    let constants = format_ident!("P{}_CONSTANTS", number);
    let list: Vec<_> = phase.constants.iter().map(u32::to_string).collect();
    table(rows, &constants.to_string(), "u32", list.chunks(24).map(|c| c.join(", ") + ","), list.len());
    let (name, first) = (&*phase.name, phase.first);
    let places = format_ident!("P{}_PLACES", number);
    let list: Vec<_> = phase.places.iter().map(|at| format!("{at:#x}")).collect();
    table(rows, &places.to_string(), "u64", list.chunks(12).map(|c| c.join(", ") + ","), list.len());
    let kept = format_ident!("P{}_KEPT", number);
    let list: Vec<_> = phase.kept.iter().map(u32::to_string).collect();
    table(rows, &kept.to_string(), "u32", list.chunks(24).map(|c| c.join(", ") + ","), list.len());
    let (weight_bytes, table_bytes) = (phase.weight_bytes, phase.table_bytes);
    let (arena_bytes, lower_bound_bytes) = (phase.arena_bytes, phase.lower_bound_bytes);
    quote! {
        Phase {
            name: Cow::Borrowed(#name),
            first: #first,
            segments: Cow::Borrowed(const { &[#(#segments),*] }),
            inputs: Cow::Borrowed(const { &[#(#inputs),*] }),
            outputs: Cow::Borrowed(const { &[#(#outputs),*] }),
            schedule: #schedule,
            adapter: #adapter,
            image: #image,
            constants: Cow::Borrowed(&#constants),
            places: Cow::Borrowed(&#places),
            kept: Cow::Borrowed(&#kept),
            weight_bytes: #weight_bytes,
            table_bytes: #table_bytes,
            arena_bytes: #arena_bytes,
            lower_bound_bytes: #lower_bound_bytes,
        }
    }
}

fn option(value: Option<impl ToTokens>) -> TokenStream {
    value.map_or(quote!(None), |value| quote!(Some(#value)))
}

fn schedule(schedule: &Schedule) -> TokenStream {
    let solver = match schedule.solver {
        Solver::Euler => quote!(Solver::Euler),
        Solver::Ancestral { eta, s_noise } => quote!(Solver::Ancestral { eta: #eta, s_noise: #s_noise }),
        Solver::GradientEstimation { gamma } => quote!(Solver::GradientEstimation { gamma: #gamma }),
        Solver::Res2s { eta } => quote!(Solver::Res2s { eta: #eta }),
        Solver::Injection { eta } => quote!(Solver::Injection { eta: #eta }),
    };
    let levels = match &schedule.levels {
        Levels::List(sigmas) => {
            let sigmas = sigmas.iter();
            quote!(Levels::List(Cow::Borrowed(const { &[#(#sigmas),*] })))
        }
        Levels::Shifted { steps, tokens } => quote!(Levels::Shifted { steps: #steps, tokens: #tokens }),
    };
    quote!(Schedule { solver: #solver, levels: #levels })
}

fn role(role: &Role) -> TokenStream {
    match role {
        Role::Tensor { default } => {
            let default = option(*default);
            quote!(Role::Tensor { default: #default })
        }
        Role::Tokens { prompt } => quote!(Role::Tokens { prompt: #prompt }),
        Role::TokenMask { prompt } => quote!(Role::TokenMask { prompt: #prompt }),
        Role::Image { number } => quote!(Role::Image { number: #number }),
        Role::ImageLatent { number } => quote!(Role::ImageLatent { number: #number }),
        Role::Frame { number } => quote!(Role::Frame { number: #number }),
        Role::Visible { number } => quote!(Role::Visible { number: #number }),
        Role::Strength { number } => quote!(Role::Strength { number: #number }),
        Role::Reference { number, downscale, temporal_scale, every } => quote!(Role::Reference {
            number: #number,
            downscale: #downscale,
            temporal_scale: #temporal_scale,
            every: #every
        }),
        Role::ReferenceStrength { number } => quote!(Role::ReferenceStrength { number: #number }),
        Role::ReferenceAttention { number } => quote!(Role::ReferenceAttention { number: #number }),
        Role::RegionStart { stream } => quote!(Role::RegionStart { stream: Cow::Borrowed(#stream) }),
        Role::RegionEnd { stream } => quote!(Role::RegionEnd { stream: Cow::Borrowed(#stream) }),
        Role::Distinct { of } => quote!(Role::Distinct { of: Cow::Borrowed(#of) }),
        Role::ClassOf { of } => quote!(Role::ClassOf { of: Cow::Borrowed(#of) }),
        plain => {
            let name = format_ident!("{}", format!("{plain:?}"));
            quote!(Role::#name)
        }
    }
}

fn ports(ports: &[Port]) -> Vec<TokenStream> {
    ports
        .iter()
        .map(|p| {
            let (name, offset, role) = (&*p.name, p.offset, role(&p.role));
            let (dtype, shape) = (format_ident!("{}", dtype(p.dtype)), p.shape.iter());
            let slot = p.slot.as_deref().map_or(quote!(None), |s| quote!(Some(#s)));
            quote! { port(#name, #offset, #dtype, &[#(#shape),*], #role, #slot) }
        })
        .collect()
}

/// Runs of launches and loops, each run a table of its own.
fn segment(rows: &mut String, prefix: &str, segment: &Segment) -> TokenStream {
    let mut lines = Vec::new();
    for (i, item) in segment.items.iter().enumerate() {
        lines.push(match item {
            Item::Launch(l) => format!("Item::Launch({}),", launch(l)),
            Item::Loop(l) => {
                let name = format!("{prefix}_L{i}");
                inner_loop(rows, &name, l);
                let (text, count, columns) = (&l.name, l.count, l.columns);
                format!(
                    "Item::Loop(Loop {{ name: Cow::Borrowed({text:?}), count: {count}, columns: {columns}, \
                     rows: Cow::Borrowed(&{name}_ROWS), body: Cow::Borrowed(&{name}), \
                     fetches: Cow::Borrowed(&{name}_FETCHES) }}),"
                )
            }
        });
    }
    let count = lines.len();
    table(rows, prefix, "Item", lines, count);
    let (name, items) = (&*segment.name, format_ident!("{}", prefix));
    let repeat = format_ident!("{}", format!("{:?}", segment.repeat));
    quote! { Segment { name: Cow::Borrowed(#name), repeat: Repeat::#repeat, items: Cow::Borrowed(&#items) } }
}

fn inner_loop(rows: &mut String, name: &str, l: &Loop) {
    table(rows, name, "Launch", l.body.iter().map(|b| launch(b) + ","), l.body.len());
    let per_iteration = l.rows.chunks(l.columns.max(1) as usize);
    let lines = per_iteration
        .map(|row| row.iter().map(|c| format!("{c}, ")).collect::<String>().trim_end().to_string());
    table(rows, &format!("{name}_ROWS"), "u32", lines, l.rows.len());
    let fetches = l.fetches.iter().map(|f| {
        let (after, iteration, bytes, constants) = (f.after, f.iteration, f.bytes, dims(&f.constants));
        format!("fetch({after}, {iteration}, {bytes}, {constants}),")
    });
    table(rows, &format!("{name}_FETCHES"), "Fetch", fetches, l.fetches.len());
}

fn launch(l: &Launch) -> String {
    let parts: Vec<_> = l.parts.iter().map(part).collect();
    let (kernel, queue, waits) = (l.kernel, l.queue, dims(&l.waits));
    format!("launch({kernel:>3}, {queue}, {waits}, const {{ &[{}] }})", parts.join(", "))
}

fn part(p: &Part) -> String {
    let reads: Vec<_> = p.reads.iter().map(operand).collect();
    let (write, flops, bytes, path) = (operand(&p.write), p.flops, p.bytes, &p.path);
    let over = p.in_place.map_or("None".to_string(), |i| format!("Some({i})"));
    format!("part(const {{ &[{}] }}, {write}, {over}, {flops}, {bytes}, {path:?})", reads.join(", "))
}

fn dims(shape: &[u32]) -> String {
    let dims: Vec<_> = shape.iter().map(u32::to_string).collect();
    format!("&[{}]", dims.join(", "))
}

fn dtype(d: Dtype) -> &'static str {
    match d {
        Dtype::F32 => "F32",
        Dtype::Bf16 => "BF16",
        Dtype::I32 => "I32",
        Dtype::U8 => "U8",
    }
}

fn operand(o: &Operand) -> String {
    let rest = format!("{}, {}, {}", dtype(o.dtype), dims(&o.shape), o.row_stride);
    match o.base {
        Base::Arena => format!("arena({:#x}, {}, {rest})", o.offset, o.step),
        Base::Constant(c) => format!("constant({c}, {}, {rest})", o.offset),
        Base::Column(c) => format!("column({c}, {}, {rest})", o.offset),
    }
}

fn constant_tables(rows: &mut String, plan: &Plan) {
    let constants = plan.constants.iter().map(|c| {
        let rest = format!("{}, {}, {:?}", dtype(c.dtype), dims(&c.shape), c.name);
        match &c.origin {
            Origin::Weight { source, tensors, layout } => {
                let named: Vec<_> =
                    tensors.iter().map(|(name, rows)| format!("tensor({name:?}, {rows})")).collect();
                let (row, layout) = match layout {
                    Layout::Plain => ("weight", String::new()),
                    Layout::ChannelsLast => ("filters", String::new()),
                    Layout::Encoded { kept, columns } => {
                        ("encoded", format!("({}, {columns}), ", kept.name().to_uppercase()))
                    }
                };
                format!("{row}(Source::{source:?}, const {{ &[{}] }}, {layout}{rest}),", named.join(", "))
            }
            Origin::Table { offset } => format!("table({offset}, {rest}),"),
        }
    });
    table(rows, "CONSTANTS", "Constant", constants, plan.constants.len());
    let kernels = plan.kernels.iter().map(|k| {
        let attrs = k.attrs.iter().map(|a| match a {
            Number::Int(i) => format!("Number::Int({i})"),
            Number::Real(x) => format!("Number::Real(f32::from_bits({:#x}))", x.to_bits()),
        });
        format!("kernel({:?}, {:?}, &[{}]),", k.name, k.attrs_text, attrs.collect::<Vec<_>>().join(", "))
    });
    table(rows, "KERNELS", "Kernel", kernels, plan.kernels.len());
    let buffers = plan.buffers.iter().map(|b| {
        let (offset, bytes, first, last, name) = (b.offset, b.bytes, b.first, b.last, &b.name);
        format!("buffer({offset:#x}, {bytes}, {first}, {last}, Lifetime::{:?}, {name:?}),", b.lifetime)
    });
    table(rows, "BUFFERS", "Buffer", buffers, plan.buffers.len());
}

/// A static array, a line of text a row.
fn table(out: &mut String, name: &str, of: &str, lines: impl IntoIterator<Item = String>, count: usize) {
    writeln!(out, "#[rustfmt::skip]\nstatic {name}: [{of}; {count}] = [").expect("a string takes it");
    lines.into_iter().for_each(|line| writeln!(out, "    {line}").expect("a string takes it"));
    out.push_str("];\n");
}
