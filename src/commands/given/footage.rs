//! Whether a video is the one that a plan makes a part of anew, or enlarges.

use std::path::Path;

use zoetrope_model_spec::ltx::sizes::{SPACE, TIME};
use zoetrope_runtime::plan::Plan;

use super::super::build::{Build, Shape};
use crate::failure::Failure;
use crate::media::Footage;
use crate::terminal;

/// How far rates may be apart that are the same: 23.976 and 24 are.
const SAME_RATE: f64 = 0.0015;

/// Whether two rates, in frames a second, are the same.
pub(in crate::commands) fn same_rate(have: f64, want: f64) -> bool {
    (have / want - 1.0).abs() <= SAME_RATE
}

/// The nearest numbers of frames that a plan may have: at most `frames`, and more.
pub(super) fn legal_frames(frames: usize) -> [usize; 2] {
    let below = frames.saturating_sub(1) / TIME * TIME + 1;
    [below, below + TIME]
}

/// The clip that a plan like this one makes of a video of another shape than `takes`.
fn made_of(plan: &Plan, takes: Shape, video: Shape) -> Shape {
    let clip = Shape::of_plan(&plan.facts);
    let side = |of: usize, takes: usize, clip: usize| of * clip / takes.max(1);
    let times = (clip.frames.max(2) - 1) / (takes.frames.max(2) - 1);
    Shape {
        width: side(video.width, takes.width, clip.width),
        height: side(video.height, takes.height, clip.height),
        frames: (video.frames - 1) * times + 1,
        fps: video.fps * times as f64,
    }
}

/// Whether a video has the shape that a run takes, or is a part of it that is made `longer`. Says what of it is left out.
///
/// # Errors
/// Another frame rate, size or length, with the build of the nearest plan that would fit.
pub(super) fn check(
    path: &Path,
    footage: &Footage,
    plan: &Plan,
    takes: Shape,
    longer: bool,
) -> Result<(), Failure> {
    let path = path.display();
    let (width, height) = footage.size();
    let (have, want) = (footage.total().unwrap_or(footage.frames()), takes.frames);
    let video = Shape { width, height, frames: have, fps: footage.fps() }.legal();
    // What is made longer keeps the plan's length.
    let video = if longer { Shape { frames: takes.frames, ..video } } else { video };
    let refused = |have: String, want: String, help: &str| {
        let name = &plan.name;
        let build = Build::same(plan, made_of(plan, takes, video));
        Err(Failure::usage(format!(
            "{path} does not fit plan {name}\n  want  {want}\n  have  {have}\n  help  {help}{build}"
        )))
    };
    if !same_rate(footage.fps(), takes.fps) {
        return refused(
            format!("{} frames a second", video.fps),
            format!("{} frames a second", takes.fps),
            "give the video another rate, or build a plan for its own:",
        );
    }
    let (wide, high) = (takes.width, takes.height);
    if width.abs_diff(wide).max(height.abs_diff(high)) >= SPACE {
        return refused(
            format!("{width}x{height}"),
            format!("{wide}x{high}"),
            "build a plan of the nearest size:",
        );
    }
    if (width, height) != (wide, high) {
        terminal::note(format_args!("{path} has {width}x{height}: it is scaled to cover {wide}x{high}"));
    }
    let more = if footage.total().is_none() && have > want { " or more" } else { "" };
    let [below, above] = legal_frames(have);
    let help = match longer {
        true => "a plan of more frames makes it longer".to_string(),
        false if have < want => {
            format!("{below} or {above} frames are the nearest; or make it longer: --extend after")
        }
        false => format!("{below} or {above} frames are the nearest; or cut the video"),
    };
    let fits = match longer {
        true => have < want,
        false => (want..want + TIME).contains(&have),
    };
    if !fits {
        let want = if longer { format!("fewer than {want} frames") } else { format!("{want} frames") };
        return refused(format!("{have}{more} frames"), want, &help);
    }
    if have > want {
        terminal::note(format_args!("{path} has {have} frames: the last {} are left out", have - want));
    }
    Ok(())
}
