//! What a target may say of windows, of which longer clips are made.

use super::Target;
use crate::ltx::config::Enlarges;
use crate::ltx::pass_input::PerStream;
use crate::ltx::recipe::{Item, Stage, StreamRole};
use crate::ltx::sizes::{Size, TIME};

/// The longest windows that are looked at for one that would do, in frames.
const MOST_APART: usize = 1 << 11;

/// The fewest frames that are carried over: with one alone nothing would say how things move.
const LEAST: usize = TIME + 1;

impl Target {
    /// Why its clips cannot be made in windows, where they shall be; of a size that is legal otherwise.
    pub(super) fn windows_problem(&self) -> Option<String> {
        let (carried, size) = (self.recipe.carried(), &self.size);
        if carried == 0 {
            return None;
        }
        let makes = |role: StreamRole| role == StreamRole::Denoised;
        let takes = |stage: &Stage| {
            let PerStream { video, audio } = stage.roles;
            makes(video)
                && (makes(audio) || audio == StreamRole::Frozen)
                && stage.items.contains(&Item::FirstFrame)
        };
        if !self.recipe.stages.iter().all(takes) {
            return Some(format!(
                "carried is for pipelines that make a video, with its sound or for a given one, and take an image for the first \
                 frame; {} is none",
                self.recipe.name
            ));
        }
        if self.recipe.enlargements(0).any(|by| by == Enlarges::TimeX2) {
            let upscaler = Enlarges::TimeX2.name();
            return Some(format!(
                "carried is for stages that have all frames of the clip; one before the {upscaler} upscaler has half of them"
            ));
        }
        // A frame is in two windows at most.
        let most = (size.frames / 2).saturating_sub(1) / TIME * TIME + 1;
        // A given sound is cut anew for every window, wherever that begins.
        let sound = self.recipe.stages.iter().any(|stage| makes(stage.roles.audio));
        let fits = |carried: usize| !sound || size.windows_keep_time(carried);
        let legal: Vec<usize> = (LEAST..=most).step_by(TIME).filter(|carried| fits(*carried)).collect();
        if legal.contains(&carried) {
            return None;
        }
        let (below, above) = legal.split_at(legal.partition_point(|legal| *legal < carried));
        let near = match (below.last(), above.first()) {
            (Some(below), Some(above)) => format!("the nearest are {below} and {above}"),
            (Some(one), None) | (None, Some(one)) => format!("the nearest is {one}"),
            (None, None) => self.wider(),
        };
        let (frames, fps) = (size.frames, size.fps);
        Some(format!(
            "carried is {carried}; windows of {frames} frames at {fps} fps carry over 8k + 1 frames, {LEAST} to half of \
             them, and begin with a latent of sound: {near}"
        ))
    }

    /// Which numbers of frames windows may have where none does that is near.
    fn wider(&self) -> String {
        let longer = |apart: usize| Size { frames: apart + LEAST, ..self.size };
        let apart = (TIME..=MOST_APART).step_by(TIME).find(|apart| longer(*apart).windows_keep_time(LEAST));
        match apart {
            Some(apart) => format!(
                "frames less carried is a multiple of {apart}, such as frames = {} and carried = {LEAST}",
                LEAST.next_multiple_of(apart) + LEAST
            ),
            None => "no number of frames does at this rate".to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ltx::recipe::Recipe;

    fn problem(pipeline: &str, frames: usize, fps: f64, carried: usize) -> Option<String> {
        let mut recipe = Recipe::named(pipeline).unwrap();
        recipe.with_carried(carried);
        let size = Size { width: 64, height: 64, frames, fps, stride: 1 };
        Target { recipe, size, ..Target::preset("res-tiny").unwrap() }.windows_problem()
    }

    #[test]
    fn windows_begin_with_a_latent_of_sound() {
        for (frames, fps, carried) in
            [(97, 24.0, 25), (25, 25.0, 9), (33, 24.0, 9), (121, 24.0, 25), (49, 50.0, 17)]
        {
            assert_eq!(problem("distilled", frames, fps, carried), None, "{frames} {fps} {carried}");
        }
        for (frames, fps, carried, near) in [
            (97, 24.0, 24, "the nearest is 25"),
            (121, 25.0, 20, "the nearest are 17 and 25"),
            (121, 25.0, 89, "the nearest is 57"),
            (97, 24.0, 9, "the nearest is 25"),
            (25, 24.0, 9, "a multiple of 24, such as frames = 33 and carried = 9"),
            (17, 25.0, 9, "a multiple of 8, such as frames = 25 and carried = 9"),
            (121, 23.976, 25, "no number of frames"),
        ] {
            let problem = problem("distilled", frames, fps, carried).unwrap();
            assert!(problem.contains(near), "{frames} {fps} {carried}: {problem}");
        }
    }

    #[test]
    fn stages_of_windows_have_all_frames() {
        let mut recipe = Recipe::named("distilled").unwrap();
        recipe.with_carried(25);
        assert!(recipe.with_upscaler(Enlarges::TimeX2));
        let target = Target { recipe, ..Target::preset("res-tiny").unwrap() };
        assert!(target.windows_problem().unwrap().contains("temporal-x2"));
    }

    #[test]
    fn windows_are_for_clips_that_may_begin_with_an_image() {
        for pipeline in [
            "distilled",
            "distilled-single-stage",
            "one-stage",
            "two-stage",
            "two-stage-hq",
            "ic-lora",
            "audio-to-video",
        ] {
            assert_eq!(problem(pipeline, 97, 24.0, 25), None, "{pipeline}");
        }
        for pipeline in ["retake", "text-to-audio", "retake-video", "keyframe-interpolation", "dub"] {
            assert!(problem(pipeline, 97, 24.0, 25).unwrap().contains(pipeline), "{pipeline}");
        }
        assert_eq!(problem("audio-to-video", 97, 24.0, 9), None, "a given sound can be cut anywhere");
    }
}
