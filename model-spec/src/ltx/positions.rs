//! Where tokens are, and the rotary tables that say it to attention (docs/model/transformer.md 3, 4).

use super::attention::Group;
use super::config::Transformer;
use super::rope::{Axis, Rotary, axial};
use super::sizes::Size;
use crate::lang::{Builder, Value};

/// Where tokens are: midpoints of what they cover, each distinct one once (docs/model/transformer.md 3).
#[derive(Clone, Debug)]
pub struct Positions {
    /// Seconds, pixels down, pixels to the right.
    pub video: [Axis; 3],
    /// For every video token its row in the table of all three axes, [tokens, 3].
    pub video_index: Vec<i32>,
    /// Seconds.
    pub audio: Axis,
    /// For every audio token its row in the table of the axis.
    pub audio_index: Vec<i32>,
    /// Video tokens in a row that have a row of self-attention's bias in common; empty where that is all of them.
    pub video_groups: Vec<Group>,
    /// Seconds that are known when a run begins, f32 \[1\] each: rows behind those of the table of the video's axes, and
    /// of its times.
    pub later_times: Vec<Value>,
}

impl Positions {
    /// Of the tokens of a clip.
    pub fn of(size: &Size, cfg: &Transformer) -> Positions {
        Positions {
            video: size.video_axes(cfg.video_max_pos),
            video_index: size.video_index(),
            audio: size.audio_axis(cfg.audio_max_pos),
            audio_index: size.audio_index(),
            video_groups: Vec::new(),
            later_times: Vec::new(),
        }
    }

    /// The same with further audio tokens behind the others, each at its own position.
    pub fn extend_audio(&mut self, mids: &[f32]) {
        let rows = self.audio.mids.len()..self.audio.mids.len() + mids.len();
        self.audio.mids.extend(mids);
        self.audio_index.extend(rows.map(|row| row as i32));
    }

    /// The same with further positions on the axes of the video. Rows of the table that the index names are renumbered;
    /// the first ones of the new positions are the result.
    pub fn extend(&mut self, mids: &[Vec<f32>; 3]) -> [i32; 3] {
        let lengths = |axes: &[Axis; 3]| axes.each_ref().map(|axis| axis.mids.len() as i32);
        let [t, h, _] = lengths(&self.video);
        let [more_t, more_h, _] = mids.each_ref().map(|mids| mids.len() as i32);
        let moved =
            |row: i32| row + if row >= t { more_t } else { 0 } + if row >= t + h { more_h } else { 0 };
        self.video_index.iter_mut().for_each(|row| *row = moved(*row));
        let before = lengths(&self.video);
        self.video.iter_mut().zip(mids).for_each(|(axis, mids)| axis.mids.extend(mids));
        let [t, h, _] = lengths(&self.video);
        [before[0], t + before[1], t + h + before[2]]
    }
}

/// Rotary tables of one stage.
pub struct Ropes {
    pub(super) video: Rotary,
    pub(super) audio: Rotary,
    /// The time axis of the video tokens, for attention between the streams.
    pub(super) video_time: Rotary,
    /// As in [`Positions`].
    pub(super) video_groups: Vec<Group>,
}

impl Ropes {
    /// Of these positions: outside of loops, so that they are made once.
    pub fn of(b: &Builder, cfg: &Transformer, at: &Positions) -> Ropes {
        let [time, ..] = &at.video;
        // Both sides of the attention between the streams count seconds against the larger of the two ranges.
        let cross_max = cfg.video_max_pos[0].max(cfg.audio_max_pos);
        let cross_time = Axis { max_pos: cross_max, ..time.clone() };
        let (width, inner) = (cfg.video.width(), cfg.audio.width());
        // Rows behind those of all axes are times, too.
        let (times, all) = (time.mids.len() as i32, at.video.iter().map(|axis| axis.mids.len() as i32).sum());
        let time_row = |row: i32| if row < all { row } else { row - all + times };
        let time_rows = at.video_index.iter().copied().step_by(at.video.len()).map(time_row).collect();
        let audio = std::slice::from_ref(&at.audio);
        let later = |max_pos| (at.later_times.as_slice(), max_pos);
        Ropes {
            video_groups: at.video_groups.clone(),
            video: axial(b, "rope.video", width, &at.video, cfg.theta, at.video_index.clone()).with_rows(
                b,
                later(time.max_pos),
                cfg.theta,
            ),
            audio: axial(b, "rope.audio", inner, audio, cfg.theta, at.audio_index.clone()),
            video_time: axial(b, "rope.video_time", inner, &[cross_time], cfg.theta, time_rows).with_rows(
                b,
                later(cross_max),
                cfg.theta,
            ),
        }
    }
}
