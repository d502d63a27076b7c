//! What runs the phases of an executor's plan and carries tensors in and out.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use zoetrope_runtime::plan::{Launch, Phase, Plan, Port, Repeat, Role, Segment};
use zoetrope_runtime::{Cpu, Error, Executor, Observer, Pool, Result, Weights, replay};

use crate::steps;
use crate::tensors::{Named, Tensor};

/// What is told while a phase runs. Returning an error stops the replay.
pub trait Watch {
    /// Before a window, counted from 0, of a clip that is made in several.
    fn window(&mut self, _number: usize, _of: usize) {}

    /// Before turn `turn` of `turns` of a segment of `phase`; the turns of a denoising phase are its steps.
    ///
    /// # Errors
    /// Whatever is to stop the replay.
    fn boundary(&mut self, phase: &str, segment: &str, turn: u32, turns: u32) -> Result<()>;

    /// After a launch of so many floating-point operations.
    fn launched(&mut self, _flops: u64) {}

    /// Whether [`Watch::preview`] is to be called.
    fn wants_previews(&self) -> bool {
        false
    }

    /// After every step of a phase that makes previews: RGB in 0..1, [height, width, 3].
    ///
    /// # Errors
    /// Whatever is to stop the replay.
    fn preview(&mut self, _frame: &Tensor) -> Result<()> {
        Ok(())
    }
}

/// Watches nothing.
pub struct Unwatched;

impl Watch for Unwatched {
    fn boundary(&mut self, _phase: &str, _segment: &str, _turn: u32, _turns: u32) -> Result<()> {
        Ok(())
    }
}

/// One executor, and which of its plan's phases it has loaded.
pub struct Session<E> {
    executor: E,
    /// The phase whose weights are resident.
    loaded: Option<String>,
}

impl<'a> Session<Cpu<'a>> {
    /// On the CPU: allocates the arena; reads no weight yet.
    ///
    /// # Errors
    /// No memory, or a plan of another version.
    pub fn new(plan: &'a Plan, files: &'a dyn Weights) -> Result<Self> {
        Ok(Session::on(Cpu::new(plan, files)?))
    }

    /// As [`Session::new`], with weights that stay in a pool: what a session of another plan has brought is not read again.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn pooled(plan: &'a Plan, files: &'a dyn Weights, pool: &Pool) -> Result<Self> {
        Ok(Session::on(Cpu::pooled(plan, files, pool)?))
    }

    /// As [`Session::new`], with dead memory filled with NaN.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn poisoned(plan: &'a Plan, files: &'a dyn Weights) -> Result<Self> {
        Ok(Session::on(Cpu::new(plan, files)?.poisoned()))
    }
}

impl<'a, E: Executor<'a>> Session<E> {
    /// On an executor, whose plan it is.
    pub fn on(executor: E) -> Session<E> {
        Session { executor, loaded: None }
    }

    pub fn executor(&mut self) -> &mut E {
        &mut self.executor
    }

    /// The executor, to be asked.
    pub fn executor_ref(&self) -> &E {
        &self.executor
    }

    /// The executor, for another plan.
    pub fn into_executor(self) -> E {
        self.executor
    }

    /// The executor's plan.
    pub fn plan(&self) -> &'a Plan {
        self.executor.plan()
    }

    fn phase(&self, name: &str) -> Result<&'a Phase> {
        self.plan().phase(name).ok_or_else(|| Error::NoPhase(name.to_string()))
    }

    /// Runs a phase: `inputs` are written first (ports that an earlier phase filled may be left out), or are what every
    /// step's are made of ([`steps::inputs`]). `sigmas` are the n + 1 noise levels of its n steps, if it has steps.
    ///
    /// # Errors
    /// An unknown phase, an input of the wrong size, or whatever stops the replay.
    pub fn run(
        &mut self,
        name: &str,
        inputs: &BTreeMap<String, Tensor>,
        sigmas: &[f32],
        watch: &mut dyn Watch,
    ) -> Result<()> {
        let phase = self.phase(name)?;
        let mut feed = Feed::new(phase, inputs, sigmas, watch)?;
        self.replay(phase, &mut feed)?;
        feed.show(&mut self.executor)
    }

    /// Runs a phase of the plan with somebody who hands in its inputs.
    ///
    /// # Errors
    /// Whatever stops the replay.
    pub fn replay(&mut self, phase: &'a Phase, observer: &mut impl Observer<E>) -> Result<()> {
        // What a replay that stops has made of its weights is not known.
        let first = self.loaded.take().as_deref() != Some(&*phase.name);
        replay(&mut self.executor, phase, first, observer)?;
        self.loaded = Some(phase.name.to_string());
        Ok(())
    }

    /// Makes a phase's weights resident, so that the next run of it reads no file.
    ///
    /// # Errors
    /// An unknown phase, or weights that are missing.
    pub fn load(&mut self, name: &str) -> Result<()> {
        let phase = self.phase(name)?;
        self.executor.enter(phase)
    }

    /// An output of a phase that has run, while no later phase has.
    ///
    /// # Errors
    /// An unknown phase or output.
    pub fn output(&mut self, phase: &str, name: &str) -> Result<Tensor> {
        let phase = self.phase(phase)?;
        let port = find(phase, name, &phase.outputs)?;
        Ok(Tensor::from_port(port, &self.executor.read(port)?))
    }
}

