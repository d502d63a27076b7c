//! Whether a video is the one that a plan makes a part of anew.

use std::path::Path;

use zoetrope_model_spec::ltx::sizes::{SPACE, TIME};
use zoetrope_runtime::plan::Plan;

use crate::failure::Failure;
use crate::media::Footage;
use crate::terminal;

/// How far rates may be apart that are the same: 23.976 and 24 are.
const SAME_RATE: f64 = 0.0015;

/// The nearest numbers of frames that a plan may have: at most `frames`, and more.
pub(super) fn legal_frames(frames: usize) -> [usize; 2] {
    let below = frames.saturating_sub(1) / TIME * TIME + 1;
    [below, below + TIME]
}

/// Whether a video is that of the plan's clip, or a part of it that is made `longer`. Says what of it is left out.
///
/// # Errors
/// Another frame rate, size or length, with the nearest plan that would fit.
pub(super) fn check(path: &Path, footage: &Footage, plan: &Plan, longer: bool) -> Result<(), Failure> {
    let (path, facts) = (path.display(), &plan.facts);
    let refused = |have: String, want: String, help: String| {
        let name = &plan.name;
        Err(Failure::usage(format!(
            "{path} does not fit plan {name}\n  want  {want}\n  have  {have}\n  help  {help}"
        )))
    };
    if (footage.fps() / facts.fps - 1.0).abs() > SAME_RATE {
        let have = (footage.fps() * 1000.0).round() / 1000.0;
        return refused(
            format!("{have} frames a second"),
            format!("{} frames a second", facts.fps),
            format!("build a plan with fps = {have}, or give the video another rate"),
        );
    }
    let ((width, height), (wide, high)) = (footage.size(), (facts.width as usize, facts.height as usize));
    let [near_width, near_height] = [width, height].map(|side| ((side + SPACE / 2) / SPACE).max(1) * SPACE);
    if width.abs_diff(wide).max(height.abs_diff(high)) >= SPACE {
        return refused(
            format!("{width}x{height}"),
            format!("{wide}x{high}"),
            format!("build a plan with width = {near_width} and height = {near_height}, the nearest size"),
        );
    }
    if (width, height) != (wide, high) {
        terminal::note(format_args!("{path} has {width}x{height}: it is scaled to cover {wide}x{high}"));
    }
    let (have, want) = (footage.total().unwrap_or(footage.frames()), facts.frames as usize);
    let more = if footage.total().is_none() && have > want { " or more" } else { "" };
    let near = legal_frames(have);
    let help = match longer {
        true => "a plan of more frames makes it longer".to_string(),
        false if have < want => format!(
            "build a plan of {} or {} frames, the nearest; or make it longer: --extend after",
            near[0], near[1]
        ),
        false => {
            format!("build a plan of {} or {} frames, the nearest, or cut the video", near[0], near[1])
        }
    };
    let fits = match longer {
        true => have < want,
        false => (want..want + TIME).contains(&have),
    };
    if !fits {
        let want = if longer { format!("fewer than {want} frames") } else { format!("{want} frames") };
        return refused(format!("{have}{more} frames"), want, help);
    }
    if have > want {
        terminal::note(format_args!("{path} has {have} frames: the last {} are left out", have - want));
    }
    Ok(())
}
