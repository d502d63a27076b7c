//! Whether a target can be compiled, and which sizes are the nearest that can.

use std::ops::RangeInclusive;

use super::{MAX_KEYFRAMES, Target};
use crate::ltx::config::Enlarges;
use crate::ltx::recipe::Recipe;
use crate::ltx::sizes::{SPACE, TIME};

/// The largest extents that are accepted: far beyond any card, small enough for sums of bytes in 64 bits.
const MAX_SIDE: usize = 1 << 14;
const MAX_FRAMES: usize = (1 << 14) + 1;
/// How many tokens a chat may have.
const ENHANCE: RangeInclusive<usize> = 64..=1 << 15;

/// The legal numbers nearest to one that is none, in words.
fn near(have: usize, most: usize, legal: impl Fn(usize) -> bool) -> String {
    let below = (1..=have.min(most)).rev().find(|n| legal(*n));
    let above = (have.saturating_add(1)..=most).find(|n| legal(*n));
    match (below, above) {
        (Some(below), Some(above)) => format!("the nearest are {below} and {above}"),
        (None, Some(above)) => format!("the smallest is {above}"),
        (Some(below), None) => format!("the nearest is {below}"),
        (None, None) => "there is none".to_string(),
    }
}

impl Recipe {
    fn makes_side(&self, pixels: usize) -> bool {
        pixels.is_multiple_of(SPACE) && self.makes_cells(pixels / SPACE)
    }

    fn makes_length(&self, frames: usize) -> bool {
        frames % TIME == 1 && self.makes_frames(frames / TIME + 1)
    }

    /// The smallest width or height of a clip, in pixels.
    pub(super) fn smallest_side(&self) -> usize {
        (1..=MAX_SIDE).find(|pixels| self.makes_side(*pixels)).unwrap_or(SPACE)
    }

    /// What a side must be, in words.
    fn wanted_side(&self) -> String {
        let by: Vec<Enlarges> = self.enlargements(0).collect();
        match by.contains(&Enlarges::SpaceX1_5) {
            true => format!("a multiple of {SPACE} that the {} upscaler makes", Enlarges::SpaceX1_5.name()),
            false => {
                format!("a multiple of {}", SPACE << by.iter().filter(|by| **by == Enlarges::SpaceX2).count())
            }
        }
    }
}

