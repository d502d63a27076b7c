//! A better prompt, which the text encoder writes before a run (docs/model/text.md 5, docs/enhancement.md).

mod chat;
mod sample;
mod turns;

use std::collections::BTreeMap;

use zoetrope_runtime::plan::{Phase, Plan, Port, Role};
use zoetrope_runtime::{Error, Executor, Result};

pub use chat::{END_OF_TURN, EOS, SYSTEM, SYSTEM_IMAGE, asked, asked_of_image, cleaned};
pub use sample::Sampler;

use crate::run::filled;
use crate::session::{Session, Watch};
use crate::tensors::Tensor;
use turns::Turns;

/// The most tokens that are written: then the answer ends, wherever it is.
pub const MOST_TOKENS: usize = 512;

/// The phases of a plan that write.
struct Phases<'p> {
    /// Where it can be shown an image.
    see: Option<&'p Phase>,
    read: &'p Phase,
    write: &'p Phase,
}

impl<'p> Phases<'p> {
    fn of(plan: &'p Plan) -> Option<Phases<'p>> {
        let with = |role: Role| plan.phases.iter().find(|phase| port(&phase.inputs, &role).is_some());
        Some(Phases { see: with(Role::ChatImage), read: with(Role::Chat)?, write: with(Role::Token)? })
    }
}

fn port<'p>(ports: &'p [Port], role: &Role) -> Option<&'p Port> {
    ports.iter().find(|port| port.role == *role)
}

/// Tokens that a chat may have in a plan, what is asked and what is written together; `None` where it writes nothing.
pub fn room(plan: &Plan) -> Option<usize> {
    let port = port(&Phases::of(plan)?.read.inputs, &Role::Chat)?;
    port.shape.first().map(|rows| *rows as usize)
}

/// How a plan shows an image to the text encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Pixels in a row.
    pub width: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Tokens that the image becomes.
    pub tokens: usize,
}

/// How a plan shows an image; `None` where it cannot.
pub fn sight(plan: &Plan) -> Option<Sight> {
    let see = Phases::of(plan)?.see?;
    let [.., height, width] = port(&see.inputs, &Role::ChatImage)?.shape[..] else { return None };
    let tokens = *see.outputs.first()?.shape.first()?;
    Some(Sight { width: width as usize, height: height as usize, tokens: tokens as usize })
}

/// What the text encoder is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The tokens, with any others in the places of the image's.
    pub ids: Vec<i32>,
    /// The place of the image's first token, and its pixels, [3, height, width] in −1..1 ([`Sight`]).
    pub image: Option<(usize, Tensor)>,
}

/// What the text encoder writes on: after what it is asked, token after token, until `choose` has none for the logits of
/// the next one, or there is no more room, or there are [`MOST_TOKENS`].
///
/// # Errors
/// The plan writes nothing, has no room for so many tokens, or cannot show the image; logits that are not finite; whatever
/// stops a phase.
pub fn written<'a, E: Executor<'a>>(
    session: &mut Session<E>,
    asked: &Asked,
    choose: &mut dyn FnMut(&[f32]) -> Option<i32>,
    watch: &mut dyn Watch,
) -> Result<Vec<i32>> {
    let plan = session.plan();
    let (ids, sight) = (&asked.ids, sight(plan));
    let image = asked.image.as_ref().map(|(first, _)| *first..first + sight.map_or(0, |sight| sight.tokens));
    let shown = image.as_ref().is_none_or(|image| sight.is_some() && image.end < ids.len());
    let found = Phases::of(plan).zip(room(plan)).zip(ids.split_last());
    let Some(((Phases { see, read, write }, rows), (last, before))) =
        found.filter(|_| room(plan) >= Some(ids.len()) && shown)
    else {
        let image = if image.is_some() { " and an image" } else { "" };
        return Err(Error::NoPhase(format!("that writes on after {} tokens{image}", ids.len())));
    };
    if let (Some(see), Some((_, pixels))) = (see, &asked.image)
        && let Some(port) = port(&see.inputs, &Role::ChatImage)
    {
        let inputs = BTreeMap::from([(port.name.to_string(), pixels.clone())]);
        session.run(&see.name, &inputs, &[], watch)?;
    }
    let image = image.unwrap_or_default();
    let of_place = |value: &dyn Fn(usize) -> usize| {
        Some(Tensor::int(&[rows], (0..rows).map(|place| value(place) as i32).collect()))
    };
    // Every turn takes a token, the first one the last of what is asked.
    let padded = |mut values: Vec<i32>| {
        values.resize(rows, 0);
        Some(Tensor::int(&[rows], values))
    };
    let value = |port: &Port| match port.role {
        Role::Chat => padded(before.to_vec()),
        Role::ChatMask => padded(vec![1; before.len()]),
        Role::ChatRows => {
            of_place(&|place| if image.contains(&place) { rows + place - image.start } else { place })
        }
        Role::ChatUntil => of_place(&|place| if image.contains(&place) { image.end - 1 } else { place }),
        // Nobody reads the tokens of an image that there is not.
        _ => (port.slot.is_some() && image.is_empty()).then(|| filled(port, 0.0)),
    };
    let inputs = read.inputs.iter().filter_map(|port| Some((port.name.to_string(), value(port)?)));
    session.run(&read.name, &inputs.collect(), &[], watch)?;
    let most = MOST_TOKENS.min(rows - before.len());
    let mut turns = Turns::new(write, (*last, before.len()), most, choose, watch);
    session.replay(write, &mut turns)?;
    Ok(turns.written())
}
