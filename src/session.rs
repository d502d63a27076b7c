//! A plan, its files and an executor: what runs phases and carries tensors in and out.

use std::collections::BTreeMap;

use zoetrope_runtime::plan::{Launch, Phase, Plan, Port, Repeat, Segment};
use zoetrope_runtime::{Cpu, Error, Observer, Result, Weights, replay};

use crate::tensors::Tensor;

/// What is told while a phase runs. Returning an error stops the replay at the next seam.
pub trait Watch {
    /// Before turn `turn` of `turns` of a segment of `phase`.
    fn seam(&mut self, phase: &str, segment: &str, turn: u32, turns: u32) -> Result<()>;

    /// After a launch of so many floating-point operations.
    fn launched(&mut self, _flops: u64) {}
}

/// Watches nothing.
pub struct Unwatched;

impl Watch for Unwatched {
    fn seam(&mut self, _phase: &str, _segment: &str, _turn: u32, _turns: u32) -> Result<()> {
        Ok(())
    }
}

/// One plan on the CPU.
pub struct Session<'a> {
    plan: &'a Plan,
    cpu: Cpu<'a>,
    /// The phase whose weights are resident.
    loaded: Option<String>,
}

impl<'a> Session<'a> {
    /// Allocates the arena; reads no weight yet.
    ///
    /// # Errors
    /// No memory, or a plan of another version.
    pub fn new(plan: &'a Plan, files: &'a dyn Weights) -> Result<Session<'a>> {
        Ok(Session { plan, cpu: Cpu::new(plan, files)?, loaded: None })
    }

    /// As [`Session::new`], with dead memory filled with NaN.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn poisoned(plan: &'a Plan, files: &'a dyn Weights) -> Result<Session<'a>> {
        Ok(Session { plan, cpu: Cpu::new(plan, files)?.poisoned(), loaded: None })
    }

    fn phase(&self, name: &str) -> Result<&'a Phase> {
        self.plan.phase(name).ok_or_else(|| Error::NoPhase(name.to_string()))
    }

    /// Runs a phase: `inputs` are written first (ports that an earlier phase filled may be left out), `sigmas` are
    /// the n + 1 noise levels of its n steps, if it has steps.
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
        for (port, tensor) in inputs {
            self.write(phase, port, tensor)?;
        }
        let first = self.loaded.as_deref() != Some(name);
        self.loaded = Some(name.to_string());
        replay(self.plan, phase, first, &mut self.cpu, &mut Feed { sigmas, watch })
    }

    /// Makes a phase's weights resident, so that the next run of it reads no file.
    ///
    /// # Errors
    /// An unknown phase, or weights that are missing.
    pub fn load(&mut self, name: &str) -> Result<()> {
        use zoetrope_runtime::Executor;
        self.cpu.enter(self.plan, self.phase(name)?)
    }

    fn write(&mut self, phase: &Phase, name: &str, tensor: &Tensor) -> Result<()> {
        let port = find(phase, name, &phase.inputs)?;
        put(&mut self.cpu, port, tensor)
    }

    /// An output of a phase that has run, while no later phase has.
    ///
    /// # Errors
    /// An unknown phase or output.
    pub fn output(&self, phase: &str, name: &str) -> Result<Tensor> {
        use zoetrope_runtime::Executor;
        let phase = self.phase(phase)?;
        let port = find(phase, name, &phase.outputs)?;
        Ok(Tensor::from_port(port, self.cpu.read(port)))
    }
}

fn find<'p>(phase: &'p Phase, name: &str, ports: &'p [Port]) -> Result<&'p Port> {
    ports.iter().find(|p| p.name == name).ok_or_else(|| Error::NoPort {
        phase: phase.name.to_string(),
        name: name.to_string(),
        known: ports.iter().map(|p| p.name.as_ref()).collect::<Vec<_>>().join(", "),
    })
}

fn put(cpu: &mut Cpu<'_>, port: &Port, tensor: &Tensor) -> Result<()> {
    use zoetrope_runtime::Executor;
    let bytes = tensor.bytes_for(port);
    if bytes.len() as u64 != port.bytes() {
        return Err(Error::PortSize { name: port.name.to_string(), have: bytes.len(), want: port.bytes() });
    }
    cpu.write(port).copy_from_slice(&bytes);
    Ok(())
}

/// Writes the noise levels of every step at its seam.
struct Feed<'w> {
    sigmas: &'w [f32],
    watch: &'w mut dyn Watch,
}

impl<'a> Observer<Cpu<'a>> for Feed<'_> {
    fn steps(&mut self, _segment: &Segment) -> u32 {
        self.sigmas.len().saturating_sub(1) as u32
    }

    fn seam(
        &mut self,
        cpu: &mut Cpu<'a>,
        phase: &Phase,
        segment: &Segment,
        turn: u32,
        turns: u32,
    ) -> Result<()> {
        // Outside the steps the place of a step input belongs to other values.
        let stepping = segment.repeat == Repeat::Steps;
        for port in phase.inputs.iter().filter(|p| stepping && p.per_step) {
            if let Some([sigma, next]) = self.sigmas.get(turn as usize..turn as usize + 2) {
                put(cpu, port, &Tensor::real(&[2], vec![*sigma, *next]))?;
            }
        }
        self.watch.seam(&phase.name, &segment.name, turn, turns)
    }

    fn launched(&mut self, _number: u32, launch: &Launch) {
        self.watch.launched(launch.flops());
    }
}
