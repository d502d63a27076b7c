//! One phase on given inputs: how the program is held against any other implementation (docs/phases.md).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use thiserror::Error as ThisError;
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{CompileError, Scope, compile_levels};
use zoetrope_model_spec::ltx::config::ModelConfig;
use zoetrope_model_spec::ltx::schedule::Levels;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::{self, Plan, Port, Role};
use zoetrope_runtime::{Error as RuntimeError, Executor, Weights};

use crate::device::Device;
#[cfg(feature = "cuda")]
use crate::device::compiled::{first_card, on_card};
use crate::finite;
use crate::run::{filled, noise_scale};
use crate::session::{Session, Unwatched};
use crate::tensors::{Named, Tensor};

/// Why a phase was not evaluated.
#[derive(Debug, ThisError)]
pub enum EvalError {
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("phase {phase} wants more inputs\n  missing  {}\n  help     docs/phases.md lists what every phase takes", .missing.join("\n           "))]
    Missing { phase: String, missing: Vec<String> },
    #[error("input {name} has shape {have:?}, wanted {want:?}")]
    Shape { name: String, have: Vec<usize>, want: Vec<usize> },
    #[error(
        "{name} has {have} distinct timesteps, the target allows {want}\n  help  set timestep_classes in the target file"
    )]
    Classes { name: String, have: usize, want: usize },
    #[error("{0}")]
    Input(String),
}

/// The noise levels of all stages of a target, `stage1.sigmas` and so on: n + 1 for n steps. Where a stage leaves its
/// number of steps open, it is `steps`, if that is said.
///
/// # Errors
/// A number of steps for stages that all have a list of levels.
pub fn sigmas(target: &Target, steps: Option<usize>) -> Result<Named, EvalError> {
    let sized = (1..).zip(&target.recipe.stages).filter_map(|(number, stage)| {
        Some(stage.schedule(target.recipe.stage_size(number, target.size)?).levels)
    });
    let levels: Vec<Levels> = sized.collect();
    if steps.is_some() && !levels.iter().any(|levels| matches!(levels, Levels::Shifted { .. })) {
        return Err(EvalError::Input(format!(
            "every stage of {} has a list of noise levels, which says the steps\n  help  leave out --steps",
            target.recipe.name
        )));
    }
    let named = |(number, levels): (usize, &Levels)| {
        let sigmas = levels.sigmas(steps);
        (format!("stage{number}.sigmas"), Tensor::real(&[sigmas.len()], sigmas))
    };
    Ok((1..).zip(&levels).map(named).collect())
}

/// What came out of a phase.
pub struct Evaluated {
    pub outputs: Named,
    /// What is not finite among its outputs, in words. No error: it may be what is looked for.
    pub notes: Vec<String>,
    /// Seconds of every replay, loading excluded.
    pub seconds: Vec<f64>,
}

/// A phase compiled for evaluation.
pub struct Phase {
    pub plan: Plan,
    /// The inner values that were asked for, and the output that holds each.
    taps: Vec<Tap>,
}

struct Tap {
    asked: String,
    output: String,
    /// The iteration of the loop, when the output stacks all of them.
    iteration: Option<usize>,
}

impl Phase {
    /// Compiles one phase of a target in memory. `taps` may name one iteration of a loop (`block3.v`) or all (`block*.v`).
    ///
    /// # Errors
    /// Unknown phases and taps, or whatever stops the compiler.
    pub fn compile(
        target: &Target,
        model: &ModelConfig,
        name: &str,
        taps: &[String],
        options: Options,
    ) -> Result<Phase, EvalError> {
        let taps: Vec<Tap> = taps.iter().map(|t| Tap::parse(t)).collect();
        let wanted: BTreeSet<String> = taps.iter().map(|t| t.output.clone()).collect();
        let wanted: Vec<String> = wanted.into_iter().collect();
        let levels = compile_levels(target, model, Scope::Phase(name), &wanted, options)?;
        Ok(Phase { plan: levels.plan, taps })
    }

    /// The plan's one phase.
    fn only(&self) -> Result<&plan::Phase, EvalError> {
        self.plan.phases.first().ok_or_else(|| EvalError::Input("the plan has no phase".to_string()))
    }

    /// Checks inputs without running anything.
    ///
    /// # Errors
    /// Inputs that are missing or do not fit.
    pub fn check(&self, inputs: &Named) -> Result<(), EvalError> {
        Request::new(self.only()?, inputs).map(|_| ())
    }

