//! Targets: what one plan is compiled for.

mod check;
mod decoders;
mod fields;
mod stages;
mod weights;
mod windows;

use std::path::PathBuf;

use serde::Deserialize;
use thiserror::Error as ThisError;

use crate::lang::{Dtype, Kept};
use crate::ltx::config::{Enlarges, TEXT_TOKENS, Transformer};
use crate::ltx::decode::VideoDecoder;
use crate::ltx::enhance::Enhance;
use crate::ltx::recipe::Recipe;
use crate::ltx::sizes::Size;
use crate::ltx::skip::Skip;
use decoders::{PreviewField, decoders};
use fields::{EnhanceField, ModelField};
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
    /// What makes the clip's frames.
    pub decoder: VideoDecoder,
    /// What makes a frame after every denoising step that shows how far the clip is, if anything does.
    pub preview: Option<VideoDecoder>,
    /// The room in which the text encoder writes a better prompt, where a run can have one.
    pub enhance: Option<Enhance>,
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

/// The most keyframes that a target may have room for.
pub const MAX_KEYFRAMES: usize = 32;
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
    decoder: Option<String>,
    preview: Option<PreviewField>,
    enhance: Option<EnhanceField>,
    attention_mask: Option<bool>,
    keyframes: Option<usize>,
    upscaler: Option<String>,
    carried: Option<usize>,
    #[serde(default)]
    skip: Skip,
    guidance: Option<GuidanceField>,
    #[serde(default)]
    stage: Vec<StageField>,
}

impl Target {
    /// The preset of this name.
    pub fn preset(name: &str) -> Option<Target> {
        let (_, p) = PRESETS.iter().find(|(n, _)| *n == name)?;
        Some(Target {
            name: name.to_string(),
            size: Size { width: p.width, height: p.height, frames: p.frames, fps: 24.0, stride: 1 },
            recipe: Recipe::named(p.recipe)?,
            dtype: Dtype::Bf16,
            weights: None,
            text_tokens: TEXT_TOKENS,
            timestep_classes: 1,
            model: p.model.clone(),
            vram: None,
            decoder: VideoDecoder::Vae,
            preview: None,
            enhance: None,
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
        if let Some(name) = &file.upscaler {
            enlarge(&mut recipe, name, &mut problems);
        }
        let mut side = |name: &str, said: Option<usize>| {
            if said.is_none() && recipe.streams().video {
                problems.push(format!("{name} is not said; wanted pixels"));
            }
            // Without video the smallest frame stands for one.
            said.unwrap_or(recipe.smallest_side())
        };
        let (width, height) = (side("width", file.width), side("height", file.height));
        if let Some(keyframes) = file.keyframes {
            recipe.with_keyframes(keyframes);
        }
        if let Some(carried) = file.carried {
            recipe.with_carried(carried);
        }
        let model = file.model.model().unwrap_or_else(|problem| {
            problems.push(problem);
            Model::Demo
        });
        let vram =
            file.vram.and_then(|text| parse_vram(&text).map_err(|problem| problems.push(problem)).ok());
        let (decoder, preview) = decoders(file.decoder, file.preview, &mut problems);
        let target = Target {
            name: name.to_string(),
            size: Size { width, height, frames: file.frames, fps: file.fps, stride: 1 },
            recipe,
            dtype,
            weights,
            text_tokens: file.text_tokens.unwrap_or(TEXT_TOKENS),
            timestep_classes: file.timestep_classes.unwrap_or(1),
            model,
            vram,
            decoder,
            preview,
            enhance: file.enhance.and_then(EnhanceField::room),
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
}

/// Has the video of a recipe enlarged by the upscaler of this name.
fn enlarge(recipe: &mut Recipe, name: &str, problems: &mut Vec<String>) {
    match Enlarges::ALL.into_iter().find(|by| by.name() == name) {
        Some(by) if recipe.with_upscaler(by) => {}
        Some(_) => problems.push(format!("upscaler is {name:?}, and {} enlarges nothing", recipe.name)),
        None => {
            let known = stages::quoted(Enlarges::ALL.map(Enlarges::name));
            problems.push(format!("upscaler is {name:?}; wanted one of {known}"));
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
        assert_eq!((target.text_tokens, target.timestep_classes, target.preview), (1024, 1, None));
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
    fn room_to_enhance_a_prompt_is_said_or_counted() {
        let parsed = |value: &str| Target::parse("my", &text(&[("enhance", value)])).map(|t| t.enhance);
        assert_eq!(Target::parse("my", &text(&[])).map(|t| t.enhance), Ok(None));
        let room = |tokens, image| Ok(Some(Enhance { tokens, image }));
        assert_eq!(
            (parsed("true"), parsed("false"), parsed("300")),
            (room(2048, false), Ok(None), room(300, false))
        );
        assert_eq!(parsed("{ image = true }"), room(2048, true));
        assert_eq!(parsed("{ tokens = 700, image = true }"), room(700, true));
        assert!(parsed("{ picture = true }").is_err());
        assert!(parsed("63").unwrap_err().to_string().contains("enhance is 63; wanted true, or 64 to 32768"));
        assert!(parsed("-1").is_err() && parsed("\"yes\"").is_err());
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
