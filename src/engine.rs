//! The engine: one model on one device, which runs one plan after the other.

#[cfg(feature = "cuda")]
use zoetrope_runtime::cuda::{Cuda, Supply};
use zoetrope_runtime::plan::Plan;
use zoetrope_runtime::{Cpu, Pool, Weights};

use crate::device::Chosen;
#[cfg(feature = "cuda")]
use crate::device::{embedded::Embedded, mode};
use crate::failure::{Failure, Kind};
use crate::session::Session;

/// Where plans of one model run, and what of it is in memory.
///
/// One session lives at a time, that of the plan that ran last with the weights that it had: so there is one arena. Its
/// next run finds what is there.
pub struct Engine<'a> {
    plans: Vec<(&'a Plan, Chosen)>,
    /// Weights that outlive sessions on the CPU.
    pool: Option<Pool>,
    current: Option<Current<'a>>,
}

struct Current<'a> {
    weights: &'a dyn Weights,
    ready: Ready<'a>,
}

/// A session on the device of its plan.
pub enum Ready<'a> {
    Cpu(Session<Cpu<'a>>),
    #[cfg(feature = "cuda")]
    Card(Box<Session<Cuda<'a>>>),
}

impl<'a> Engine<'a> {
    /// For these plans, each with its device. Takes no memory yet.
    pub fn new(plans: Vec<(&'a Plan, Chosen)>) -> Engine<'a> {
        Engine { plans, pool: None, current: None }
    }

    /// The same with weights that stay in memory from one run to the next.
    pub fn keeping(self) -> Engine<'a> {
        Engine { pool: Some(Pool::default()), ..self }
    }

    /// Bytes of all weights that were brought into memory to stay there.
    pub fn brought_bytes(&self) -> u64 {
        self.pool.as_ref().map_or(0, Pool::brought_bytes)
    }

    /// A session of one of the plans, with these weights: the one that is there, or a new one, which takes its place.
    ///
    /// # Errors
    /// A plan of another engine; no memory, a plan of another version, or what the driver refuses.
    pub fn session(&mut self, plan: &'a Plan, weights: &'a dyn Weights) -> Result<&mut Ready<'a>, Failure> {
        let same = |current: &Current<'a>| {
            std::ptr::eq(current.ready.plan(), plan) && std::ptr::addr_eq(current.weights, weights)
        };
        if !self.current.as_ref().is_some_and(same) {
            // Its memory is given back first.
            self.current = None;
            let ready = self.begin(plan, weights)?;
            self.current = Some(Current { weights, ready });
        }
        let missing = || Failure::new(Kind::Failure, "there is no session");
        self.current.as_mut().map(|current| &mut current.ready).ok_or_else(missing)
    }

    fn begin(&self, plan: &'a Plan, weights: &'a dyn Weights) -> Result<Ready<'a>, Failure> {
        let known = self.plans.iter().find(|(known, _)| std::ptr::eq(*known, plan));
        let other = || Failure::new(Kind::Failure, format!("plan {} is not one of this engine", plan.name));
        match &known.ok_or_else(other)?.1 {
            Chosen::Cpu => Ok(Ready::Cpu(match &self.pool {
                Some(pool) => Session::pooled(plan, weights, pool)?,
                None => Session::new(plan, weights)?,
            })),
            #[cfg(feature = "cuda")]
            Chosen::Card(card, code) => {
                let mut cuda = Cuda::new(card.clone(), plan, code, &Embedded, Supply::Files(weights))?;
                cuda.set_mode(mode());
                Ok(Ready::Card(Box::new(Session::on(cuda))))
            }
        }
    }
}

impl<'a> Ready<'a> {
    fn plan(&self) -> &'a Plan {
        match self {
            Ready::Cpu(session) => session.plan(),
            #[cfg(feature = "cuda")]
            Ready::Card(session) => session.plan(),
        }
    }
}
