//! From a target to its plan: where the dimensions come from, and which phases are wanted.

use std::borrow::Cow;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use thiserror::Error as ThisError;
use zoetrope_kernels::catalog;
use zoetrope_model_spec::lang::{Dtype, Kept, ShapeError};
use zoetrope_model_spec::ltx::builtin::{self, ltx_2_3_22b};
use zoetrope_model_spec::ltx::config::{Enlarges, ModelConfig};
use zoetrope_model_spec::ltx::decode::Pixels;
use zoetrope_model_spec::ltx::demo::demo_with;
use zoetrope_model_spec::ltx::pipeline::PHASES;
use zoetrope_model_spec::ltx::read_config::ConfigError;
use zoetrope_model_spec::ltx::recorder::Recorder;
use zoetrope_model_spec::program::Program;
use zoetrope_model_spec::target::{Model, Target, TargetError};
use zoetrope_runtime::files::{FileError, TensorSet, given_text, read_text};
use zoetrope_runtime::plan::{self, ALIGN, Facts, Footprint, Plan};

use crate::file_config::{MAX_CONFIG_BYTES, config_of};
use crate::{Error, FusedPhase, Levels, Options, fuse_phase, levels, plan_phases};

/// Memory of a card, as it is sold, that no plan takes: 1.75 GiB. Drivers show up to 0.7 GiB less than the box says
/// (31.3 of 32), and 1 GiB of that is for the driver's context, the code of the kernels and a desktop. An assumption
/// from what others report, not measured here.
pub const RESERVE_BYTES: u64 = 1792 << 20;

const GIB: u64 = 1 << 30;

/// A target file has a dozen lines.
const MAX_TARGET_BYTES: u64 = 1_000_000;

/// Why a target has no plan. The variants say whose mistake it is.
#[derive(Debug, ThisError)]
pub enum CompileError {
    #[error("cannot read {path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the model files do not describe a model that can be compiled\n  {}", .0.problems.join("\n  "))]
    Config(#[from] ConfigError),
    #[error("the model's dimensions do not fit together\n  at {}", .0.0)]
    Shape(ShapeError),
    #[error("there is no phase {name}; the phases are {known}, run")]
    NoPhase { name: String, known: String },
    #[error("{phase} has no inner value {tap}; it offers {known}")]
    NoTap { phase: String, tap: String, known: String },
    #[error(transparent)]
    Compiler(#[from] crate::Error),
}

impl CompileError {
    /// True when the model files are at fault, false when the request is.
    pub fn is_about_files(&self) -> bool {
        matches!(self, CompileError::File(_) | CompileError::Config(_) | CompileError::Shape(_))
    }
}

/// How much of a target is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Prompt to frames and audio.
    Run(Pixels),
    /// One phase, with its ports in the shapes of docs/phases.md.
    Phase(&'a str),
}

/// Reads a target file; its name without ending is the target's.
///
/// # Errors
/// The file cannot be read, or says something that cannot be compiled.
pub fn load_target(path: &Path) -> Result<Target, CompileError> {
    let text = given_text(path, MAX_TARGET_BYTES)
        .map_err(|error| CompileError::Read { path: path.to_path_buf(), error })?;
    let name = path.file_stem().map_or("custom".to_string(), |s| s.to_string_lossy().into_owned());
    Ok(Target::parse(&name, &text)?)
}

/// A path in a target file: it counts from the file's folder, and if nothing is there, from the working directory.
pub fn beside(folder: &Path, path: &Path) -> PathBuf {
    let near = folder.join(path);
    if !near.exists() && path.exists() { path.to_path_buf() } else { near }
}

/// The dimensions that a target is compiled for. `folder` is what relative paths in it count from.
///
/// # Errors
/// Files that cannot be read, or describe another model.
pub fn dimensions(target: &Target, folder: &Path) -> Result<ModelConfig, CompileError> {
    let by = target.recipe.upscaler().unwrap_or(Enlarges::SpaceX2);
    match &target.model {
        Model::Ltx23 => Ok(ModelConfig { upscaler: builtin::upscaler(by), ..ltx_2_3_22b() }),
        Model::Demo => Ok(demo_with(by)),
        Model::Files { checkpoint, text_encoder, spatial_upscaler } => {
            let name = checkpoint.first().and_then(|path| path.file_stem());
            let name = name.map_or(String::new(), |name| name.to_string_lossy().into_owned());
            let checkpoint: Vec<PathBuf> = checkpoint.iter().map(|path| beside(folder, path)).collect();
            let checkpoint = TensorSet::open(&checkpoint, &[])?;
            let upscaler = TensorSet::open(&[beside(folder, spatial_upscaler)], &[])?;
            let gemma = read_text(&beside(folder, text_encoder).join("config.json"), MAX_CONFIG_BYTES)?;
            Ok(config_of(&name, &checkpoint, Some(&gemma), &upscaler, &ltx_2_3_22b())?)
        }
    }
}

/// The plan of a whole run.
///
/// # Errors
/// See [`compile_levels`].
pub fn compile_target(target: &Target, folder: &Path) -> Result<Plan, CompileError> {
    Ok(compile_run(target, &dimensions(target, folder)?)?.plan)
}

/// A whole run with as many latent frames in the video decoder as [`decode_chunk`] says, keeping every level.
///
/// # Errors
/// See [`compile_levels`].
pub fn compile_run(target: &Target, model: &ModelConfig) -> Result<Levels, CompileError> {
    let run = whole(target, model)?;
    let chunked = chunked(&run.plan, target, model)?;
    if chunked.is_empty() && target.vram.is_none() {
        return Ok(run);
    }
    replaced(run.phases, chunked, target, model)
}

/// The plans of a target with any budget. What does not depend on it is compiled once.
pub struct Budgets {
    free: Target,
    model: ModelConfig,
    whole: Levels,
}

impl Budgets {
    /// # Errors
    /// See [`compile_levels`].
    pub fn of(target: &Target, folder: &Path) -> Result<Budgets, CompileError> {
        let model = dimensions(target, folder)?;
        let free = Target { vram: None, ..target.clone() };
        Ok(Budgets { whole: whole(&free, &model)?, free, model })
    }

    /// The plan that [`compile_target`] makes of the target with this budget.
    ///
    /// # Errors
    /// The budget is too small; see [`compile_levels`].
    pub fn plan(&self, vram: Option<u64>) -> Result<Plan, CompileError> {
        let target = Target { vram, ..self.free.clone() };
        let chunked = chunked(&self.whole.plan, &target, &self.model)?;
        if chunked.is_empty() && vram.is_none() {
            return Ok(self.whole.plan.clone());
        }
        Ok(replaced(self.whole.phases.clone(), chunked, &target, &self.model)?.plan)
    }
}

/// A run without a budget whose video decoder and encoders take all frames at once.
fn whole(target: &Target, model: &ModelConfig) -> Result<Levels, CompileError> {
    let free = Target { vram: None, ..target.clone() };
    compile_levels(&free, model, Scope::Run(Pixels::Yuv420), &[], Options::default())
}

/// The plan of phases of which some make way for others.
fn replaced(
    mut phases: Vec<FusedPhase>,
    chunked: Vec<Chunked>,
    target: &Target,
    model: &ModelConfig,
) -> Result<Levels, CompileError> {
    let options = Options { decode_chunk: decoded_together(&chunked), ..Options::default() };
    for Chunked { at, phase, .. } in chunked {
        phases[at] = phase;
    }
    Ok(plan_phases(phases, &catalog(), &target.name, facts(target, model, options), options)?)
}

/// What the plans of a target take, without a budget and at least, with its weights in everything that they can stay in.
///
/// # Errors
/// See [`compile_levels`].
pub fn footprints(target: &Target, folder: &Path) -> Result<Vec<Footprint>, CompileError> {
    let stored = [None].into_iter().chain(Kept::ALL.map(Some));
    // None waits for another.
    thread::scope(|scope| {
        let made: Vec<_> =
            stored.map(|weights| scope.spawn(move || footprint(target, folder, weights))).collect();
        let made = made.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic)));
        made.collect()
    })
}

