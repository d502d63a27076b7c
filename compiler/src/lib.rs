//! The compiler: a recorded program goes in, a plan comes out.
//!
//! [`compile`] reads top to bottom. A level is a noun with a text form; a pass is a verb in a file of its own; behind
//! every level stands a gate ([`verify`]) that shares no code with the pass before it.

pub mod emit;
pub mod error;
pub mod file_config;
pub mod fused;
mod hash;
pub mod passes;
pub mod schedule;
pub mod targets;
pub mod verify;
mod view;

pub use error::{Error, Result};

pub use zoetrope_kernels::cuda::Class;
use zoetrope_kernels::{Kernel, catalog};
use zoetrope_model_spec::lang::Graph;
use zoetrope_model_spec::program::Program;
use zoetrope_runtime::plan::{Detail, Facts, Plan};

use crate::fused::Fused;
pub use crate::passes::Selected;
use crate::passes::Wired;
use crate::schedule::Schedule;

/// What may be asked of a compilation beside the program itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Let values share memory. Off, every value has a buffer of its own: slower, larger, and the yardstick of tests.
    pub share: bool,
    /// Latent frames that go through the video decoder together, where a target is compiled; `None` for all of them.
    pub decode_chunk: Option<usize>,
}

impl Default for Options {
    fn default() -> Options {
        Options { share: true, decode_chunk: None }
    }
}

/// Every level of one compilation, for those who want to look.
pub struct Levels {
    pub graphs: Vec<Graph>,
    pub fused: Vec<Fused>,
    pub schedule: Schedule,
    pub plan: Plan,
}

/// Lowers a program to a plan.
///
/// # Errors
/// An op without a kernel, a slot that nobody fills, or a gate that found a broken rule.
pub fn compile(program: Program, name: &str, facts: Facts, options: Options) -> Result<Plan> {
    levels(program, name, facts, options).map(|levels| levels.plan)
}

/// As [`compile`], keeping every level.
///
/// # Errors
/// As [`compile`].
pub fn levels(program: Program, name: &str, facts: Facts, options: Options) -> Result<Levels> {
    let catalog = catalog();
    let mut made_of = String::new();
    let (mut graphs, mut fused, mut wired) = (Vec::new(), Vec::new(), Vec::new());
    for phase in program.phases {
        made_of += &phase.graph.to_string();
        let mut graph = passes::simplify(passes::fold(passes::simplify(phase.graph))?);
        if let Some(frames) = phase.chunk {
            graph = passes::chunk(passes::fuse(passes::unroll(graph), &catalog)?, frames)?;
        }
        let graph = passes::widen(graph, &catalog);
        verify::graph(&graph)?;
        let covered = passes::group(passes::own(passes::fuse(graph.clone(), &catalog)?, &catalog));
        verify::fused(&covered)?;
        graphs.push(graph);
        fused.push(covered.clone());
        wired.push(Wired { fused: covered, takes: phase.takes, leaves: phase.leaves });
    }
    let schedule = passes::lanes(passes::order(wired, options.share)?);
    verify::schedule(&schedule)?;
    let plan = passes::lower(&schedule, name, made_by(&made_of, &catalog), facts, options.share)?;
    verify::plan(&plan)?;
    verify::memory(&plan)?;
    Ok(Levels { graphs, fused, schedule, plan })
}

/// The code of a plan for CUDA devices of a class.
///
/// # Errors
/// A launch that no CUDA kernel can do, or a gate that found a broken rule.
pub fn select(plan: &Plan, class: Class) -> Result<Selected> {
    let selected = passes::select(plan, class)?;
    verify::code(plan, &selected.code)?;
    Ok(selected)
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