impl Target {
    /// Everything that is wrong with it, in words.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut out = Vec::new();
        let (recipe, s) = (&self.recipe, &self.size);
        for (name, side) in [("width", s.width), ("height", s.height)] {
            if side > MAX_SIDE || !recipe.makes_side(side) {
                let near = near(side, MAX_SIDE, |side| recipe.makes_side(side));
                let (pipeline, wanted) = (&recipe.name, recipe.wanted_side());
                out.push(format!("{name} is {side}; a {pipeline} target wants {wanted}: {near}"));
            }
        }
        if s.frames > MAX_FRAMES || !recipe.makes_length(s.frames) {
            let near = near(s.frames, MAX_FRAMES, |frames| recipe.makes_length(frames));
            let cells = TIME << recipe.enlargements(0).filter(|by| *by == Enlarges::TimeX2).count();
            out.push(format!("frames is {}; wanted {cells}k + 1: {near}", s.frames));
        }
        if !(s.fps.is_finite() && s.fps > 0.0 && s.fps <= 1000.0) {
            out.push(format!("fps is {}; wanted a number above 0 and up to 1000", s.fps));
        } else if s.frames > 0 && s.audio_tokens() == 0 {
            let fastest = s.frames as f64 * 50.0;
            out.push(format!(
                "{} frames at {} fps leave no audio token; wanted fewer than {fastest} fps, or more frames",
                s.frames, s.fps
            ));
        } else if s.frames > 0 && s.audio_tokens() > 1 << 20 {
            out.push(format!(
                "{} frames at {} fps make {} audio tokens; wanted at most 1048576",
                s.frames,
                s.fps,
                s.audio_tokens()
            ));
        }
        if self.text_tokens == 0 || self.text_tokens > 1 << 16 {
            out.push(format!("text_tokens is {}; wanted 1 to 65536", self.text_tokens));
        }
        if let Some(tokens) = self.enhance.map(|room| room.tokens).filter(|tokens| !ENHANCE.contains(tokens))
        {
            let (least, most) = (ENHANCE.start(), ENHANCE.end());
            out.push(format!("enhance is {tokens}; wanted true, or {least} to {most} tokens"));
        }
        if self.recipe.keyframes() > MAX_KEYFRAMES {
            out.push(format!("keyframes is {}; wanted 0 to {MAX_KEYFRAMES}", self.recipe.keyframes()));
        }
        if self.timestep_classes == 0 {
            out.push("timestep_classes is 0; wanted at least 1".to_string());
        }
        if out.is_empty() {
            out.extend(self.windows_problem());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(pipeline: &str, upscaler: &str, [width, height, frames]: [usize; 3]) -> Vec<String> {
        let text = format!(
            "width = {width}\nheight = {height}\nframes = {frames}\nfps = 24\npipeline = \"{pipeline}\"\n\
             upscaler = \"{upscaler}\"\ndtype = \"bf16\"\nmodel = \"demo\"\n"
        );
        Target::parse("my", &text).map_or_else(|error| error.problems, |_| Vec::new())
    }

    /// Cells that the x1.5 upscaler makes are ⌈3n/2⌉, which no 3k + 1 is; latent frames that the temporal one makes are 2n − 1.
    #[test]
    fn every_upscaler_has_its_legal_sizes() {
        for pipeline in ["distilled", "upscale"] {
            for cells in 1usize..40 {
                let makes = |by: &str| problems(pipeline, by, [32 * cells, 192, 33]).is_empty();
                let (twice, half_more) =
                    ((1..40).any(|n| 2 * n == cells), (1..40usize).any(|n| (3 * n).div_ceil(2) == cells));
                assert_eq!(
                    [makes("spatial-x2"), makes("spatial-x1.5"), makes("temporal-x2")],
                    [twice, half_more, true],
                    "{cells}"
                );
                let long = |by: &str| problems(pipeline, by, [192, 192, 8 * (cells - 1) + 1]).is_empty();
                let between = (2..40).any(|n| 2 * n - 1 == cells);
                assert_eq!(
                    [long("spatial-x2"), long("spatial-x1.5"), long("temporal-x2")],
                    [true, true, between]
                );
            }
        }
    }

    #[test]
    fn the_nearest_legal_sizes_are_said() {
        let wide = problems("distilled", "spatial-x1.5", [128, 192, 25]);
        assert_eq!(
            wide,
            [
                "width is 128; a distilled target wants a multiple of 32 that the spatial-x1.5 upscaler makes: the \
                           nearest are 96 and 160"
            ]
        );
        let long = problems("upscale", "temporal-x2", [64, 64, 25]);
        assert_eq!(long, ["frames is 25; wanted 16k + 1: the nearest are 17 and 33"]);
        assert_eq!(
            problems("distilled", "temporal-x2", [64, 64, 1]),
            ["frames is 1; wanted 16k + 1: the smallest is 17"]
        );
        let large = problems("distilled", "spatial-x2", [usize::MAX >> 1, 64, 25]);
        assert!(large[0].ends_with("wants a multiple of 64: the nearest is 16384"), "{large:?}");
        assert_eq!(
            problems("retake", "temporal-x2", [64, 64, 25]),
            ["upscaler is \"temporal-x2\", and retake enlarges nothing"]
        );
        let known = problems("distilled", "x4", [64, 64, 25]);
        assert!(
            known[0].contains("wanted one of \"spatial-x2\", \"spatial-x1.5\", \"temporal-x2\""),
            "{known:?}"
        );
    }
}