fn footprint(target: &Target, folder: &Path, weights: Option<Kept>) -> Result<Footprint, CompileError> {
    let budgets = Budgets::of(&Target { weights, ..target.clone() }, folder)?;
    let least_vram = match budgets.plan(Some(GIB)) {
        Ok(_) => GIB,
        Err(CompileError::Compiler(Error::Budget { smallest_gib, .. })) => smallest_gib.saturating_mul(GIB),
        Err(other) => return Err(other),
    };
    Ok(Footprint { weights, peak_bytes: budgets.plan(None)?.peak_bytes, least_vram })
}

/// How many latent frames of a run go through the video decoder together, and those of a given video through its
/// encoder: the more, the fewer launches. As many as fit into the target's budget; without one, as many as leave the
/// peak to other phases. Where that is no number, the one that takes the least memory. `None` for all of them.
///
/// # Errors
/// See [`compile_levels`].
pub fn decode_chunk(target: &Target, model: &ModelConfig) -> Result<Option<usize>, CompileError> {
    Ok(decoded_together(&chunked(&whole(target, model)?.plan, target, model)?))
}

/// A video decoder or encoder that takes a few latent frames at a time.
struct Chunked {
    frames: usize,
    /// Its place among the phases.
    at: usize,
    phase: FusedPhase,
    decodes: bool,
}

fn decoded_together(chunked: &[Chunked]) -> Option<usize> {
    chunked.iter().find(|one| one.decodes).map(|one| one.frames)
}

