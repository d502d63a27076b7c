//! A better prompt, which the text encoder writes before a run (docs/model/text.md 5, docs/enhancement.md).

mod chat;
mod sample;
mod turns;

use std::collections::BTreeMap;

use zoetrope_runtime::plan::{Phase, Plan, Role};
use zoetrope_runtime::{Error, Executor, Result};

pub use chat::{END_OF_TURN, EOS, SYSTEM, asked, cleaned};
pub use sample::Sampler;

use crate::session::{Session, Watch};
use crate::tensors::Tensor;
use turns::Turns;

/// The most tokens that are written: then the answer ends, wherever it is.
pub const MOST_TOKENS: usize = 512;

/// The two phases of a plan that write.
struct Phases<'p> {
    read: &'p Phase,
    write: &'p Phase,
}

impl<'p> Phases<'p> {
    fn of(plan: &'p Plan) -> Option<Phases<'p>> {
        let with = |role: Role| {
            let has = |phase: &&Phase| phase.inputs.iter().any(|port| port.role == role);
            plan.phases.iter().find(has)
        };
        Some(Phases { read: with(Role::Chat)?, write: with(Role::Token)? })
    }
}

/// Tokens that a chat may have in a plan, what is asked and what is written together; `None` where it writes nothing.
pub fn room(plan: &Plan) -> Option<usize> {
    let port = Phases::of(plan)?.read.inputs.iter().find(|port| port.role == Role::Chat)?;
    port.shape.first().map(|rows| *rows as usize)
}

/// What the text encoder writes on: after the tokens `ids`, token after token, until `choose` has none for the logits of
/// the next one, or there is no more room, or there are [`MOST_TOKENS`].
///
/// # Errors
/// The plan writes nothing, or has no room for `ids`; logits that are not finite; whatever stops a phase.
pub fn written<'a, E: Executor<'a>>(
    session: &mut Session<E>,
    ids: &[i32],
    choose: &mut dyn FnMut(&[f32]) -> Option<i32>,
    watch: &mut dyn Watch,
) -> Result<Vec<i32>> {
    let plan = session.plan();
    let found = Phases::of(plan).zip(room(plan)).zip(ids.split_last());
    let Some(((Phases { read, write }, rows), (last, before))) =
        found.filter(|_| room(plan) >= Some(ids.len()))
    else {
        return Err(Error::NoPhase(format!("that writes on after {} tokens", ids.len())));
    };
    // Every turn takes a token, the first one the last of what is asked.
    let padded = |values: Vec<i32>| {
        let mut values = values;
        values.resize(rows, 0);
        Tensor::int(&[rows], values)
    };
    let inputs: BTreeMap<String, Tensor> = read
        .inputs
        .iter()
        .filter_map(|port| match port.role {
            Role::Chat => Some((port.name.to_string(), padded(before.to_vec()))),
            Role::ChatMask => Some((port.name.to_string(), padded(vec![1; before.len()]))),
            _ => None,
        })
        .collect();
    session.run(&read.name, &inputs, &[], watch)?;
    let most = MOST_TOKENS.min(rows - before.len());
    let mut turns = Turns::new(write, (*last, before.len()), most, choose, watch);
    session.replay(write, &mut turns)?;
    Ok(turns.written())
}
