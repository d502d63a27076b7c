//! `zoetrope bench`: how long a plan takes on the card, by phase, step and kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Instant;

use clap::{Args, ValueEnum};
use zoetrope_runtime::cuda::{Cuda, Mode, Supply};
use zoetrope_runtime::plan::{Code, Phase, Plan, Port, Repeat, Role};
use zoetrope_runtime::{Executor, Result as RuntimeResult};

use super::model::built_in;
use super::{ModelArgs, PlanArgs, say};
use crate::demo::random::Stream;
use crate::device::embedded::Embedded;
use crate::device::{Chosen, Device};
use crate::failure::{Failure, Kind};
use crate::report::cards::Card;
use crate::report::floor;
use crate::run::{filled, noise_scale};
use crate::session::{Session, Unwatched, Watch};
use crate::steps::{Steps, count, sigmas};
use crate::tensors::{Named, Tensor};

/// Time a plan on the NVIDIA card
#[derive(Args, Debug)]
pub struct Bench {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Weights of the model files, or random ones that need none
    #[arg(long, value_enum, default_value_t = Kinds::Random)]
    weights: Kinds,
    /// Only this phase; may be given several times
    #[arg(long, value_name = "NAME")]
    phase: Vec<String>,
    /// How often every phase runs; times are medians
    #[arg(long, alias = "turns", value_name = "N", default_value_t = 3)]
    runs: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kinds {
    Random,
    Files,
}

/// What one phase took.
struct Timed<'p> {
    phase: &'p Phase,
    /// Seconds until its weights were there, the first time; some may have come while the phase before was timed.
    loading: f64,
    /// Median seconds of a run of the phase, launched as graphs.
    seconds: f64,
    /// How many of them are steps, and the median seconds of one.
    steps: (usize, f64),
    /// Of one of them, what the host spent beside waiting for the card, in seconds; of the steps, where there are some.
    host: f64,
    /// By function: how often, seconds launched one by one, and the floor of the named card.
    functions: BTreeMap<u32, (u64, f64, f64)>,
}

impl Bench {
    /// Runs the command with one of these plans.
    ///
    /// # Errors
    /// No card that can run the plan, or weights that are missing.
    pub fn run(self, plans: &[&Plan]) -> Result<(), Failure> {
        let plan = self.plan.plan(plans)?;
        let phases = self.phases(plan)?;
        let Chosen::Card(card, code) = Device::Cuda.choose(plan)? else {
            return Err(Failure::new(Kind::Device, "the bench wants a card"));
        };
        let files = match self.weights {
            Kinds::Files => Some(self.model.open(plan, built_in(plan).as_ref())?),
            Kinds::Random => None,
        };
        let supply = files.as_ref().map_or(Supply::Random, |files| Supply::Files(files));
        let named = Card::of(&card.name);
        let mut out = format!("{}, plan {}, {:?} weights\n", card.name, plan.name, self.weights);
        let start = Instant::now();
        let mut session = Session::on(Cuda::new(card, plan, code, &Embedded, supply)?);
        let beside = session.executor().beside_bytes() as f64 / 1e6;
        let _ = writeln!(
            out,
            "functions and graphs made in {:.2} s; they and the driver take {beside:.0} MB beside the plan's memory",
            start.elapsed().as_secs_f64()
        );
        head_of_phases(&mut out);
        say(&out)?;
        // Said as they come: what was measured is not lost if something fails.
        let mut all = Vec::new();
        for phase in phases {
            let timed = time(&mut session, phase, self.runs, code, named)?;
            say(&row_of_phase(&timed))?;
            all.push(timed);
        }
        let mut out = String::new();
        // As the plan's least time does, for a run without images.
        let total: f64 = all.iter().filter(|t| !t.phase.is_optional()).map(|t| t.seconds).sum();
        let _ = writeln!(out, "{:<20} {:>10} {total:>10.4}", "all", "");
        table_of_kernels(&mut out, code, &all, named);
        say(&out)
    }

