//! How long a clip is: as long as the plan's, or longer, in windows.

use clap::Args;
use zoetrope_runtime::plan::Plan;

use crate::failure::Failure;
use crate::windows::Windows;

/// The longest clip: a day. What is longer is a mistake.
const MOST_SECONDS: f64 = 86_400.0;

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

    /// The windows of the clip that a plan makes.
    ///
    /// # Errors
    /// The plan makes no clip of this length; names the nearest one that it makes.
    pub fn windows(&self, plan: &Plan) -> Result<Windows, Failure> {
        let facts = &plan.facts;
        let Some(seconds) = self.seconds else { return Ok(Windows::one(facts)) };
        let frames = (seconds * facts.fps).round() as usize;
        Windows::covering(facts, frames).ok_or_else(|| {
            let one = Windows::one(facts);
            let (least, fps) = (one.size, facts.fps);
            let (want, help) = if facts.carried == 0 {
                let own = format!("{:.2} s, {least} frames", one.seconds());
                (own, "a target with carried = N makes longer clips, in windows: docs/long-clips.md")
            } else {
                let nearest = format!("at least {:.2} s, {least} frames: one window", one.seconds());
                (nearest, "a plan of fewer frames has shorter windows")
            };
            Failure::usage(format!(
                "plan {} makes no clip of {seconds} s\n  want  {want}\n  have  {frames} frames at {fps} fps\n  help  {help}",
                plan.name
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use zoetrope_runtime::plan::Facts;

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
        let refused = asked(&with(9), Some(0.5)).unwrap_err().to_string();
        assert!(refused.contains("at least 1.00 s") && refused.contains("have  13 frames"), "{refused}");
    }

    #[test]
    fn seconds_are_a_number() {
        assert_eq!(seconds("30"), Ok(30.0));
        for wrong in ["", "0", "-1", "nan", "inf", "1e9", "30s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
