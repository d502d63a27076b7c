//! How long a clip is: as long as the plan's, or longer, in windows.

use clap::Args;
use zoetrope_model_spec::ltx::sizes::TIME;
use zoetrope_runtime::plan::Plan;

use super::ask::Ask;
use super::build::{Build, Shape};
use crate::failure::Failure;
use crate::windows::Windows;

/// The longest clip: a day. What is longer is a mistake.
const MOST_SECONDS: f64 = 86_400.0;

/// How many frames longer than a plan's clip a window may be that is proposed instead.
const MOST_LONGER: usize = 64;

/// The length of a clip.
#[derive(Args, Clone, Debug, Default)]
pub struct LengthArgs {
    /// How long the clip is; a plan that carries frames over makes longer clips than its own, in windows
    /// (docs/long-clips.md)
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = seconds)]
    seconds: Option<f64>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let fits = |x: &f64| *x > 0.0 && *x <= MOST_SECONDS;
    text.parse().ok().filter(fits).ok_or(format!("wanted seconds above 0, at most {MOST_SECONDS}"))
}

impl LengthArgs {
    /// Whether a request says how long its clip is.
    pub fn is_given(&self) -> bool {
        self.seconds.is_some()
    }

    /// What it asks of a plan.
    pub fn asks(&self) -> Option<Ask<'static>> {
        self.seconds.map(Ask::Length)
    }

    /// The windows of the clip that a plan makes.
    ///
    /// # Errors
    /// The plan makes no clip of this length; names the nearest one that it makes.
    pub fn windows(&self, plan: &Plan) -> Result<Windows, Failure> {
        let facts = &plan.facts;
        let Some(seconds) = self.seconds else { return Ok(Windows::one(facts)) };
        Windows::covering(facts, frames(plan, seconds)).ok_or_else(|| {
            if is_longer(plan, seconds) {
                return Failure::usage(too_long(plan, seconds));
            }
            let help = if facts.carried > 0 { "has shorter windows" } else { "makes shorter clips" };
            let one = Windows::one(facts);
            let least = format!("at least {:.2} s: {} frames", one.seconds(), one.size);
            Failure::usage(wrong(plan, seconds, &least, &format!("a plan of fewer frames {help}")))
        })
    }
}

/// Frames of a clip of so many seconds.
fn frames(plan: &Plan, seconds: f64) -> usize {
    (seconds * plan.facts.fps).round() as usize
}

/// Whether a clip of so many seconds is longer than the plan's own.
pub fn is_longer(plan: &Plan, seconds: f64) -> bool {
    frames(plan, seconds) > plan.facts.frames as usize
}

/// Why a plan without windows makes no clip of so many seconds, in words.
pub fn too_long(plan: &Plan, seconds: f64) -> String {
    let one = Windows::one(&plan.facts);
    let own = format!("{:.2} s, {} frames", one.seconds(), one.size);
    let help = "a target with carried = N makes longer clips, in windows: docs/long-clips.md";
    wrong(plan, seconds, &own, help)
}

fn wrong(plan: &Plan, seconds: f64, want: &str, help: &str) -> String {
    let (frames, fps) = (frames(plan, seconds), plan.facts.fps);
    format!(
        "plan {} makes no clip of {seconds} s\n  want  {want}\n  have  {frames} frames at {fps} fps\n  help  {help}",
        plan.name
    )
}

/// The build of a plan like another one that makes clips in windows: of the next length at which windows fit, and as many
/// frames carried over as that takes.
pub fn in_windows(plan: &Plan) -> Option<Build> {
    let of_plan = Shape::of_plan(&plan.facts);
    let lengths = (of_plan.frames..=of_plan.frames + MOST_LONGER).step_by(TIME);
    let of = |frames: usize| {
        (TIME + 1..=frames / 2).step_by(TIME).map(move |carried| {
            let build = Build::like(plan, &plan.facts.pipeline).sized(Some(Shape { frames, ..of_plan }));
            build.with(format!("carried = {carried}"))
        })
    };
    lengths.flat_map(of).find(|build| build.problems().is_empty())
}

#[cfg(test)]
mod tests {
    use zoetrope_runtime::plan::Facts;

    use super::super::ask;
    use super::*;

    #[test]
    fn a_length_is_possible_or_the_nearest_one_is_named() {
        let tiny = zoetrope_generated::PLANS[0];
        let with =
            |carried| Plan { facts: Facts { carried, fps: 25.0, ..tiny.facts.clone() }, ..tiny.clone() };
        let asked = |plan: &Plan, seconds| LengthArgs { seconds }.windows(plan);
        assert_eq!(asked(tiny, None).unwrap(), Windows::one(&tiny.facts));
        assert_eq!(asked(&with(0), Some(1.0)).unwrap().count, 1);
        let refused = asked(&with(0), Some(2.0)).unwrap_err().to_string();
        assert!(refused.contains("want  1.00 s, 25 frames") && refused.contains("carried = N"), "{refused}");
        assert_eq!(asked(&with(9), Some(30.0)).unwrap().frames, 750);
        for carried in [0, 9] {
            let refused = asked(&with(carried), Some(0.5)).unwrap_err().to_string();
            let words = ["at least 1.00 s: 25 frames", "have  13 frames", "shorter"];
            assert!(words.iter().all(|word| refused.contains(word)), "{refused}");
        }
    }

    #[test]
    fn a_longer_clip_is_an_ask_of_a_plan() {
        let tiny = zoetrope_generated::PLANS[0];
        let with = |carried| Plan { facts: Facts { carried, ..tiny.facts.clone() }, ..tiny.clone() };
        let asks = [Ask::Length(2.0)];
        assert!(ask::meets(tiny, &[Ask::Length(1.04)]) && !ask::wants_more(tiny, &[Ask::Prompt]));
        assert!(ask::meets(&with(9), &asks) && !ask::wants_more(&with(9), &[Ask::Prompt, asks[0]]));
        assert!(ask::wants_more(&with(9), &[Ask::Prompt, Ask::Length(1.04)]));
        // The demo's 24 frames a second.
        let refused = ask::check(tiny, &asks).unwrap_err().to_string();
        for words in ["carried = N", "'frames = 33'", "'carried = 9'", "res-custom"] {
            assert!(refused.contains(words), "{refused}");
        }
        // At no length do windows of such clips begin with a latent of sound.
        let odd = Plan { facts: Facts { fps: 23.976, ..tiny.facts.clone() }, ..tiny.clone() };
        assert!(!ask::check(&odd, &asks).unwrap_err().to_string().contains("cargo build"));
    }

    #[test]
    fn seconds_are_a_number() {
        assert_eq!(seconds("30"), Ok(30.0));
        for wrong in ["", "0", "-1", "nan", "inf", "1e9", "30s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