    /// Those that are asked for, in the plan's order.
    fn phases<'p>(&self, plan: &'p Plan) -> Result<Vec<&'p Phase>, Failure> {
        if let Some(unknown) = self.phase.iter().find(|name| plan.phase(name).is_none()) {
            let known: Vec<&str> = plan.phases.iter().map(|phase| phase.name.as_ref()).collect();
            let known = known.join(", ");
            return Err(Failure::usage(format!(
                "plan {} has no phase {unknown}\n  have  {known}",
                plan.name
            )));
        }
        let asked =
            |phase: &&Phase| self.phase.is_empty() || self.phase.iter().any(|name| phase.name == *name);
        Ok(plan.phases.iter().filter(asked).collect())
    }
}

/// What a phase reads: of the host a prompt of nothing but its first token and a seed, of other phases random numbers, so
/// that every phase can be timed for itself.
fn inputs(phase: &Phase) -> Vec<(&Port, Vec<u8>)> {
    let value = |port: &Port| {
        let count = port.shape.iter().map(|n| *n as usize).product();
        match &port.role {
            Role::Tokens { .. } | Role::TokenMask { .. } | Role::Chat | Role::ChatMask => {
                Tensor::int(&[count], vec![1; count])
            }
            Role::ChatRows | Role::ChatUntil => Tensor::int(&[count], (0..count as i32).collect()),
            Role::Seed => Tensor::int(&[2], vec![10, 0]),
            Role::NoiseScale => {
                let scale = noise_scale(phase, &sigmas(phase, Steps::default()), &BTreeSet::new());
                Tensor::real(&[1], vec![scale])
            }
            role => role.default().map_or_else(
                || {
                    let mut random = Stream::named(&port.name);
                    Tensor::real(&[count], (0..count).map(|_| random.next() as f32).collect())
                },
                |default| filled(port, default),
            ),
        }
    };
    let ports = phase.inputs.iter().filter(|port| !port.role.per_step());
    ports.map(|port| (port, value(port).bytes_for(port))).collect()
}

/// Turns that take a token each.
const TURNS: i32 = 16;

/// What steps are made of: what their noise is drawn with, or their tokens, the same over and over.
fn of_steps(phase: &Phase) -> Named {
    let value = |port: &Port| match port.role {
        Role::StepSeed => Some(Tensor::int(&[2], vec![10, 0])),
        Role::Token => Some(Tensor::int(&[TURNS as usize], vec![1; TURNS as usize])),
        Role::Place => Some(Tensor::int(&[TURNS as usize], (0..TURNS).collect())),
        _ => None,
    };
    phase.inputs.iter().filter_map(|port| Some((port.name.to_string(), value(port)?))).collect()
}

fn time<'p>(
    session: &mut Session<Cuda<'_>>,
    phase: &'p Phase,
    runs: usize,
    code: &Code,
    named: Option<&Card>,
) -> Result<Timed<'p>, Failure> {
    let (name, inputs) = (phase.name.as_ref(), inputs(phase));
    let given = of_steps(phase);
    let steps = sigmas(phase, Steps::default());
    let start = Instant::now();
    session.load(name)?;
    session.executor().settle()?;
    let loading = start.elapsed().as_secs_f64();
    let stepping = phase.segments.iter().find(|segment| segment.repeat == Repeat::Steps);
    let mut boundaries = Boundaries { of: stepping.map(|segment| segment.name.as_ref()), all: Vec::new() };
    // A phase may write over what it has read, so inputs are written for every turn, before the clock is started.
    let once = |session: &mut Session<Cuda<'_>>, watch: &mut dyn Watch| -> Result<f64, Failure> {
        for (port, bytes) in &inputs {
            session.executor().write(port, bytes)?;
        }
        let start = Instant::now();
        session.run(name, &given, &steps, watch)?;
        Ok(start.elapsed().as_secs_f64())
    };
    let mut times = Vec::new();
    for _ in 0..runs.max(1) {
        times.push(once(session, &mut boundaries)?);
        boundaries.all.push((false, Instant::now()));
    }
    let mut host = 0.0;
    for (i, segment) in phase.segments.iter().enumerate() {
        let spent = session.executor().take_host_time(i).as_secs_f64() / times.len() as f64;
        host += if stepping.is_some() && segment.repeat != Repeat::Steps { 0.0 } else { spent };
    }
    session.executor().set_mode(Mode::Single);
    once(session, &mut Unwatched)?;
    session.executor().set_mode(Mode::Graphs);
    let launches: BTreeMap<u32, _> =
        (phase.first..).zip(phase.launches().map(|(launch, _)| launch)).collect();
    let mut functions: BTreeMap<u32, (u64, f64, f64)> = BTreeMap::new();
    for (number, seconds) in session.executor().take_seconds()? {
        if let (Some((_, call, _)), Some(launch)) = (code.call(number), launches.get(&number)) {
            let entry = functions.entry(call.function).or_default();
            entry.0 += 1;
            entry.1 += seconds;
            entry.2 += named.map_or(0.0, |card| floor::launch(card, launch));
        }
    }
    let steps = (count(phase, &steps), median(boundaries.steps()));
    Ok(Timed { phase, loading, seconds: median(times), steps, host, functions })
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}

