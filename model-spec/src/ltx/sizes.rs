//! From pixels to tokens (docs/model/video-vae.md 1, docs/model/audio.md 1).

use super::recipe::Reference;
use super::rope::Axis;

/// Pixels per latent cell along height and width.
pub const SPACE: usize = 32;
/// Pixel frames per latent frame.
pub const TIME: usize = 8;
/// Audio tokens of a second.
pub const SOUND: usize = 25;

/// The size of one stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    pub width: usize,
    pub height: usize,
    pub frames: usize,
    /// Frames per second of the clip.
    pub fps: f64,
    /// Frames of the clip from one frame of the stage to the next: 1, and more before frames are added.
    pub stride: usize,
}

impl Size {
    /// Latent frames, rows and columns.
    pub fn latent(&self) -> [usize; 3] {
        [(self.frames - 1) / TIME + 1, self.height / SPACE, self.width / SPACE]
    }

    pub fn video_tokens(&self) -> usize {
        self.latent().iter().product()
    }

    /// round(25·frames/fps) of the clip, halves to even: as many in every stage.
    pub fn audio_tokens(&self) -> usize {
        self.audio_tokens_of(self.frames.saturating_sub(1) * self.stride + 1).round_ties_even() as usize
    }

    fn audio_tokens_of(&self, frames: usize) -> f64 {
        frames as f64 / self.fps * SOUND as f64
    }

    /// Whether a window that begins with the last `carried` frames of the one before begins with a token of its audio, too.
    pub fn windows_keep_time(&self, carried: usize) -> bool {
        let apart = self.audio_tokens_of((self.frames - carried) * self.stride);
        (apart - apart.round()).abs() < 1e-6
    }

    /// The last audio tokens of a window that the next one holds, which begins with its last `carried` frames: all that both
    /// have but the first one. That one covers a quarter of the time of others, so none of the window before is like it.
    pub fn carried_audio_tokens(&self, carried: usize) -> usize {
        let apart = self.audio_tokens_of((self.frames - carried) * self.stride).round() as usize;
        self.audio_tokens().saturating_sub(apart + 1)
    }

    /// Midpoints of the latent cells along time (seconds), height and width (pixels), each from its rounded f32
    /// start and end (docs/model/transformer.md 3).
    pub fn video_axes(&self, max_pos: [f32; 3]) -> [Axis; 3] {
        let mut max = max_pos.into_iter();
        self.video_cells().map(|cells| Axis { mids: mids(&cells), max_pos: max.next().unwrap_or(1.0) })
    }

    /// Start and end of the cells of a reference video for a clip of this size along time (seconds), height and width
    /// (pixels of the clip) (docs/model/pipelines.md 2.4).
    pub fn reference_cells(&self, reference: Reference) -> [Vec<[f32; 2]>; 3] {
        let [frames, rows, cols] = reference.latent(*self);
        let every = reference.temporal_scale * self.stride;
        let rate = self.fps as f32 / every as f32;
        let earlier = (every - self.stride) as f32 / self.fps as f32;
        let frame = |f: usize| ((TIME * f + 1).saturating_sub(TIME) as f32 / rate - earlier).max(0.0);
        let wide = (SPACE * reference.downscale) as f32;
        let pixels = |n: usize| (0..n).map(|i| [i as f32 * wide, (i + 1) as f32 * wide]).collect();
        [(0..frames).map(|f| [frame(f), frame(f + 1)]).collect(), pixels(rows), pixels(cols)]
    }

    /// Midpoints of the audio tokens, in seconds.
    pub fn audio_axis(&self, max_pos: f32) -> Axis {
        Axis { mids: mids(&self.audio_cells()), max_pos }
    }

    /// Start and end of every video token along time (seconds), height and width (pixels).
    pub fn video_spans(&self) -> Vec<Vec<[f32; 2]>> {
        let cells = self.video_cells();
        let all: Vec<[f32; 2]> = cells.concat();
        let index = self.video_index();
        let axis = |axis: usize| index.iter().skip(axis).step_by(cells.len()).map(|i| all[*i as usize]);
        (0..cells.len()).map(|i| axis(i).collect()).collect()
    }

    /// Start and end of every audio token, in seconds.
    pub fn audio_spans(&self) -> Vec<Vec<[f32; 2]>> {
        vec![self.audio_cells()]
    }

    /// Start and end of the latent cells along each axis.
    fn video_cells(&self) -> [Vec<[f32; 2]>; 3] {
        let [t, h, w] = self.latent();
        let frame = |f: usize| (((TIME * f + 1).saturating_sub(TIME)) * self.stride) as f32 / self.fps as f32;
        let pixels = |n: usize| (0..n).map(|i| [(SPACE * i) as f32, (SPACE * (i + 1)) as f32]).collect();
        [(0..t).map(|f| [frame(f), frame(f + 1)]).collect(), pixels(h), pixels(w)]
    }

    /// Start and end of the tokens of a reference sound as long as the clip's, in seconds: it ends one token before the clip
    /// begins (docs/model/pipelines.md 12).
    pub fn reference_sound_cells(&self) -> Vec<[f32; 2]> {
        let cells = self.audio_cells();
        let end = cells.last().map_or(0.0, |cell| cell[1]);
        cells.into_iter().map(|cell| cell.map(|at| at - end - 0.04)).collect()
    }

    fn audio_cells(&self) -> Vec<[f32; 2]> {
        let start = |i: usize| (4 * i + 1).saturating_sub(4) as f32 * 160.0 / 16000.0;
        (0..self.audio_tokens()).map(|i| [start(i), start(i + 1)]).collect()
    }

    /// For every video token its row in the table of all three axes.
    pub fn video_index(&self) -> Vec<i32> {
        let [t, h, w] = self.latent();
        let token = |f, y, x| [f, t + y, t + h + x].map(|i| i as i32);
        (0..t).flat_map(|f| (0..h).flat_map(move |y| (0..w).flat_map(move |x| token(f, y, x)))).collect()
    }

    /// For every audio token its row in the table of the audio axis.
    pub fn audio_index(&self) -> Vec<i32> {
        (0..self.audio_tokens() as i32).collect()
    }
}

/// The midpoints of cells.
pub fn mids(cells: &[[f32; 2]]) -> Vec<f32> {
    cells.iter().map(|[start, end]| (start + end) / 2.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ltx::recipe::Attention;

    /// A stage of every second frame lies where a clip of half the rate does, and has the sound of the whole one.
    #[test]
    fn a_stage_of_every_second_frame_lasts_as_long_as_its_clip() {
        let clip = Size { width: 64, height: 96, frames: 33, fps: 24.0, stride: 1 };
        let stage = Size { frames: 17, stride: 2, ..clip };
        let slow = Size { frames: 17, fps: 12.0, ..clip };
        assert_eq!(stage.video_spans(), slow.video_spans());
        assert_eq!((stage.audio_tokens(), stage.audio_spans()), (34, clip.audio_spans()));
        // round(25 * 17 / 12): a clip of half the rate would have another one.
        assert_eq!(slow.audio_tokens(), 35);
        let reference = Reference { downscale: 1, temporal_scale: 2, attention: Attention::Full };
        assert_eq!(stage.reference_cells(reference), slow.reference_cells(reference));
    }
}
