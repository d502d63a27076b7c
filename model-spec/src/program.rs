//! A program: phases in order, and the slots through which one phase's results reach another.

use crate::lang::Graph;

/// A phase and its wiring. A port that no wire names is the host's.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    pub graph: Graph,
    /// Inputs that an earlier phase filled.
    pub takes: Vec<Wire>,
    /// Outputs that a later phase reads.
    pub leaves: Vec<Wire>,
    /// Latent frames that go through all layers together; `None` for all of them.
    pub chunk: Option<usize>,
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
        Phase { graph, takes: Vec::new(), leaves: Vec::new(), chunk: None }
    }

    pub fn takes(mut self, port: &str, slot: &str) -> Phase {
        self.takes.push(Wire::new(port, slot));
        self
    }

    pub fn leaves(mut self, port: &str, slot: &str) -> Phase {
        self.leaves.push(Wire::new(port, slot));
        self
    }

    /// So many latent frames go through all layers together, if a number is given.
    pub fn chunked(mut self, frames: Option<usize>) -> Phase {
        self.chunk = frames;
        self
    }
}
