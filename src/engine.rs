//! The engine: one model on one device, which runs one plan after the other.

use zoetrope_runtime::plan::{Placed, Plan, Suite};
use zoetrope_runtime::{Cpu, Pool, Weights};
#[cfg(feature = "cuda")]
use zoetrope_runtime::{
    Error,
    cuda::{Cuda, DeviceError, Supply},
    plan::Code,
};

use crate::device::Chosen;
#[cfg(feature = "cuda")]
use crate::device::{embedded::Embedded, mode};
use crate::failure::{Failure, Kind};
use crate::session::Session;
#[cfg(feature = "cuda")]
use crate::terminal;

/// Where plans of one model run, and what of it is in memory.
///
/// One session lives at a time, that of the plan that ran last with the weights that it had: so there is one arena. What it
/// has brought, the next one finds where the engine [keeps](Engine::keeping) it.
pub struct Engine<'a> {
    plans: Vec<(&'a Plan, Chosen)>,
    kept: Option<&'a Kept>,
    /// Weights that outlive sessions on the CPU.
    pool: Pool,
    current: Option<Current<'a>>,
    /// Bytes that earlier executors have brought to a card.
    #[cfg(feature = "cuda")]
    brought_bytes: u64,
}

struct Current<'a> {
    plan: &'a Plan,
    weights: &'a dyn Weights,
    ready: Ready<'a>,
}

/// A session on the device of its plan.
pub enum Ready<'a> {
    Cpu(Box<Session<Cpu<'a>>>),
    #[cfg(feature = "cuda")]
    Card(Box<Session<Cuda<'a>>>),
}

/// Plans as a card holds them from run to run.
pub struct Kept {
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "places matter on a card"))]
    placed: Vec<Placed>,
    /// Whether they share the memory of one suite.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "places matter on a card"))]
    together: bool,
}

impl Kept {
    /// In the memory of a suite, if that has them all, and there are several of them or it has the memory of a card that was
    /// said; otherwise each in its own.
    pub fn of(plans: &[&Plan], suite: Option<&Suite>) -> Kept {
        let together = suite.filter(|suite| plans.len() > 1 || suite.vram.is_some());
        let together = together.and_then(|suite| plans.iter().map(|plan| suite.placed(plan)).collect());
        match together {
            Some(placed) => Kept { placed, together: true },
            None => Kept { placed: plans.iter().map(|plan| Placed::alone(plan)).collect(), together: false },
        }
    }
}

impl<'a> Engine<'a> {
    /// For these plans, each with its device. Takes no memory yet.
    pub fn new(plans: Vec<(&'a Plan, Chosen)>) -> Engine<'a> {
        Engine {
            plans,
            kept: None,
            pool: Pool::default(),
            current: None,
            #[cfg(feature = "cuda")]
            brought_bytes: 0,
        }
    }

    /// The same with weights that stay in memory from one run to the next.
    pub fn keeping(self, kept: &'a Kept) -> Engine<'a> {
        Engine { kept: Some(kept), ..self }
    }

    /// Bytes of all weights that were brought into memory to stay there; on a card, of all constants.
    pub fn brought_bytes(&self) -> u64 {
        #[cfg(feature = "cuda")]
        let on_card =
            self.brought_bytes + self.current.as_ref().map_or(0, |current| current.ready.brought_bytes());
        #[cfg(not(feature = "cuda"))]
        let on_card = 0;
        self.pool.brought_bytes() + on_card
    }

    /// A session of one of the plans, with these weights: the one that is there, or a new one, which takes its place.
    ///
    /// # Errors
    /// A plan of another engine; no memory, a plan of another version, or what the driver refuses.
    pub fn session(&mut self, plan: &'a Plan, weights: &'a dyn Weights) -> Result<&mut Ready<'a>, Failure> {
        let same = |current: &Current<'a>| {
            std::ptr::eq(current.plan, plan) && std::ptr::addr_eq(current.weights, weights)
        };
        if !self.current.as_ref().is_some_and(same) {
            let ready = self.begin(plan, weights)?;
            self.current = Some(Current { plan, weights, ready });
        }
        let missing = || Failure::new(Kind::Failure, "there is no session");
        self.current.as_mut().map(|current| &mut current.ready).ok_or_else(missing)
    }

    fn begin(&mut self, plan: &'a Plan, weights: &'a dyn Weights) -> Result<Ready<'a>, Failure> {
        let known = self.plans.iter().find(|(known, _)| std::ptr::eq(*known, plan));
        let other = || Failure::new(Kind::Failure, format!("plan {} is not one of this engine", plan.name));
        let chosen = known.ok_or_else(other)?.1.clone();
        match chosen {
            Chosen::Cpu => {
                // Its memory is given back first.
                self.current = None;
                Ok(Ready::Cpu(Box::new(match self.kept {
                    Some(_) => Session::pooled(plan, weights, &self.pool)?,
                    None => Session::new(plan, weights)?,
                })))
            }
            #[cfg(feature = "cuda")]
            Chosen::Card(card, code) => {
                let mut cuda = self.on_card(card, plan, code, weights)?;
                cuda.set_mode(mode());
                Ok(Ready::Card(Box::new(Session::on(cuda))))
            }
        }
    }

    /// An executor of a plan: the one that is there, if it has the plan's memory, or a new one.
    #[cfg(feature = "cuda")]
    fn on_card(
        &mut self,
        card: zoetrope_runtime::cuda::Card,
        plan: &'a Plan,
        code: &'static Code,
        weights: &'a dyn Weights,
    ) -> Result<Cuda<'a>, Error> {
        let supply = Supply::Files(weights);
        let before = self.current.take();
        let brought = before.as_ref().map_or(0, |current| current.ready.brought_bytes());
        let Some((kept, placed)) = self
            .kept
            .and_then(|kept| Some((kept, kept.placed.iter().find(|placed| placed.plan.name == plan.name)?)))
        else {
            self.brought_bytes += brought;
            drop(before);
            return Cuda::new(card, plan, code, &Embedded, supply);
        };
        if let Some(Current { plan: other, ready: Ready::Card(session), .. }) = before
            && (kept.together || std::ptr::eq(other, plan))
        {
            return session.into_executor().changed(placed, code, &Embedded, supply);
        }
        self.brought_bytes += brought;
        match Cuda::in_suite(card.clone(), placed, code, &Embedded, supply) {
            Err(Error::Device(error @ DeviceError::Memory { .. })) if kept.together => {
                terminal::note(format_args!("the plans run one by one, and share nothing: {error}"));
                self.kept = None;
                Cuda::new(card, plan, code, &Embedded, supply)
            }
            made => made,
        }
    }
}

impl Ready<'_> {
    #[cfg(feature = "cuda")]
    fn brought_bytes(&self) -> u64 {
        match self {
            Ready::Cpu(_) => 0,
            Ready::Card(session) => session.executor_ref().brought_bytes(),
        }
    }
}