fn find<'p>(phase: &'p Phase, name: &str, ports: &'p [Port]) -> Result<&'p Port> {
    ports.iter().find(|p| p.name == name).ok_or_else(|| Error::NoPort {
        phase: phase.name.to_string(),
        name: name.to_string(),
        known: ports.iter().map(|p| p.name.as_ref()).collect::<Vec<_>>().join(", "),
    })
}

fn bytes_for(port: &Port, tensor: &Tensor) -> Result<Vec<u8>> {
    let bytes = tensor.bytes_for(port);
    if bytes.len() as u64 != port.bytes() {
        return Err(Error::PortSize { name: port.name.to_string(), have: bytes.len(), want: port.bytes() });
    }
    Ok(bytes)
}

/// What a port gets.
type Written<'w> = (&'w Port, Vec<u8>);

/// Writes a phase's inputs when it begins, and the noise levels of every step at its boundary.
struct Feed<'w> {
    inputs: Vec<Written<'w>>,
    /// By step, what each port of the phase that changes with it gets: made before the first step, so that a step
    /// allocates nothing.
    steps: Vec<Vec<Written<'w>>>,
    /// Where a step leaves its preview, if somebody wants it.
    preview: Option<&'w Port>,
    watch: &'w mut dyn Watch,
}

impl<'w> Feed<'w> {
    fn new(
        phase: &'w Phase,
        inputs: &BTreeMap<String, Tensor>,
        sigmas: &[f32],
        watch: &'w mut dyn Watch,
    ) -> Result<Feed<'w>> {
        let input = |(name, tensor): (&String, &Tensor)| {
            let port = find(phase, name, &phase.inputs)?;
            Ok((port, bytes_for(port, tensor)?))
        };
        let step = |step: &Named| step.iter().map(input).collect::<Result<_>>();
        let steps = steps::inputs(phase, sigmas, inputs).iter().map(step).collect::<Result<_>>()?;
        let per_step = |name: &str| phase.inputs.iter().any(|p| p.name == name && p.role.per_step());
        let inputs = inputs.iter().filter(|(name, _)| !per_step(name)).map(input).collect::<Result<_>>()?;
        let preview = phase.outputs.iter().find(|p| p.role == Role::Preview && watch.wants_previews());
        Ok(Feed { inputs, steps, preview, watch })
    }

    /// Hands on the preview of the step before.
    fn show<'a, E: Executor<'a>>(&mut self, executor: &mut E) -> Result<()> {
        match self.preview {
            Some(port) => self.watch.preview(&Tensor::from_port(port, &executor.read(port)?)),
            None => Ok(()),
        }
    }
}

impl<'a, E: Executor<'a>> Observer<E> for Feed<'_> {
    fn steps(&mut self, _segment: &Segment) -> u32 {
        self.steps.len() as u32
    }

    fn entered(&mut self, executor: &mut E, _phase: &Phase) -> Result<()> {
        self.inputs.drain(..).try_for_each(|(port, bytes)| executor.write(port, &bytes))
    }

    fn boundary(
        &mut self,
        executor: &mut E,
        phase: &Phase,
        segment: &Segment,
        turn: u32,
        turns: u32,
    ) -> Result<ControlFlow<()>> {
        // Outside the steps the place of a step input belongs to other values.
        if segment.repeat == Repeat::Steps {
            for (port, bytes) in self.steps.get(turn as usize).into_iter().flatten() {
                executor.write(port, bytes)?;
            }
            if turn > 0 {
                self.show(executor)?;
            }
        }
        self.watch.boundary(&phase.name, &segment.name, turn, turns)?;
        Ok(ControlFlow::Continue(()))
    }

    fn launched(&mut self, _number: u32, launch: &Launch) {
        self.watch.launched(launch.flops());
    }
}