    /// Replays the phase `repeat` times on `inputs`.
    ///
    /// # Errors
    /// Inputs that are missing or do not fit, weights that are missing, no card where one is wanted, a failed replay.
    pub fn run(
        &self,
        device: Device,
        weights: &dyn Weights,
        inputs: &Named,
        repeat: usize,
    ) -> Result<Evaluated, EvalError> {
        if device != Device::Cuda {
            return self.run_on(Session::new(&self.plan, weights)?, inputs, repeat);
        }
        #[cfg(not(feature = "cuda"))]
        return Err(RuntimeError::WithoutCuda.into());
        #[cfg(feature = "cuda")]
        {
            let (card, class) = first_card()?;
            let selected = zoetrope_compiler::select(&self.plan, class).map_err(CompileError::Compiler)?;
            let cuda = on_card(card, &self.plan, &selected, weights)?;
            self.run_on(Session::on(cuda), inputs, repeat)
        }
    }

    fn run_on<'a, E: Executor<'a>>(
        &self,
        mut session: Session<E>,
        inputs: &Named,
        repeat: usize,
    ) -> Result<Evaluated, EvalError> {
        let phase = self.only()?;
        let request = Request::new(phase, inputs)?;
        session.load(&phase.name)?;
        let mut seconds = Vec::with_capacity(repeat);
        for _ in 0..repeat.max(1) {
            let start = Instant::now();
            session.run(&phase.name, &request.ports, &request.sigmas, &mut Unwatched)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        let mut notes = Vec::new();
        for port in phase.outputs.iter() {
            let bytes = session.executor().read(port)?;
            let (count, elements) = (finite::count(port, &bytes), finite::elements(port, &bytes));
            if count > 0 {
                notes.push(format!("{}: {count} of {elements} values are NaN or infinite", port.name));
            }
        }
        let mut outputs = Named::new();
        for port in phase.outputs.iter().filter(|p| !self.taps.iter().any(|t| t.output == p.name)) {
            outputs.insert(port.name.to_string(), session.output(&phase.name, &port.name)?);
        }
        for tap in &self.taps {
            let whole = session.output(&phase.name, &tap.output)?;
            outputs.insert(tap.asked.clone(), tap.pick(whole)?);
        }
        Ok(Evaluated { outputs, notes, seconds })
    }
}

impl Tap {
    /// `block3.v` is iteration 3 of `block*.v`; names without a number right before a dot are themselves.
    fn parse(asked: &str) -> Tap {
        let head = asked.split('.').next().unwrap_or(asked);
        let stem = head.trim_end_matches(|c: char| c.is_ascii_digit());
        match head[stem.len()..].parse() {
            Ok(iteration) if stem == "block" => {
                let output = format!("{stem}*{}", &asked[head.len()..]);
                Tap { asked: asked.to_string(), output, iteration: Some(iteration) }
            }
            _ => Tap { asked: asked.to_string(), output: asked.to_string(), iteration: None },
        }
    }