/// When boundaries were reached, and whether a turn of the segment `of` began there.
struct Boundaries<'p> {
    of: Option<&'p str>,
    all: Vec<(bool, Instant)>,
}

impl Watch for Boundaries<'_> {
    fn boundary(&mut self, _phase: &str, segment: &str, _turn: u32, _turns: u32) -> RuntimeResult<()> {
        self.all.push((self.of == Some(segment), Instant::now()));
        Ok(())
    }
}

impl Boundaries<'_> {
    /// Seconds from the beginning of every step to the next boundary.
    fn steps(&self) -> Vec<f64> {
        let pairs = self.all.windows(2).filter(|pair| pair[0].0);
        pairs.map(|pair| (pair[1].1 - pair[0].1).as_secs_f64()).collect()
    }
}

fn head_of_phases(out: &mut String) {
    let [load, run, steps, step, host] = ["load s", "run s", "steps", "s per step", "host us"];
    let _ = writeln!(out, "\n{:<20} {load:>10} {run:>10} {steps:>6} {step:>12} {host:>10}", "phase");
}

fn row_of_phase(timed: &Timed<'_>) -> String {
    let (steps, step) = timed.steps;
    let per_step = if steps > 0 { format!("{step:.4}") } else { String::new() };
    let (name, loading, seconds) = (&timed.phase.name, timed.loading, timed.seconds);
    // Of a step, or of the phase where it has none.
    let host = timed.host * 1e6 / steps.max(1) as f64;
    format!("{name:<20} {loading:>10.3} {seconds:>10.4} {steps:>6} {per_step:>12} {host:>10.1}\n")
}

/// Functions by the time that they take, launched one by one.
fn table_of_kernels(out: &mut String, code: &Code, all: &[Timed<'_>], named: Option<&Card>) {
    let mut sums: BTreeMap<u32, (u64, f64, f64)> = BTreeMap::new();
    for (function, (count, seconds, least)) in all.iter().flat_map(|t| &t.functions) {
        let sum = sums.entry(*function).or_default();
        *sum = (sum.0 + count, sum.1 + seconds, sum.2 + least);
    }
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    let whose = named.map_or("no card of the table".to_string(), |card| card.name.to_string());
    let _ = writeln!(
        out,
        "\nlaunched one by one; floors of: {whose}\n{:>8} {:>12} {:>12} {:>7}  function",
        "times", "ms", "floor ms", "share"
    );
    for (function, (count, seconds, least)) in rows {
        let Some(f) = code.functions.get(function as usize) else { continue };
        let (ms, floor, share) = (seconds * 1e3, least * 1e3, least / seconds.max(1e-12));
        let _ = writeln!(out, "{count:>8} {ms:>12.3} {floor:>12.3} {share:>7.2}  {}", f.key);
    }
}
