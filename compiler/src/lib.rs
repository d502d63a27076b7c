//! The compiler: a recorded program goes in, a plan comes out.
//!
//! [`compile`] reads top to bottom. A level is a noun with a text form; a pass is a verb in a file of its own; behind
//! every level stands a verifier ([`verify`]) that shares no code with the pass before it.

pub mod emit;
pub mod error;
pub mod file_config;
pub mod frontend;
pub mod fused;
mod hash;
pub mod passes;
pub mod schedule;
pub mod verify;
mod view;

pub use error::{Error, Result};

use std::collections::BTreeSet;
pub use zoetrope_kernels::cuda::Class;

use zoetrope_kernels::{Kernel, catalog};
use zoetrope_model_spec::lang::Graph;
use zoetrope_model_spec::program::{Phase, Program, Wiring};
use zoetrope_runtime::plan::{Detail, Facts, Plan, Suite};

use crate::fused::Fused;
pub use crate::passes::Selected;
use crate::schedule::Schedule;

/// What may be asked of a compilation beside the program itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Let values share memory. Off, every value has a buffer of its own: slower, larger, and the yardstick of tests.
    pub share: bool,
    /// Latent frames that go through the video decoder or encoder together, where a target is compiled; `None` for all.
    pub decode_chunk: Option<usize>,
}

impl Default for Options {
    fn default() -> Options {
        Options { share: true, decode_chunk: None }
    }
}

/// Every level of one compilation, for those who want to look.
pub struct Levels {
    pub phases: Vec<FusedPhase>,
    pub schedule: Schedule,
    pub plan: Plan,
}

/// The levels of a phase that do not depend on other phases: its graph, and that as kernel calls.
#[derive(Clone)]
pub struct FusedPhase {
    pub graph: Graph,
    pub fused: Fused,
    pub wiring: Wiring,
    /// The graph's text as it was recorded, of which a plan keeps a hash.
    recorded: String,
}

/// Lowers a program to a plan.
///
/// # Errors
/// An op without a kernel, a slot that nobody fills, or a verifier that found a broken rule.
pub fn compile(program: Program, name: &str, facts: Facts, options: Options) -> Result<Plan> {
    levels(program, name, facts, options).map(|levels| levels.plan)
}

/// As [`compile`], keeping every level.
///
/// # Errors
/// As [`compile`].
pub fn levels(program: Program, name: &str, facts: Facts, options: Options) -> Result<Levels> {
    let catalog = catalog();
    let phases = program.phases.into_iter().map(|phase| fuse_phase(phase, &catalog));
    plan_phases(phases.collect::<Result<_>>()?, &catalog, name, facts, options)
}

/// Lowers one phase as far as that goes without the others.
fn fuse_phase(phase: Phase, catalog: &[Kernel]) -> Result<FusedPhase> {
    let recorded = phase.graph.to_string();
    let mut graph = passes::simplify(passes::fold(passes::simplify(phase.graph))?);
    if let Some(frames) = phase.chunk {
        graph = passes::chunk(passes::fuse(passes::unroll(graph), catalog)?, frames)?;
    }
    let graph = passes::keep_encoded(passes::merge_linears(graph, catalog), catalog);
    verify::graph(&graph)?;
    let fused = passes::group(passes::insert_copies(passes::fuse(graph.clone(), catalog)?, catalog));
    let fused = passes::alias_in_place(passes::hoist(fused));
    verify::fused(&fused)?;
    Ok(FusedPhase { graph, fused, wiring: phase.wiring, recorded })
}

/// Puts phases on one time line, and into memory.
fn plan_phases(
    phases: Vec<FusedPhase>,
    catalog: &[Kernel],
    name: &str,
    facts: Facts,
    options: Options,
) -> Result<Levels> {
    let recorded: String = phases.iter().map(|phase| phase.recorded.as_str()).collect();
    let schedule = passes::queues(passes::order(&phases, options.share)?);
    verify::schedule(&schedule)?;
    let plan = passes::lower(&schedule, name, made_by(&recorded, catalog), facts, options.share)?;
    verify::plan(&plan)?;
    verify::memory(&plan)?;
    Ok(Levels { phases, schedule, plan })
}

/// The code of a plan for cards of a class.
///
/// # Errors
/// A launch that no CUDA kernel can do, or a verifier that found a broken rule.
pub fn select(plan: &Plan, class: Class) -> Result<Selected> {
    let selected = passes::select(plan, class)?;
    verify::code(plan, &selected.code)?;
    Ok(selected)
}

/// The suites of plans: those of one model run in one memory, that of a card of `vram` bytes if that is said. Where nothing
/// is said, a plan that is alone with its model is in none.
///
/// # Errors
/// A verifier that found a broken rule.
pub fn suites(plans: &[&Plan], vram: Option<u64>) -> Result<Vec<Suite>> {
    let models: BTreeSet<&str> = plans.iter().map(|plan| &*plan.facts.model).collect();
    let of = |model: &str| plans.iter().copied().filter(|plan| plan.facts.model == model).collect::<Vec<_>>();
    let shares = |plans: &Vec<&Plan>| plans.len() > 1 || vram.is_some();
    models.into_iter().map(of).filter(shares).map(|plans| suite(&plans, vram)).collect()
}

/// The suite of plans of one model.
///
/// # Errors
/// A verifier that found a broken rule.
pub fn suite(plans: &[&Plan], vram: Option<u64>) -> Result<Suite> {
    let suite = passes::place_suite(plans, vram);
    verify::suite(&suite, plans)?;
    Ok(suite)
}

/// The compiler's version and hashes of what went in: the spec as recorded, the kernels as declared.
fn made_by(spec: &str, catalog: &[Kernel]) -> String {
    let kernels: String = catalog.iter().map(|k| format!("{k:?}")).collect();
    let version = env!("CARGO_PKG_VERSION");
    format!("zoetrope-compiler {version}   spec {}   kernels {}", hash::short(spec), hash::short(&kernels))
}

/// The hash of everything in a plan, addresses and table bytes included.
pub fn plan_hash(plan: &Plan) -> String {
    let tables = hash::hex(&sha2::Digest::finalize(sha2::Digest::chain_update(
        <sha2::Sha256 as sha2::Digest>::new(),
        &plan.tables,
    )));
    let places: Vec<_> = plan.phases.iter().map(|p| (&p.places, &p.kept)).collect();
    hash::short(&format!("{}{tables}{places:?}", plan.text(Detail::Addresses)))
}