    fn pick(&self, whole: Tensor) -> Result<Tensor, EvalError> {
        let Some(i) = self.iteration else { return Ok(whole) };
        let count = whole.shape.first().copied().unwrap_or(0);
        if i >= count {
            return Err(EvalError::Input(format!(
                "there is no {}: the blocks are 0 to {}",
                self.asked,
                count.max(1) - 1
            )));
        }
        let len = whole.elements() / count;
        let values = whole.reals()[i * len..(i + 1) * len].to_vec();
        Ok(Tensor::real(&[&[1], &whole.shape[1..]].concat(), values))
    }
}

/// The noise levels of all steps, n + 1 for n steps, of which the ports of every step are made.
const SIGMAS: &str = "sigmas";

/// Inputs as the plan's ports take them.
struct Request {
    ports: BTreeMap<String, Tensor>,
    sigmas: Vec<f32>,
}

impl Request {
    fn new(phase: &plan::Phase, inputs: &Named) -> Result<Request, EvalError> {
        let mut request = Request { ports: BTreeMap::new(), sigmas: Vec::new() };
        let mut missing = Vec::new();
        if phase.schedule.is_some() {
            match inputs.get(SIGMAS) {
                Some(given) => request.sigmas = given.reals(),
                None => missing.push(format!("{SIGMAS} [steps + 1]")),
            }
        }
        let mut want = |name: &str, shape: String| {
            let found = inputs.get(name);
            if found.is_none() {
                missing.push(format!("{name} {shape}"));
            }
            found
        };
        for port in phase.inputs.iter() {
            let shape: Vec<usize> = port.shape.iter().map(|d| *d as usize).collect();
            let name = port.name.as_ref();
            let given = match &port.role {
                Role::Token | Role::Place => {
                    let given = want(name, "[turns]".to_string()).cloned();
                    request.ports.extend(given.map(|given| (name.to_string(), given)));
                    None
                }
                Role::StepTensor => {
                    let wanted = [&["evaluations".to_string()][..], &texts(&shape)].concat().join(", ");
                    let given = want(name, format!("[{wanted}]")).cloned();
                    request.ports.extend(given.map(|given| (name.to_string(), given)));
                    None
                }
                Role::ClassOf { .. }
                | Role::NoiseScale
                | Role::Unset
                | Role::Sigma
                | Role::Coefficients
                | Role::Holds => None,
                Role::Distinct { of } => {
                    let of_it = |p: &&Port| matches!(&p.role, Role::ClassOf { of: other } if of == other);
                    let class = phase.inputs.iter().find(of_it);
                    let tokens = class.map_or(0, |p| p.shape[0] as usize);
                    if let (Some(given), Some(class)) = (want(of, format!("[1, {tokens}, 1]")), class) {
                        check(of, given, &[1, tokens, 1])?;
                        let (distinct, index) = classes(of, &given.reals(), shape[0])?;
                        request.ports.insert(name.to_string(), distinct);
                        request.ports.insert(class.name.to_string(), index);
                    }
                    None
                }
                Role::Initial | Role::ImageLatent { .. } => {
                    Some(inputs.get(name).cloned().unwrap_or_else(|| filled(port, 0.0)))
                }
                // An image that is given is held and seen, unless something else is said.
                Role::Strength { number } | Role::Visible { number } => {
                    let latent = |p: &&Port| p.role == Role::ImageLatent { number: *number };
                    let image =
                        phase.inputs.iter().find(latent).is_some_and(|p| inputs.contains_key(&*p.name));
                    let usual = || filled(port, f32::from(u8::from(image)));
                    Some(inputs.get(name).cloned().unwrap_or_else(usual))
                }
                Role::Frame { .. } => Some(inputs.get(name).cloned().unwrap_or_else(|| filled(port, 0.0))),
                role => match role.default() {
                    Some(default) => Some(inputs.get(name).cloned().unwrap_or_else(|| filled(port, default))),
                    None => want(name, format!("{shape:?}")).cloned(),
                },
            };
            if let Some(given) = given {
                check(name, &given, &shape)?;
                request.ports.insert(name.to_string(), given);
            }
        }
        if !missing.is_empty() {
            return Err(EvalError::Missing { phase: phase.name.to_string(), missing });
        }
        let given = inputs.keys().map(String::as_str).collect();
        for port in phase.inputs.iter().filter(|p| p.role == Role::NoiseScale) {
            let scale = noise_scale(phase, &request.sigmas, &given);
            request.ports.insert(port.name.to_string(), Tensor::real(&[1], vec![scale]));
        }
        request.check_sigmas(phase)?;
        Ok(request)
    }

    fn check_sigmas(&self, phase: &plan::Phase) -> Result<(), EvalError> {
        let sigmas = &self.sigmas;
        if phase.schedule.is_some() && sigmas.len() < 2 {
            return Err(EvalError::Input("sigmas has fewer than two values; n steps want n + 1".to_string()));
        }
        let fall = sigmas.windows(2).all(|pair| pair[0] > pair[1]);
        if !fall || sigmas.iter().any(|s| !s.is_finite() || *s < 0.0) {
            return Err(EvalError::Input("sigmas must be finite, from 0 on, and fall".to_string()));
        }
        Ok(())
    }
}

fn texts(shape: &[usize]) -> Vec<String> {
    shape.iter().map(usize::to_string).collect()
}

fn check(name: &str, given: &Tensor, want: &[usize]) -> Result<(), EvalError> {
    let squeezed = |shape: &[usize]| shape.iter().copied().filter(|d| *d != 1).collect::<Vec<_>>();
    if squeezed(&given.shape) != squeezed(want) {
        return Err(EvalError::Shape {
            name: name.to_string(),
            have: given.shape.clone(),
            want: want.to_vec(),
        });
    }
    Ok(())
}

/// The distinct timesteps, padded to `room` entries, and which of them each token has.
fn classes(name: &str, timesteps: &[f32], room: usize) -> Result<(Tensor, Tensor), EvalError> {
    let mut distinct: Vec<f32> = Vec::new();
    let mut by_bits: BTreeMap<u32, i32> = BTreeMap::new();
    let mut index = Vec::with_capacity(timesteps.len());
    for t in timesteps {
        let class = *by_bits.entry(t.to_bits()).or_insert(distinct.len() as i32);
        if class as usize == distinct.len() {
            distinct.push(*t);
        }
        index.push(class);
    }
    if distinct.len() > room {
        return Err(EvalError::Classes { name: name.to_string(), have: distinct.len(), want: room });
    }
    distinct.resize(room, distinct.first().copied().unwrap_or(0.0));
    Ok((Tensor::real(&[room], distinct), Tensor::int(&[index.len()], index)))
}
