//! Clips that are longer than a plan's: made in windows, each of which begins with the last frames of the one before
//! (docs/long-clips.md).

mod join;
mod make;

pub use join::Joined;
pub use make::{Given, PerWindow, make};

use zoetrope_model_spec::ltx::sizes::SOUND;
use zoetrope_runtime::plan::Facts;

use crate::media::SAMPLE_RATE;

/// The windows of a clip, all of them of the plan's size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Windows {
    pub count: usize,
    /// Frames of the clip. Those of the last window that are behind them are left out.
    pub frames: usize,
    /// Frames of a window.
    pub size: usize,
    /// Frames of a window that the next one begins with.
    pub carried: usize,
    /// Frames a second.
    pub fps: f64,
}

impl Windows {
    /// The one window of a clip of a plan's own length.
    pub fn one(facts: &Facts) -> Windows {
        let frames = facts.frames as usize;
        Windows { count: 1, frames, size: frames, carried: facts.carried as usize, fps: facts.fps }
    }

    /// Those of a clip of so many frames; `None` where a plan makes no such clip.
    pub fn covering(facts: &Facts, frames: usize) -> Option<Windows> {
        let one = Windows::one(facts);
        match frames.checked_sub(one.size)? {
            0 => Some(one),
            _ if one.carried == 0 => None,
            more => Some(Windows { count: 1 + more.div_ceil(one.apart()), frames, ..one }),
        }
    }

    /// Frames from where a window begins to where the next one does.
    pub fn apart(&self) -> usize {
        self.size - self.carried
    }

    /// The same in samples of a channel of the sound: of whole tokens of audio.
    pub fn samples_apart(&self) -> usize {
        let tokens = (self.apart() as f64 / self.fps * SOUND as f64).round() as usize;
        tokens * SAMPLE_RATE as usize / SOUND
    }

    /// The window that makes a frame of the clip, and the frame's number in it.
    pub fn of_frame(&self, frame: usize) -> (usize, usize) {
        let window = if frame < self.size { 0 } else { (frame - self.carried) / self.apart() };
        (window, frame - window * self.apart())
    }

    pub fn seconds(&self) -> f64 {
        self.frames as f64 / self.fps
    }
}

#[cfg(test)]
mod tests {
    use zoetrope_runtime::plan::Dtype;

    use super::*;

    fn facts(frames: u32, carried: u32, fps: f64) -> Facts {
        Facts { frames, carried, fps, ..Facts::without_clip(Dtype::F32) }
    }

    #[test]
    fn windows_cover_a_clip() {
        let official = facts(97, 25, 24.0);
        let count = |frames| Windows::covering(&official, frames).map(|windows| windows.count);
        // 97 frames and 72 for each further window.
        assert_eq!(
            [96, 97, 98, 169, 170, 720].map(count),
            [None, Some(1), Some(2), Some(2), Some(3), Some(10)]
        );
        assert_eq!(Windows::covering(&facts(97, 0, 24.0), 98), None);
        let windows = Windows::covering(&official, 720).unwrap();
        assert_eq!((windows.samples_apart(), windows.seconds()), (3 * 48_000, 30.0));
        assert_eq!(Windows::one(&facts(25, 9, 25.0)).samples_apart(), 16 * 1920);
    }

    /// Each frame belongs to the first window that has it, where it is no frame that is carried over.
    #[test]
    fn every_frame_is_made_once() {
        let windows = Windows::covering(&facts(25, 9, 25.0), 100).unwrap();
        for frame in 0..100 {
            let having = |w: &usize| (w * 16..w * 16 + 25).contains(&frame);
            let first = (0..windows.count).find(having).unwrap();
            assert_eq!(windows.of_frame(frame), (first, frame - first * 16), "{frame}");
        }
    }
}
