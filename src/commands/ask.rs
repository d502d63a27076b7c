//! What a request asks of a plan, and whether the plan does it: the roles of its ports say so.

use std::collections::BTreeSet;
use std::path::Path;

use zoetrope_runtime::plan::{Levels, Phase, Plan, Port, Role};

use super::build::{Build, Shape};
use super::decoder::Decoder;
use super::length;
use crate::enhance;
use crate::failure::Failure;

/// Something that a request asks for, and that not every plan does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ask<'a> {
    /// A clip from a prompt.
    Prompt,
    /// A better prompt, which the text encoder writes, and whether it is shown an image.
    Enhancement { image: bool },
    /// This clip, larger or with more frames.
    Upscaling(&'a Path),
    /// Whether there is an image for the first frame, and how many there are for others.
    Images { first: bool, others: usize },
    /// A clip for a sound.
    Sound,
    /// This video, kept in part, or made longer.
    Video { path: &'a Path, longer: bool },
    /// A span of time of a given clip, made anew.
    Part,
    /// So many videos that the clip follows.
    References(usize),
    /// How strongly it attends to them.
    AttentionStrength,
    /// The same for each place.
    ReferenceMask,
    /// A frame after every step.
    Previews,
    /// Frames that this kind of decoder makes.
    Decoder(Decoder),
    /// A clip of so many seconds.
    Length(f64),
    /// What only guided steps have, by its option.
    Guidance(&'static str),
}

fn inputs(plan: &Plan) -> impl Iterator<Item = &Port> {
    plan.phases.iter().flat_map(|phase| phase.inputs.iter())
}

fn takes(plan: &Plan, is: impl Fn(&Role) -> bool) -> bool {
    inputs(plan).any(|port| is(&port.role))
}

/// Whether a plan hears a prompt: 0 is what the clip shall be, 1 what it shall not be.
pub fn hears(plan: &Plan, prompt: u32) -> bool {
    takes(plan, |role| *role == Role::Tokens { prompt })
}

/// Whether a request says in how many steps a phase denoises: so it is where it is guided.
pub fn has_open_steps(phase: &Phase) -> bool {
    phase.schedule.as_ref().is_some_and(|schedule| matches!(schedule.levels, Levels::Shifted { .. }))
}

/// The numbers of the images that a plan takes; 0 is that of the first frame.
pub fn images(plan: &Plan) -> BTreeSet<u32> {
    let number = |port: &Port| match port.role {
        Role::Image { number } => Some(number),
        _ => None,
    };
    inputs(plan).filter_map(number).collect()
}

fn references(plan: &Plan) -> usize {
    let number = |port: &Port| match port.role {
        Role::Reference { number, .. } => Some(number),
        _ => None,
    };
    inputs(plan).filter_map(number).collect::<BTreeSet<_>>().len()
}

/// Whether a request says of each place of a reference how strongly the clip attends to it.
fn has_mask(plan: &Plan) -> bool {
    inputs(plan).any(|port| matches!(port.role, Role::ReferenceAttention { .. }) && port.shape.len() > 1)
}

/// The port of a request's video.
pub fn footage(plan: &Plan) -> Option<&Port> {
    inputs(plan).find(|port| port.role == Role::Footage)
}

/// Whether a plan takes sound.
pub fn sound(plan: &Plan) -> bool {
    takes(plan, |role| *role == Role::Spectrogram)
}

fn part(plan: &Plan) -> bool {
    takes(plan, |role| matches!(role, Role::RegionStart { .. }))
}

/// How a plan is called in refusals.
pub fn named(plan: &Plan) -> String {
    format!("plan {} ({})", plan.name, plan.facts.pipeline)
}

impl Ask<'_> {
    /// Whether a plan does it.
    fn is_met(self, plan: &Plan) -> bool {
        match self {
            Ask::Prompt => hears(plan, 0),
            Ask::Enhancement { image } => {
                enhance::room(plan).is_some() && (!image || enhance::sight(plan).is_some())
            }
            Ask::Upscaling(_) => footage(plan).is_some() && !hears(plan, 0),
            Ask::Images { first, others } => {
                let room = images(plan);
                let replaced = first && room.contains(&0);
                let keyframes = room.iter().filter(|number| **number > 0).count();
                others + usize::from(first && !replaced) <= keyframes
            }
            Ask::Sound => sound(plan),
            Ask::Video { .. } => footage(plan).is_some(),
            Ask::Part => part(plan),
            Ask::References(count) => references(plan) == count,
            Ask::AttentionStrength => takes(plan, |role| matches!(role, Role::ReferenceAttention { .. })),
            Ask::ReferenceMask => has_mask(plan),
            Ask::Previews => plan.results().contains(&Role::Preview),
            Ask::Decoder(decoder) => Decoder::of(plan) == Some(decoder),
            Ask::Length(seconds) => !length::is_longer(plan, seconds) || plan.facts.carried > 0,
            Ask::Guidance(_) => plan.phases.iter().any(has_open_steps),
        }
    }

    /// What the plan does instead, in words, and the build of one that does it, where there is one.
    fn refused(self, plan: &Plan) -> (String, Option<Build>) {
        let guided = plan.phases.iter().any(has_open_steps);
        let of = |distilled: &'static str, dev: &'static str| {
            Build::like(plan, if guided { dev } else { distilled })
        };
        let has = |what: &str| format!("{} {what}", named(plan));
        let (what, build) = match self {
            Ask::Length(seconds) => return (length::too_long(plan, seconds), length::in_windows(plan)),
            Ask::Decoder(decoder) => {
                let build = match Decoder::of(plan) {
                    Some(_) => Build::same(plan, Shape::of_plan(&plan.facts)),
                    None => of("distilled", "two-stage"),
                };
                let what = match decoder {
                    Decoder::Tiny => has("has no tiny decoder"),
                    Decoder::Full => has("has no full decoder"),
                };
                (what, build.with(decoder.line()))
            }
            Ask::Prompt => (has("takes no prompt"), of("distilled", "two-stage")),
            Ask::Enhancement { image } => {
                let what = match enhance::room(plan) {
                    None => has("has no phases that enhance a prompt"),
                    Some(_) => has("has no phase that shows an image to the text encoder"),
                };
                (what, Build::again(plan, "ZOETROPE_ENHANCE", if image { "image" } else { "1" }))
            }
            Ask::Upscaling(path) => {
                let build = Build::like(plan, "upscale");
                let twice =
                    |shape: Shape| Shape { width: 2 * shape.width, height: 2 * shape.height, ..shape };
                (has("upscales no clip"), build.sized(Shape::of_file(path).map(twice)))
            }
            Ask::Images { first, others } => images_refused(plan, first, others),
            Ask::Sound => (has("takes no sound"), Build::like(plan, "audio-to-video")),
            Ask::Video { path, longer } => {
                let build = of("retake", "retake-dev");
                let shape = Shape::of_file(path).map(|shape| if longer { shape.longer() } else { shape });
                (has("takes no video"), build.sized(shape))
            }
            Ask::Part => (has("takes no part of a clip"), of("retake", "retake-dev")),
            Ask::References(count) => {
                let what = match references(plan) {
                    0 => has("takes no reference"),
                    have => format!(
                        "the number of references does not fit {}\n  want  {have}\n  have  {count}",
                        named(plan)
                    ),
                };
                (what, of_references(plan, count, ""))
            }
            Ask::AttentionStrength => {
                let what = format!("the references of {} have no attention strength", named(plan));
                (what, of_references(plan, references(plan).max(1), ", attention = true"))
            }
            Ask::ReferenceMask => {
                let what = format!("the references of {} have no attention mask", named(plan));
                (what, of_references(plan, references(plan).max(1), ", mask = true"))
            }
            Ask::Previews => (has("makes no previews"), Build::again(plan, "ZOETROPE_PREVIEW", "1")),
            Ask::Guidance(option) => {
                let what = format!("{option} is for guided plans, and {} is not guided", named(plan));
                (what, Build::like(plan, "two-stage"))
            }
        };
        (what, Some(build))
    }
}

/// Of a plan that takes no images, or too few.
fn images_refused(plan: &Plan, first: bool, others: usize) -> (String, Build) {
    let room = images(plan);
    let wanted = others + usize::from(first && !room.contains(&0));
    if !plan.results().contains(&Role::Video) || room.is_empty() {
        let guided = hears(plan, 1);
        let build = Build::like(plan, if guided { "two-stage" } else { "distilled" });
        let build = if others > 0 { build.with(format!("keyframes = {others}")) } else { build };
        return (format!("{} takes no image", named(plan)), build);
    }
    let have = room.iter().filter(|number| **number > 0).count();
    let what = format!(
        "{} has room for {have} keyframes\n  want  {have} images for other frames than the first one\n  have  {wanted}",
        named(plan)
    );
    (what, Build::again(plan, "ZOETROPE_KEYFRAMES", &wanted.to_string()))
}

/// A plan that follows so many references, which the published adapters want in half the size.
/// `more` are further fields of each.
fn of_references(plan: &Plan, count: usize, more: &str) -> Build {
    let build = Build::like(plan, "ic-lora");
    if count == 1 && more.is_empty() {
        return build;
    }
    let one = format!("{{ downscale = 2{more} }}");
    build.with(format!("stage = [{{ references = [{}] }}]", vec![one; count].join(", ")))
}

/// Whether a plan does all that a request asks for.
pub fn meets(plan: &Plan, asks: &[Ask<'_>]) -> bool {
    asks.iter().all(|ask| ask.is_met(plan))
}

/// Whether a plan wants something that a request does not bring, or was made for what it does not ask.
pub fn wants_more(plan: &Plan, asks: &[Ask<'_>]) -> bool {
    let video = asks.iter().any(|ask| matches!(ask, Ask::Video { .. } | Ask::Upscaling(_)));
    let brought =
        asks.iter().map(|ask| if let Ask::References(count) = ask { *count } else { 0 }).sum::<usize>();
    let longer = asks.iter().any(|ask| matches!(ask, Ask::Length(s) if length::is_longer(plan, *s)));
    let tiny = Decoder::of(plan) == Some(Decoder::Tiny);
    (hears(plan, 0) && !asks.contains(&Ask::Prompt))
        || (tiny && !asks.contains(&Ask::Decoder(Decoder::Tiny)))
        || (plan.facts.carried > 0 && !longer)
        || (footage(plan).is_some() && !video)
        || (sound(plan) && !video && !asks.contains(&Ask::Sound))
        || (has_mask(plan) && !asks.contains(&Ask::ReferenceMask))
        || (part(plan) && !asks.contains(&Ask::Part))
        || references(plan) > brought
}

/// Whether a plan does all that a request asks for.
///
/// # Errors
/// Names the first thing that it does not, and the build of a plan that does it.
pub fn check(plan: &Plan, asks: &[Ask<'_>]) -> Result<(), Failure> {
    match asks.iter().find(|ask| !ask.is_met(plan)) {
        None => Ok(()),
        Some(ask) => {
            let (what, build) = ask.refused(plan);
            Err(Failure::usage(build.map_or(what.clone(), |build| format!("{what}{build}"))))
        }
    }
}