/// The video decoder and the encoders that a run should have in place of those that take all frames at once.
fn chunked(run: &Plan, target: &Target, model: &ModelConfig) -> Result<Vec<Chunked>, CompileError> {
    let free = Target { vram: None, ..target.clone() };
    let decodes = |p: &plan::Phase| p.outputs.iter().any(|o| o.role == plan::Role::Video);
    let encodes = |p: &plan::Phase| {
        p.inputs.iter().any(|i| matches!(i.role, plan::Role::Footage | plan::Role::Reference { .. }))
    };
    let (parts, others): (Vec<_>, Vec<_>) =
        run.phases.iter().enumerate().partition(|(_, p)| decodes(p) || encodes(p));
    let others = others.into_iter().map(|(_, p)| p.peak_bytes()).max().unwrap_or(0);
    let limit = target.vram.map_or(others, |vram| vram.saturating_sub(RESERVE_BYTES));
    let mut chunked = Vec::new();
    for (at, whole) in parts {
        // It is compiled alone; what only passes it by is added.
        let end = run.phases.get(at + 1).map_or(u32::MAX, |p| p.first);
        let passing = run.buffers.iter().filter(|b| b.first < whole.first && b.last >= end);
        let beside: u64 = passing.map(|b| b.bytes.next_multiple_of(ALIGN)).sum();
        let (mut least, mut best) = (whole.peak_bytes(), None);
        for frames in [16, 8, 4, 2, 1].into_iter().filter(|frames| *frames < target.size.latent()[0]) {
            if least <= limit {
                break;
            }
            let (phase, bytes) = part(&free, model, at, frames)?;
            if bytes + beside < least {
                let decodes = decodes(whole);
                (least, best) = (bytes + beside, Some(Chunked { frames, at, phase, decodes }));
            }
        }
        chunked.extend(best);
    }
    Ok(chunked)
}

/// Phase `at` of a run, so many latent frames at a time, and the memory that it takes alone, in bytes.
fn part(
    target: &Target,
    model: &ModelConfig,
    at: usize,
    frames: usize,
) -> Result<(FusedPhase, u64), CompileError> {
    let recorder = Recorder { target, model, taps: &[], chunk: Some(frames) };
    let mut phases = recorder.run(Pixels::Yuv420).map_err(CompileError::Shape)?.phases;
    let recorded = phases.swap_remove(at);
    let options = Options { decode_chunk: Some(frames), ..Options::default() };
    let (catalog, facts) = (catalog(), facts(target, model, options));
    let mut phase = fuse_phase(recorded, &catalog)?;
    let wiring = std::mem::take(&mut phase.wiring);
    let mut alone = plan_phases(vec![phase], &catalog, &target.name, facts, options)?;
    let phase = alone.phases.remove(0);
    Ok((FusedPhase { wiring, ..phase }, alone.plan.peak_bytes))
}

/// Compiles a target, or a phase of it, keeping every level. `taps` are inner values that become outputs.
///
/// # Errors
/// Unknown phases and taps, a run whose clip cannot be written, dimensions that do not fit together, or a compiler's
/// verifier.
pub fn compile_levels(
    target: &Target,
    model: &ModelConfig,
    scope: Scope<'_>,
    taps: &[String],
    options: Options,
) -> Result<Levels, CompileError> {
    target.check_blocks(&model.transformer)?;
    let recorder = Recorder { target, model, taps, chunk: options.decode_chunk };
    let program = match scope {
        Scope::Run(picture) => {
            target.check_writable()?;
            recorder.run(picture).map_err(CompileError::Shape)?
        }
        Scope::Phase(name) => {
            let recorded = recorder
                .phase(name)
                .ok_or_else(|| CompileError::NoPhase { name: name.to_string(), known: PHASES.join(", ") })?;
            Program { phases: vec![recorded.map_err(CompileError::Shape)?] }
        }
    };
    let known: Vec<_> = program.phases.iter().flat_map(|p| p.graph.tap_names.iter().cloned()).collect();
    if let Some(tap) = taps.iter().find(|t| !known.contains(t)) {
        let phase = match scope {
            Scope::Run(_) => "run",
            Scope::Phase(name) => name,
        };
        let known = if known.is_empty() { "none".to_string() } else { known.join(", ") };
        return Err(CompileError::NoTap { phase: phase.to_string(), tap: tap.clone(), known });
    }
    Ok(levels(program, &target.name, facts(target, model, options), options)?)
}

fn facts(target: &Target, model: &ModelConfig, options: Options) -> Facts {
    let size = &target.size;
    let video = target.recipe.streams().video;
    let [width, height] = if video { [size.width, size.height] } else { [0, 0] };
    Facts {
        width: width as u32,
        height: height as u32,
        frames: size.frames as u32,
        fps: size.fps,
        carried: target.recipe.carried() as u32,
        dtype: if target.dtype == Dtype::F32 { plan::Dtype::F32 } else { plan::Dtype::Bf16 },
        pipeline: target.recipe.name.clone().into(),
        model: model.name.clone().into(),
        model_version: "2.3 up to but not including 2.4".into(),
        notes: target.warnings(&model.transformer).into_iter().map(Cow::Owned).collect(),
        decoder: video.then(|| target.decoder.name().into()),
        decode_chunk: options.decode_chunk.map(|frames| frames as u32),
        vram: target.vram,
        reserve_bytes: RESERVE_BYTES,
        footprints: plan::List::default(),
    }
}
