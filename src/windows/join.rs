//! Frames and sound of windows as those of one clip: where two windows overlap, one goes over into the other.
//!
//! The decoder of frames looks ahead, and the vocoder does: what a window has at its end was decoded without what follows,
//! and what the next one has at its beginning without what was before. Between, both were decoded from the same latents.

use super::Windows;
use crate::media::SAMPLE_RATE;

/// What windows leave, one after the other, from the clip's beginning to its end.
pub struct Joined {
    windows: Windows,
    /// How many windows gave frames, and sound.
    given: [usize; 2],
    /// Planes of the last window's frames that the next one has, too.
    frames: Vec<u8>,
    /// The same of its sound, left and right.
    sound: [Vec<f32>; 2],
    /// How many frames and samples the clip still has.
    left: [usize; 2],
}

/// Takes a frame of the clip: planes of 8-bit 4:2:0.
pub type Give<'g, E> = &'g mut dyn FnMut(&[u8]) -> Result<(), E>;

impl Joined {
    /// Of a clip that is made in these windows.
    pub fn new(windows: Windows) -> Joined {
        let samples = match windows.count {
            // The sound of one window is what it is.
            1 => usize::MAX,
            _ => (windows.seconds() * f64::from(SAMPLE_RATE)).round() as usize,
        };
        Joined {
            windows,
            given: [0; 2],
            frames: Vec::new(),
            sound: Default::default(),
            left: [windows.frames, samples],
        }
    }

    /// Hands on the frames that are finished with this window's, [frames, 3·height/2, width].
    ///
    /// # Errors
    /// What `give` says.
    pub fn frames<E>(&mut self, planes: &[u8], give: Give<'_, E>) -> Result<(), E> {
        let bytes = (planes.len() / self.windows.size).max(1);
        self.given[0] += 1;
        let last = self.given[0] == self.windows.count;
        let end = if last { planes.len() } else { self.windows.apart() * bytes };
        let before = std::mem::replace(&mut self.frames, planes[end..].to_vec());
        let overlap = self.windows.carried;
        for (number, frame) in planes[..end].chunks_exact(bytes).enumerate() {
            match before.get(number * bytes..(number + 1) * bytes) {
                Some(old) => {
                    let both = old.iter().zip(frame);
                    let mixed: Vec<u8> = both.map(|(old, new)| mixed(*old, *new, number, overlap)).collect();
                    self.give(&mixed, give)?;
                }
                None => self.give(frame, give)?,
            }
        }
        Ok(())
    }

    /// The sound that is finished with this window's.
    pub fn sound(&mut self, channels: [&[f32]; 2]) -> [Vec<f32>; 2] {
        self.given[1] += 1;
        let last = self.given[1] == self.windows.count;
        let all = channels[0].len();
        let end = if last { all } else { self.windows.samples_apart().min(all) };
        let mut finished = channels.map(|channel| channel[..end].to_vec());
        for ((channel, new), old) in channels.into_iter().zip(&mut finished).zip(&mut self.sound) {
            let overlap = old.len();
            for (i, (new, old)) in new.iter_mut().zip(&*old).enumerate() {
                *new = old + (*new - old) * share(i, overlap);
            }
            *old = channel[end..].to_vec();
        }
        self.cut(finished)
    }

    /// Ends the clip before its last window: what the windows so far have is all of it.
    ///
    /// # Errors
    /// What `give` says.
    pub fn end<E>(&mut self, give: Give<'_, E>) -> Result<[Vec<f32>; 2], E> {
        let frames = std::mem::take(&mut self.frames);
        let bytes = (frames.len() / self.windows.carried.max(1)).max(1);
        frames.chunks_exact(bytes).try_for_each(|frame| self.give(frame, give))?;
        let sound = std::mem::take(&mut self.sound);
        Ok(self.cut(sound))
    }

    /// Frames of the clip in the windows so far.
    pub fn finished_frames(&self) -> usize {
        let whole = |windows: usize| (windows - 1) * self.windows.apart() + self.windows.size;
        if self.given[0] == 0 { 0 } else { whole(self.given[0]).min(self.windows.frames) }
    }

