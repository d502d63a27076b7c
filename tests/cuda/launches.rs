//! Every launch of a plan for itself: the card begins each one with the CPU executor's memory, so an error is found where
//! it is made.

use std::borrow::Cow;
use std::collections::BTreeSet;

use half::bf16;
use zoetrope_runtime::cuda::{Cuda, Mode};
use zoetrope_runtime::plan::{Base, Dtype, Fetch, Launch, Loop, Operand, Phase, Plan, Port, Role};
use zoetrope_runtime::{Cpu, Executor, Result};

/// How far a launch's result is off, relative to the largest number of the CPU's.
pub struct LaunchError {
    pub number: u32,
    pub kernel: String,
    pub path: String,
    pub error: f64,
}

/// Both executors; what is read is the CPU's. A launch of a loop is compared in every iteration, which have weights of
/// their own, but not again in later turns of its segment, which differ by their data alone.
pub struct Beside<'a> {
    pub cpu: Cpu<'a>,
    pub cuda: Cuda<'a>,
    /// Of every part of every launch.
    pub errors: Vec<LaunchError>,
    /// Launches that were compared, with their iterations.
    compared: BTreeSet<(u32, u32)>,
}

impl<'a> Beside<'a> {
    pub fn new(cpu: Cpu<'a>, mut cuda: Cuda<'a>) -> Beside<'a> {
        cuda.set_mode(Mode::Single);
        Beside { cpu, cuda, errors: Vec::new(), compared: BTreeSet::new() }
    }
}

/// The bytes of an operand in the arena, as a port.
fn port(operand: &Operand, iteration: u32) -> Option<Port> {
    (operand.base == Base::Arena).then(|| Port {
        name: "operand".into(),
        offset: operand.offset + operand.step * u64::from(iteration),
        dtype: operand.dtype,
        shape: vec![(operand.extent() / operand.dtype.bytes()) as u32].into(),
        role: Role::Tensor { default: None },
        slot: None,
    })
}

fn numbers(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    let word = |b: &[u8]| [b[0], b[1], b[2], b[3]];
    match dtype {
        Dtype::F32 => bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(word(b)))).collect(),
        Dtype::I32 => bytes.chunks_exact(4).map(|b| f64::from(i32::from_le_bytes(word(b)))).collect(),
        Dtype::U8 => bytes.iter().map(|b| f64::from(*b)).collect(),
        Dtype::Bf16 => bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f64()).collect(),
    }
}

/// The largest distance of two results over the largest number in them; rows only, not what lies between.
fn distance(operand: &Operand, have: &[u8], want: &[u8]) -> f64 {
    let (have, want) = (numbers(operand.dtype, have), numbers(operand.dtype, want));
    let (stride, cols) = (operand.row_stride as usize, operand.cols() as usize);
    let (mut worst, mut scale) = (0.0f64, 1e-30f64);
    for (have, want) in have.chunks(stride.max(1)).zip(want.chunks(stride.max(1))) {
        for (have, want) in have.iter().zip(want).take(cols) {
            let apart = (have - want).abs();
            // A NaN on one side is infinitely far.
            let same = have.is_nan() && want.is_nan();
            worst = worst.max(if same {
                0.0
            } else if apart.is_nan() {
                f64::INFINITY
            } else {
                apart
            });
            scale = scale.max(if want.is_nan() { 0.0 } else { want.abs() });
        }
    }
    worst / scale
}

impl<'a> Executor<'a> for Beside<'a> {
    fn plan(&self) -> &'a Plan {
        self.cpu.plan()
    }

    fn enter(&mut self, phase: &'a Phase) -> Result<()> {
        self.cpu.enter(phase)?;
        self.cuda.enter(phase)
    }

    fn launch(&mut self, number: u32, launch: &'a Launch, iteration: Option<(&'a Loop, u32)>) -> Result<()> {
        let at = iteration.map_or(0, |(_, iteration)| iteration);
        if !self.compared.insert((number, at)) {
            return self.cpu.launch(number, launch, iteration);
        }
        let reads = launch.parts.iter().flat_map(|p| p.reads.iter().chain([&p.write]));
        for port in reads.filter_map(|operand| port(operand, at)) {
            self.cuda.write(&port, &self.cpu.read(&port)?)?;
        }
        self.cuda.launch(number, launch, iteration)?;
        self.cpu.launch(number, launch, iteration)?;
        for part in launch.parts.iter() {
            let Some(port) = port(&part.write, at) else { continue };
            let error = distance(&part.write, &self.cuda.read(&port)?, &self.cpu.read(&port)?);
            let kernel = self.plan().kernels[launch.kernel as usize].name.to_string();
            self.errors.push(LaunchError { number, kernel, path: part.path.to_string(), error });
        }
        Ok(())
    }

    fn fetch(&mut self, phase: &'a Phase, fetch: &'a Fetch) -> Result<()> {
        self.cpu.fetch(phase, fetch)?;
        self.cuda.fetch(phase, fetch)
    }

    fn read(&mut self, port: &Port) -> Result<Cow<'_, [u8]>> {
        self.cpu.read(port)
    }

    fn write(&mut self, port: &Port, bytes: &[u8]) -> Result<()> {
        self.cpu.write(port, bytes)?;
        self.cuda.write(port, bytes)
    }
}
