//! Suites: plans of one model that run one after the other in one memory, and where their constants lie in it.

use std::fmt::{self, Write};

use super::{Constant, List, Origin, Phase, Plan, Text, bytes_text};

/// Plans of one model that share memory. Weights that are the same bytes are one constant of the suite, and stay where they
/// are from one plan to the next, where there is room.
///
/// Only places differ from those of the plans alone: launches name constants by their numbers in the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// In the order of the binary.
    pub members: List<Member>,
    /// The memory of the card that it was made for, if that was said.
    pub vram: Option<u64>,
    /// All memory that they need, one after the other: what the largest of them takes alone, or up to what the card has, or a
    /// budget that all of them have.
    pub peak_bytes: u64,
    /// By member and member, what a run of the second one brings at most behind a run of the first one: bytes of constants that
    /// have places of their own.
    pub brought: List<u64>,
}

/// A plan of a suite.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The plan's name.
    pub plan: Text,
    /// By place in [`Plan::constants`], the number of each constant in the suite.
    pub constants: List<u32>,
    /// In the order of the plan.
    pub phases: List<Placement>,
}

/// Where the constants of a phase lie in the memory of a suite. The fields are those of [`Phase`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    pub places: List<u64>,
    pub kept: List<u32>,
    /// With those that stay for other members.
    pub weight_bytes: u64,
    pub table_bytes: u64,
}

/// A plan as a member of a suite: the same launches, other places.
#[derive(Clone, Debug)]
pub struct Placed {
    pub plan: Plan,
    /// By place in [`Plan::constants`], the number of each constant in the suite.
    pub constants: List<u32>,
}

impl Placed {
    /// A plan that shares its memory with no other one.
    pub fn alone(plan: &Plan) -> Placed {
        Placed { plan: plan.clone(), constants: (0..plan.constants.len() as u32).collect() }
    }
}

impl Suite {
    /// The place of a plan among the members.
    pub fn position(&self, plan: &Plan) -> Option<usize> {
        self.members.iter().position(|member| member.plan == plan.name)
    }

    /// A plan with the places that it has here, and the memory of all members as its own; `None` where it is no member. The
    /// budget is not the plan's any more.
    pub fn placed(&self, plan: &Plan) -> Option<Placed> {
        let Member { constants, phases, .. } = &self.members[self.position(plan)?];
        if phases.len() != plan.phases.len() || constants.len() != plan.constants.len() {
            return None;
        }
        let placed = |(phase, at): (&Phase, &Placement)| {
            let Placement { places, kept, weight_bytes, table_bytes } = at.clone();
            Phase { places, kept, weight_bytes, table_bytes, ..phase.clone() }
        };
        let mut all = plan.clone();
        all.phases = plan.phases.iter().zip(phases.iter()).map(placed).collect();
        (all.peak_bytes, all.facts.vram) = (self.peak_bytes, None);
        Some(Placed { plan: all, constants: constants.clone() })
    }

    /// What a run of one member brings at most behind a run of another one, or of itself, in bytes.
    pub fn brought_bytes(&self, from: usize, to: usize) -> u64 {
        self.brought.get(from * self.members.len() + to).copied().unwrap_or(0)
    }

    /// Bytes of the weights of these plans, each once, and of those that several of them have.
    pub fn weight_bytes(&self, plans: &[&Plan]) -> (u64, u64) {
        let count = self.members.iter().flat_map(|m| m.constants.iter()).max().map_or(0, |n| *n as usize + 1);
        let mut held = vec![(0, 0); count];
        for plan in plans {
            let Some(member) = self.position(plan).map(|at| &self.members[at]) else { continue };
            for (constant, number) in plan.constants.iter().zip(member.constants.iter()) {
                if is_weight(constant) {
                    let (times, bytes) = &mut held[*number as usize];
                    (*times, *bytes) = (*times + 1, constant.bytes());
                }
            }
        }
        let sum = |least: u32| held.iter().filter(|(times, _)| *times >= least).map(|(_, bytes)| bytes).sum();
        (sum(1), sum(2))
    }

    /// The suite as text: consequences first, then what every phase of its plans holds.
    pub fn text(&self, plans: &[&Plan]) -> String {
        let mut out = String::new();
        self.write_text(plans, &mut out).expect("writing to a string does not fail");
        out
    }

    fn write_text(&self, plans: &[&Plan], out: &mut String) -> fmt::Result {
        let (all, shared) = self.weight_bytes(plans);
        let (peak, all, shared) = (bytes_text(self.peak_bytes), bytes_text(all), bytes_text(shared));
        writeln!(
            out,
            "suite of {} plans   memory {peak}   weights {all}, of which {shared} are shared",
            self.members.len()
        )?;
        for (i, from) in self.members.iter().enumerate() {
            for (j, to) in self.members.iter().enumerate() {
                let bytes = bytes_text(self.brought_bytes(i, j));
                writeln!(out, "{} behind {}   brings {bytes} at most", to.plan, from.plan)?;
            }
        }
        for member in self.members.iter() {
            let Some(plan) = plans.iter().find(|plan| plan.name == member.plan) else { continue };
            for (phase, at) in plan.phases.iter().zip(member.phases.iter()) {
                let (weights, tables) = (bytes_text(at.weight_bytes), bytes_text(at.table_bytes));
                let alone = bytes_text(phase.weight_bytes);
                writeln!(
                    out,
                    "{} {}   weights {weights} (alone {alone})   tables {tables}   arena {}",
                    member.plan,
                    phase.name,
                    bytes_text(phase.arena_bytes)
                )?;
            }
        }
        Ok(())
    }
}

fn is_weight(constant: &Constant) -> bool {
    matches!(constant.origin, Origin::Weight { .. })
}