    fn give<E>(&mut self, frame: &[u8], give: Give<'_, E>) -> Result<(), E> {
        if self.left[0] == 0 {
            return Ok(());
        }
        self.left[0] -= 1;
        give(frame)
    }

    fn cut(&mut self, mut sound: [Vec<f32>; 2]) -> [Vec<f32>; 2] {
        let samples = sound[0].len().min(self.left[1]);
        self.left[1] -= samples;
        sound.iter_mut().for_each(|channel| channel.truncate(samples));
        sound
    }
}

/// Between a value of the window before and one of the next: frame `number` of so many that both have. The share of the next
/// one is that of the official tiles in time (docs/model/video-vae.md 10.3): its first frame is not seen.
fn mixed(old: u8, new: u8, number: usize, overlap: usize) -> u8 {
    let (old, new) = (usize::from(old), usize::from(new));
    ((old * (overlap - number) + new * number + overlap / 2) / overlap) as u8
}

/// The share of the next window's sound in sample `at` of so many that both have: all of the change is in the middle quarter,
/// where the old one still hears what follows, and the new one what was before. At either end the two are another wave, and
/// a sum of both would be quieter than each.
fn share(at: usize, overlap: usize) -> f32 {
    ((at as f32 + 0.5) / overlap as f32 * 4.0 - 1.5).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: Windows = Windows { count: 3, frames: 50, size: 25, carried: 9, fps: 25.0 };

    /// Frames of one luma sample each and a channel of sound, whose values are their places in the clip.
    fn window(number: usize) -> (Vec<u8>, Vec<f32>) {
        let frames = (16 * number..16 * number + 25).map(|frame| frame as u8).collect();
        let first = 16 * 1920 * number;
        (frames, (first..first + 46_560).map(|sample| sample as f32).collect())
    }

    fn joined(windows: Windows, count: usize) -> (Vec<u8>, Vec<f32>) {
        let (mut joined, mut frames, mut sound) = (Joined::new(windows), Vec::new(), Vec::new());
        let mut give = |frame: &[u8]| {
            frames.extend_from_slice(frame);
            Ok::<(), ()>(())
        };
        for number in 0..count {
            let (planes, samples) = window(number);
            joined.frames(&planes, &mut give).unwrap();
            let [left, right] = joined.sound([&samples, &samples]);
            assert_eq!(left, right);
            sound.extend(left);
        }
        let [left, _] = joined.end(&mut give).unwrap();
        sound.extend(left);
        (frames, sound)
    }

    #[test]
    fn what_agrees_stays_what_it_is_and_nothing_comes_twice() {
        let (frames, sound) = joined(WINDOWS, 3);
        // The clip ends within the last window.
        assert_eq!(frames, (0..50).collect::<Vec<u8>>());
        assert_eq!(sound.len(), 2 * 48_000);
        assert!(sound.iter().enumerate().all(|(at, sample)| *sample == at as f32));
    }

    #[test]
    fn a_clip_that_ends_early_has_all_of_its_last_window() {
        let (frames, sound) = joined(WINDOWS, 2);
        assert_eq!(frames, (0..41).collect::<Vec<u8>>());
        assert_eq!(sound.len(), 16 * 1920 + 46_560);
        let one = Windows { count: 1, frames: 25, ..WINDOWS };
        assert_eq!((joined(one, 1).0.len(), joined(one, 1).1.len()), (25, 46_560));
    }

    #[test]
    fn one_window_goes_over_into_the_next() {
        assert_eq!([0, 3, 6, 8].map(|number| mixed(90, 0, number, 9)), [90, 60, 30, 10]);
        assert_eq!([0, 37, 62, 99].map(|at| share(at, 100)), [0.0, 0.0, 1.0, 1.0]);
        assert!((share(49, 100) - 0.48).abs() < 1e-5 && (share(50, 100) - 0.52).abs() < 1e-5);
    }
}
