//! One phase on given inputs: how the program is held against any other implementation (docs/phases.md).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use thiserror::Error as ThisError;
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{CompileError, Part, compile_part};
use zoetrope_model_spec::ltx::config::ModelConfig;
use zoetrope_model_spec::ltx::pipeline::PREVIEW;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::{Plan, Port};
use zoetrope_runtime::{Error as RuntimeError, Executor, Weights};

use crate::device::Device;
#[cfg(feature = "cuda")]
use crate::device::compiled::{first_card, on_card};
use crate::finite;
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
    name: String,
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
        let levels = compile_part(target, model, Part::Phase(name), &wanted, options)?;
        Ok(Phase { plan: levels.plan, name: name.to_string(), taps })
    }

    /// Checks inputs without running anything.
    ///
    /// # Errors
    /// Inputs that are missing or do not fit.
    pub fn check(&self, inputs: &Named) -> Result<(), EvalError> {
        let ports = self.plan.phases.first().map_or(&[][..], |p| &p.inputs);
        Request::new(&self.name, ports, inputs).map(|_| ())
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
        let phase =
            self.plan.phases.first().ok_or_else(|| EvalError::Input("the plan has no phase".to_string()))?;
        let request = Request::new(&self.name, &phase.inputs, inputs)?;
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

/// Inputs as the plan's ports take them.
struct Request {
    ports: BTreeMap<String, Tensor>,
    sigmas: Vec<f32>,
}

impl Request {
    fn new(phase: &str, ports: &[Port], inputs: &Named) -> Result<Request, EvalError> {
        let mut request = Request { ports: BTreeMap::new(), sigmas: Vec::new() };
        let mut missing = Vec::new();
        let mut want = |name: &str, shape: String| {
            let found = inputs.get(name);
            if found.is_none() {
                missing.push(format!("{name} {shape}"));
            }
            found
        };
        for port in ports {
            let shape: Vec<usize> = port.shape.iter().map(|d| *d as usize).collect();
            let name = port.name.as_ref();
            match name {
                "sigmas" => {
                    let given = want(name, "[steps + 1]".to_string());
                    request.sigmas = given.map(Tensor::reals).unwrap_or_default();
                }
                "v.class" | "a.class" => {}
                "noise_scale" => {}
                // What it holds before the first step means nothing.
                PREVIEW => {}
                "v.initial" | "a.initial" => {
                    let zeros = || Tensor::real(&shape, vec![0.0; shape.iter().product()]);
                    let given = inputs.get(name).cloned().unwrap_or_else(zeros);
                    check(name, &given, &shape)?;
                    request.ports.insert(name.to_string(), given);
                }
                "v.timesteps" | "a.timesteps" => {
                    let class = format!("{}.class", &name[..1]);
                    let tokens = ports.iter().find(|p| p.name == class).map_or(0, |p| p.shape[0] as usize);
                    if let Some(given) = want(name, format!("[1, {tokens}, 1]")) {
                        check(name, given, &[1, tokens, 1])?;
                        let (classes, index) = classes(name, &given.reals(), shape[0])?;
                        request.ports.insert(name.to_string(), classes);
                        request.ports.insert(class, index);
                    }
                }
                _ => {
                    if let Some(given) = want(name, format!("{shape:?}")) {
                        check(name, given, &shape)?;
                        request.ports.insert(name.to_string(), given.clone());
                    }
                }
            }
        }
        if !missing.is_empty() {
            return Err(EvalError::Missing { phase: phase.to_string(), missing });
        }
        if ports.iter().any(|p| p.name == "noise_scale") {
            let mixed = ["v.initial", "a.initial"].iter().any(|n| inputs.contains_key(*n));
            let scale = if mixed { request.sigmas.first().copied().unwrap_or(1.0) } else { 1.0 };
            request.ports.insert("noise_scale".to_string(), Tensor::real(&[1], vec![scale]));
        }
        if ports.iter().any(|p| p.name == "sigmas") && request.sigmas.len() < 2 {
            return Err(EvalError::Input("sigmas has fewer than two values; n steps want n + 1".to_string()));
        }
        if request.sigmas.iter().any(|s| !s.is_finite())
            || request.sigmas.iter().rev().skip(1).any(|s| *s <= 0.0)
        {
            return Err(EvalError::Input("sigmas must be finite, and above 0 before the last".to_string()));
        }
        Ok(request)
    }
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
