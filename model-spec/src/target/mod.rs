//! Targets: what one plan is compiled for.

mod stages;
mod weights;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use thiserror::Error as ThisError;

use crate::lang::{Dtype, Kept};
use crate::ltx::config::{TEXT_TOKENS, Transformer};
use crate::ltx::recipe::Recipe;
use crate::ltx::sizes::{Size, TIME};
use crate::ltx::skip::Skip;
use stages::{GuidanceField, StageField};
pub use weights::parse_weights;

/// Where a target's dimensions come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Model {
    /// The published model.
    Ltx23,
    /// The small model that the program makes itself.
    Demo,
    /// Whatever these files say in their headers; a checkpoint may be split into several.
    Files { checkpoint: Vec<PathBuf>, text_encoder: PathBuf, spatial_upscaler: PathBuf },
}

/// What one plan is compiled for.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub name: String,
    /// The finished clip's size.
    pub size: Size,
    /// How it is made.
    pub recipe: Recipe,
    /// Storage of activations and weights.
    pub dtype: Dtype,
    /// What the matrices of transformer blocks and of the text encoder's layers stay in; `None` for `dtype`.
    pub weights: Option<Kept>,
    /// Tokens of the contexts in `velocity` and `denoise`; a run always uses 1024.
    pub text_tokens: usize,
    /// The most distinct timesteps that `velocity` accepts in one stream.
    pub timestep_classes: usize,
    pub model: Model,
    /// The memory of the card that it is compiled for, in bytes; `None` for as much as it takes.
    pub vram: Option<u64>,
    /// Whether every denoising step leaves a frame that shows how far the clip is.
    pub preview: bool,
    /// Whether `velocity` takes weights of the video's self-attention.
    pub attention_mask: bool,
    /// What the pass of `velocity` skips.
    pub skip: Skip,
}

/// A target that cannot be compiled, with everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[error("target {name} cannot be compiled\n  {}", .problems.join("\n  "))]
pub struct TargetError {
    pub name: String,
    pub problems: Vec<String>,
}

/// The presets: one row each, a feature `res-*` of the same name.
pub const PRESETS: [(&str, Preset); 9] = [
    ("res-tiny", Preset { width: 256, height: 192, frames: 25, recipe: "distilled", model: Model::Demo }),
    (
        "res-768x512",
        Preset { width: 768, height: 512, frames: 121, recipe: "distilled", model: Model::Ltx23 },
    ),
    ("res-720p", Preset { width: 1280, height: 704, frames: 121, recipe: "distilled", model: Model::Ltx23 }),
    (
        "res-1080p-5s",
        Preset { width: 1920, height: 1088, frames: 121, recipe: "distilled", model: Model::Ltx23 },
    ),
    (
        "res-1080p",
        Preset { width: 1920, height: 1088, frames: 241, recipe: "distilled", model: Model::Ltx23 },
    ),
    (
        "res-1080p-dev",
        Preset { width: 1920, height: 1088, frames: 241, recipe: "two-stage", model: Model::Ltx23 },
    ),
    (
        "res-1080p-hq",
        Preset { width: 1920, height: 1088, frames: 241, recipe: "two-stage-hq", model: Model::Ltx23 },
    ),
    (
        "res-1080p-vertical",
        Preset { width: 1088, height: 1920, frames: 241, recipe: "distilled", model: Model::Ltx23 },
    ),
    ("res-4k", Preset { width: 3840, height: 2176, frames: 121, recipe: "distilled", model: Model::Ltx23 }),
];

/// What differs between presets; all are bf16, 24 frames per second.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    pub width: usize,
    pub height: usize,
    pub frames: usize,
    /// The name of its recipe.
    pub recipe: &'static str,
    pub model: Model,
}

