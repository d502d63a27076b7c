//! What the encoders of finished clips take: the one place for sizes and rates that can be written.

use std::ops::RangeInclusive;

use crate::ltx::pass_input::PerStream;
use crate::ltx::recipe::{Item, SoundOf, StreamRole};
use crate::ltx::sizes::SPACE;
use crate::target::{Target, TargetError};

/// The longest and the shorter side of a coded frame, in pixels: the H.264 encoder takes no more.
const SIDES: [usize; 2] = [3840, 2160];

/// Frames per second between which the encoder controls its rate.
pub const FRAME_RATES: RangeInclusive<f64> = 1.0..=60.0;

/// Width and height in which a clip of so many pixels is written. Where the encoder's limit lies between two sizes that
/// the model makes, the rows or columns beyond it are cut off, as many on either side: 3840x2176 becomes 3840x2160.
/// `None` where it cannot be written.
pub fn written_size(width: usize, height: usize) -> Option<(usize, usize)> {
    let [long, short] = SIDES;
    let most = if width >= height { [long, short] } else { [short, long] };
    let side =
        |have: usize, most: usize| (have <= most.next_multiple_of(2 * SPACE)).then_some(have.min(most));
    side(width, most[0]).zip(side(height, most[1]))
}

impl Target {
    /// Whether a whole run makes a clip, and the encoders take it.
    ///
    /// # Errors
    /// A sentence for everything that a run has nothing for, or that the encoders do not take.
    pub fn check_writable(&self) -> Result<(), TargetError> {
        let (size, [long, short]) = (&self.size, SIDES);
        let mut problems = Vec::new();
        let (stages, all) = (&self.recipe.stages, self.recipe.streams());
        for (number, stage) in (1usize..).zip(stages) {
            let last = number.checked_sub(2).and_then(|last| stages.get(last));
            let before = last.filter(|_| stage.start.is_previous());
            let before = before.map_or(PerStream { video: None, audio: None }, |b| b.roles.map(Some));
            let hears = stage.roles.audio == StreamRole::Kept
                || stage.reference_sound() == Some(SoundOf::StageBefore);
            if hears && last.is_none_or(|last| last.roles.audio != StreamRole::Denoised) {
                problems
                    .push(format!("stage {number} hears the audio of the stage before, which makes none"));
            }
            if stage.roles.video == StreamRole::Kept {
                problems.push(format!(
                    "stage {number} keeps the video of the stage before, which is for its audio alone"
                ));
            }
            if stage.roles.audio == StreamRole::Absent && stage.reference_sound().is_some() {
                problems.push(format!("stage {number} has a reference sound, and no audio"));
            }
            let streams = PerStream { video: "video", audio: "audio" }.zip(stage.roles).zip(all).zip(before);
            for (((stream, role), there), began) in streams.both() {
                if role == StreamRole::Absent && there {
                    problems.push(format!("stage {number} has no {stream}, and another stage has"));
                }
                if began.is_some_and(|began| began != StreamRole::Denoised) && role == StreamRole::Denoised {
                    problems.push(format!(
                        "stage {number} begins from the {stream} of the stage before, which makes none"
                    ));
                }
            }
            let Some(of_stage) = self.recipe.stage_size(number, *size) else { continue };
            let [_, rows, cols] = of_stage.latent();
            let downscales = stage.references().map(|reference| reference.downscale);
            if let Some(d) = downscales.into_iter().find(|d| rows % d != 0 || cols % d != 0) {
                let grid = d * SPACE * size.width / (cols * SPACE);
                problems.push(format!(
                    "a reference {d} times smaller than stage {number} wants a width and a height that are multiples of {grid}"
                ));
            }
            if stage.start.is_previous() && stage.items.contains(&Item::Region) {
                problems.push(format!(
                    "stage {number} has a region, and begins from the stage before instead of from a given clip"
                ));
            }
        }
        if all.video && written_size(size.width, size.height).is_none() {
            problems.push(format!(
                "{}x{} cannot be written as H.264; wanted at most {long}x{short} or {short}x{long}",
                size.width, size.height
            ));
        }
        if all.video && !FRAME_RATES.contains(&size.fps) {
            let (low, high) = (FRAME_RATES.start(), FRAME_RATES.end());
            problems.push(format!("fps is {}; a clip is written with {low} to {high}", size.fps));
        }
        if problems.is_empty() { Ok(()) } else { Err(TargetError { name: self.name.clone(), problems }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_little_too_large_is_cut() {
        for fits in [(3840, 2160), (2160, 3840), (1920, 1088), (32, 3840), (2160, 2160), (32, 32)] {
            assert_eq!(written_size(fits.0, fits.1), Some(fits));
        }
        assert_eq!(written_size(3840, 2176), Some((3840, 2160)));
        assert_eq!(written_size(2176, 3840), Some((2160, 3840)));
        assert_eq!(written_size(2176, 2176), Some((2176, 2160)));
        for over in [(3904, 2176), (3840, 2208), (4096, 64), (2208, 3840), (usize::MAX, usize::MAX)] {
            assert_eq!(written_size(over.0, over.1), None);
        }
    }

    #[test]
    fn limits_are_said() {
        let mut target = Target::preset("res-4k").unwrap();
        target.check_writable().unwrap();
        target.size.width = 4096;
        target.size.fps = 120.0;
        let error = target.check_writable().unwrap_err().to_string();
        assert!(error.contains("4096x2176") && error.contains("3840x2160 or 2160x3840"), "{error}");
        assert!(error.contains("fps is 120") && error.contains("1 to 60"), "{error}");
    }
}
