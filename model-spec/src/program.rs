//! A program: phases in order, and the slots through which one phase's results reach another.

use crate::lang::Graph;
use crate::ltx::recipe::Adapter;
use crate::ltx::schedule::Schedule;

/// A recorded phase of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    pub graph: Graph,
    pub wiring: Wiring,
    /// Latent frames that go through all layers together; `None` for all of them.
    pub chunk: Option<usize>,
}

/// How a phase stands in a run. A port that no wire names is the host's, which writes it as its role says.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Wiring {
    /// Inputs that an earlier phase filled.
    pub takes: Vec<Wire>,
    /// Outputs that a later phase reads.
    pub leaves: Vec<Wire>,
    /// Its steps, where it has some.
    pub schedule: Option<Schedule>,
    /// Room for adapters beside its weights: the slot's number, and what there is room for.
    pub adapter: Option<(u8, Adapter)>,
    /// The image of the request without which it does not run. What it would have left is then zeros.
    pub image: Option<usize>,
}

/// A port of a phase, and the slot it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    pub port: String,
    pub slot: String,
}

impl Wire {
    pub fn new(port: &str, slot: &str) -> Wire {
        Wire { port: port.to_string(), slot: slot.to_string() }
    }
}

/// What is compiled into one plan.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Program {
    pub phases: Vec<Phase>,
}

impl Phase {
    /// A phase of its own: all its ports are the host's.
    pub fn alone(graph: Graph) -> Phase {
        Phase { graph, wiring: Wiring::default(), chunk: None }
    }

    pub fn takes(mut self, port: &str, slot: &str) -> Phase {
        self.wiring.takes.push(Wire::new(port, slot));
        self
    }

    pub fn leaves(mut self, port: &str, slot: &str) -> Phase {
        self.wiring.leaves.push(Wire::new(port, slot));
        self
    }

    /// So many latent frames go through all layers together, if a number is given.
    pub fn chunked(mut self, frames: Option<usize>) -> Phase {
        self.chunk = frames;
        self
    }

    /// It has steps.
    pub fn stepped(mut self, schedule: Schedule) -> Phase {
        self.wiring.schedule = Some(schedule);
        self
    }

    /// It has room for adapters in a slot.
    pub fn with_adapter(mut self, slot: u8, adapter: Adapter) -> Phase {
        self.wiring.adapter = Some((slot, adapter));
        self
    }

    /// It runs for requests with this image alone.
    pub fn with_image(mut self, number: usize) -> Phase {
        self.wiring.image = Some(number);
        self
    }
}