/// The largest extents that are accepted: far beyond any card, small enough for sums of bytes in 64 bits.
const MAX_SIDE: usize = 1 << 14;
/// The most keyframes that a target may have room for.
pub const MAX_KEYFRAMES: usize = 32;
const MAX_FRAMES: usize = (1 << 14) + 1;
const MAX_VRAM: u64 = 1 << 40;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    width: Option<usize>,
    height: Option<usize>,
    frames: usize,
    fps: f64,
    pipeline: String,
    dtype: String,
    weights: Option<String>,
    text_tokens: Option<usize>,
    timestep_classes: Option<usize>,
    model: ModelField,
    vram: Option<String>,
    preview: Option<bool>,
    attention_mask: Option<bool>,
    keyframes: Option<usize>,
    #[serde(default)]
    skip: Skip,
    guidance: Option<GuidanceField>,
    #[serde(default)]
    stage: Vec<StageField>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ModelField {
    Named(String),
    Files(BTreeMap<String, Paths>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Paths {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

impl Target {
    /// The preset of this name.
    pub fn preset(name: &str) -> Option<Target> {
        let (_, p) = PRESETS.iter().find(|(n, _)| *n == name)?;
        Some(Target {
            name: name.to_string(),
            size: Size { width: p.width, height: p.height, frames: p.frames, fps: 24.0 },
            recipe: Recipe::named(p.recipe)?,
            dtype: Dtype::Bf16,
            weights: None,
            text_tokens: TEXT_TOKENS,
            timestep_classes: 1,
            model: p.model.clone(),
            vram: None,
            preview: false,
            attention_mask: false,
            skip: Skip::default(),
        })
    }

    /// Reads a target file (docs/targets.md).
    ///
    /// # Errors
    /// Everything that is wrong with it, and for sizes the nearest legal ones.
    pub fn parse(name: &str, text: &str) -> Result<Target, TargetError> {
        let fail = |problems| TargetError { name: name.to_string(), problems };
        let file: File =
            toml::from_str(text).map_err(|e| fail(vec![e.to_string().trim_end().to_string()]))?;
        let mut problems = Vec::new();
        let dtype = Dtype::from_name(&file.dtype).filter(|d| d.is_float()).unwrap_or_else(|| {
            problems.push(format!("dtype is {:?}, wanted \"bf16\" or \"f32\"", file.dtype));
            Dtype::Bf16
        });
        let weights = weights::kept(file.weights.as_deref(), dtype, &mut problems);
        let mut recipe = stages::recipe(&file.pipeline, file.guidance, file.stage, &mut problems);
        let mut side = |name: &str, said: Option<usize>| {
            if said.is_none() && recipe.streams().video {
                problems.push(format!("{name} is not said; wanted pixels"));
            }
            // Without video the smallest frame stands for one.
            said.unwrap_or(recipe.grid())
        };
        let (width, height) = (side("width", file.width), side("height", file.height));
        if let Some(keyframes) = file.keyframes {
            recipe.with_keyframes(keyframes);
        }
        let model = model(file.model).unwrap_or_else(|problem| {
            problems.push(problem);
            Model::Demo
        });
        let vram =
            file.vram.and_then(|text| parse_vram(&text).map_err(|problem| problems.push(problem)).ok());
        let target = Target {
            name: name.to_string(),
            size: Size { width, height, frames: file.frames, fps: file.fps },
            recipe,
            dtype,
            weights,
            text_tokens: file.text_tokens.unwrap_or(TEXT_TOKENS),
            timestep_classes: file.timestep_classes.unwrap_or(1),
            model,
            vram,
            preview: file.preview.unwrap_or(false),
            attention_mask: file.attention_mask.unwrap_or(false),
            skip: file.skip,
        };
        problems.extend(target.problems());
        if problems.is_empty() { Ok(target) } else { Err(fail(problems)) }
    }

    /// Whether a model has the blocks that it names.
    ///
    /// # Errors
    /// All fields that name others.
    pub fn check_blocks(&self, model: &Transformer) -> Result<(), TargetError> {
        let perturbed = self.recipe.stages.iter().map(|stage| Skip::perturbed(&stage.stg_blocks(model)));
        let named = perturbed.map(|skip| ("stg_blocks", skip)).chain([("skip", self.skip.clone())]);
        let problem = |(field, skip): (&str, Skip)| {
            let (block, last) = (skip.beyond(model.layers).next()?, model.layers.max(1) - 1);
            Some(format!("{field} has {block}; the model's blocks are 0 to {last}"))
        };
        let problems: Vec<String> = named.filter_map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(TargetError { name: self.name.clone(), problems }) }
    }

    /// Where the size is legal, but outside the range that `model` declares its positions for: a sentence each.
    pub fn warnings(&self, model: &Transformer) -> Vec<String> {
        let ([seconds, high, wide], s) = (model.video_max_pos, &self.size);
        let extents = [
            ("width", s.width as f64, wide, "pixels"),
            ("height", s.height as f64, high, "pixels"),
            ("length", s.frames as f64 / s.fps, seconds.min(model.audio_max_pos), "seconds"),
        ];
        let beyond = extents.into_iter().filter(|(_, have, most, _)| *have > f64::from(*most));
        beyond
            .map(|(what, have, most, unit)| {
                let have = (have * 100.0).round() / 100.0;
                format!("{what} {have} is beyond the {most} {unit} that the model declares: expect artefacts")
            })
            .collect()
    }

    fn problems(&self) -> Vec<String> {
        let mut out = Vec::new();
        let (grid, s) = (self.recipe.grid(), &self.size);
        for (name, side) in [("width", s.width), ("height", s.height)] {
            if side == 0 || side % grid != 0 || side > MAX_SIDE {
                let (below, above) = (side / grid * grid, (side / grid + 1) * grid);
                let near = match (below, above) {
                    (0, above) => format!("the smallest is {above}"),
                    (below, above) if above > MAX_SIDE => format!("the nearest is {}", below.min(MAX_SIDE)),
                    (below, above) => format!("the nearest are {below} and {above}"),
                };
                out.push(format!(
                    "{name} is {side}; a {} target wants a multiple of {grid}: {near}",
                    self.recipe.name
                ));
            }
        }
        if s.frames == 0 || s.frames % TIME != 1 || s.frames > MAX_FRAMES {
            let below = (s.frames.saturating_sub(1) / TIME * TIME + 1).min(MAX_FRAMES);
            let near = match below + TIME {
                above if above > MAX_FRAMES => format!("the nearest is {below}"),
                above => format!("the nearest are {below} and {above}"),
            };
            out.push(format!("frames is {}; wanted 8k + 1: {near}", s.frames));
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
        if self.recipe.keyframes() > MAX_KEYFRAMES {
            out.push(format!("keyframes is {}; wanted 0 to {MAX_KEYFRAMES}", self.recipe.keyframes()));
        }
        if self.timestep_classes == 0 {
            out.push("timestep_classes is 0; wanted at least 1".to_string());
        }
        out
    }
}

/// Reads the memory of a card, such as `24GiB` or `25.77 GB`, as bytes.
///
/// # Errors
/// Says what was wanted.
pub fn parse_vram(text: &str) -> Result<u64, String> {
    let units = [("GiB", (1u64 << 30) as f64), ("GB", 1e9)];
    let of =
        |(unit, size): (&str, f64)| Some(text.strip_suffix(unit)?.trim_end().parse::<f64>().ok()? * size);
    let bytes = units.into_iter().find_map(of).filter(|bytes| *bytes >= 1.0 && *bytes <= MAX_VRAM as f64);
    bytes.map(|bytes| bytes as u64).ok_or_else(|| {
        format!(
            "vram is {text:?}; wanted the memory of a card in GiB or GB, at most 1024 GiB, such as \"24GiB\""
        )
    })
}

fn model(field: ModelField) -> Result<Model, String> {
    match field {
        ModelField::Named(name) => match name.as_str() {
            "ltx-2.3-22b" => Ok(Model::Ltx23),
            "demo" => Ok(Model::Demo),
            _ => Err(format!("model is {name:?}; wanted \"ltx-2.3-22b\", \"demo\" or a table of files")),
        },
        ModelField::Files(mut files) => {
            let mut take = |key: &str| match files.remove(key) {
                Some(Paths::One(path)) => Ok(vec![path]),
                Some(Paths::Several(paths)) if !paths.is_empty() => Ok(paths),
                Some(Paths::Several(_)) => Err(format!("model's {key} names no file")),
                None => {
                    Err(format!("model has no {key}; wanted checkpoint, text_encoder and spatial_upscaler"))
                }
            };
            let one = |key: &str, mut paths: Vec<PathBuf>| match (paths.pop(), paths.is_empty()) {
                (Some(path), true) => Ok(path),
                _ => Err(format!("model's {key} names several files; only a checkpoint is split")),
            };
            let model = Model::Files {
                checkpoint: take("checkpoint")?,
                text_encoder: one("text_encoder", take("text_encoder")?)?,
                spatial_upscaler: one("spatial_upscaler", take("spatial_upscaler")?)?,
            };
            match files.into_keys().next() {
                Some(key) => {
                    Err(format!("model has {key}; wanted checkpoint, text_encoder and spatial_upscaler"))
                }
                None => Ok(model),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(changes: &[(&str, &str)]) -> String {
        let mut fields = BTreeMap::from([
            ("width", "256"),
            ("height", "192"),
            ("frames", "25"),
            ("fps", "24"),
            ("pipeline", "\"distilled\""),
            ("dtype", "\"f32\""),
            ("model", "\"demo\""),
        ]);
        fields.extend(changes.iter().copied());
        fields.iter().map(|(k, v)| format!("{k} = {v}\n")).collect()
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let target = Target::parse("my", &text(&[("fps", "29.97")])).unwrap();
        assert_eq!((target.text_tokens, target.timestep_classes, target.preview), (1024, 1, false));
        assert_eq!((target.size.video_tokens(), target.size.audio_tokens()), (192, 21));
    }

    #[test]
    fn an_illegal_size_names_the_nearest_legal_ones() {
        let error = Target::parse("my", &text(&[("width", "1000"), ("frames", "24")])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("960 and 1024"), "{text}");
        assert!(text.contains("17 and 25"), "{text}");
    }

    #[test]
    fn sizes_beyond_the_declared_positions_are_legal_and_said() {
        let model = crate::ltx::builtin::ltx_2_3_22b().transformer;
        let warnings = |name: &str| Target::preset(name).unwrap().warnings(&model).join("\n");
        for (name, _) in PRESETS.iter().filter(|(name, _)| *name != "res-4k") {
            assert_eq!(warnings(name), "", "{name}");
        }
        let beyond = warnings("res-4k");
        assert!(beyond.contains("width 3840") && beyond.contains("height 2176"), "{beyond}");
        assert!(beyond.contains("2048 pixels") && !beyond.contains("seconds"), "{beyond}");
        let long = Target::parse("my", &text(&[("frames", "489")])).unwrap().warnings(&model);
        assert!(
            long.len() == 1 && long[0].contains("length 20.38") && long[0].contains("20 seconds"),
            "{long:?}"
        );
    }

    #[test]
    fn every_preset_is_a_legal_target() {
        for (name, _) in &PRESETS {
            assert_eq!(Target::preset(name).unwrap().problems(), [""; 0], "{name}");
        }
    }

    #[test]
    fn one_frame_is_legal_where_it_leaves_an_audio_token() {
        assert!(Target::parse("my", &text(&[("frames", "1")])).is_ok());
        let error = Target::parse("my", &text(&[("frames", "1"), ("fps", "60")])).unwrap_err().to_string();
        assert!(error.contains("no audio token"), "{error}");
    }

    #[test]
    fn memory_is_said_in_the_units_of_cards() {
        let parsed = |text: &str| Target::parse("my", &self::text(&[("vram", text)])).map(|t| t.vram);
        assert_eq!(parsed("\"24GiB\""), Ok(Some(24 << 30)));
        assert_eq!(parsed("\"0.5 GiB\""), Ok(Some(1 << 29)));
        assert_eq!(parsed("\"32GB\""), Ok(Some(32_000_000_000)));
        for text in ["\"24\"", "\"GiB\"", "\"-1GiB\"", "\"nanGB\"", "\"2000GiB\"", "24"] {
            assert!(parsed(text).unwrap_err().to_string().contains("vram"), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        for (key, value) in
            [("fps", "nan"), ("fps", "0"), ("dtype", "\"i32\""), ("model", "\"ltx-9\""), ("depth", "3")]
        {
            assert!(Target::parse("my", &text(&[(key, value)])).is_err(), "{key} = {value}");
        }
        assert!(Target::parse("my", "width = ").is_err());
    }
}
