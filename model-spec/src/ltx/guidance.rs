//! Guidance: several passes through the transformer make one prediction (docs/model/sampling.md 7).

use std::fmt;

use super::config::Transformer;
use super::sampler;
use super::skip::Skip;
use crate::lang::{Builder, Value};

/// A pass through the transformer: which prompt it hears, and what it skips (docs/model/transformer.md 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Nothing, with the prompt.
    Cond,
    /// Nothing, with the negative prompt.
    Uncond,
    /// Self-attention of both streams in the perturbed blocks.
    Perturbed,
    /// Attention between the streams, in all blocks.
    Isolated,
}

/// The passes of a guided step beside the conditional one.
#[derive(Clone, Debug, PartialEq)]
pub struct Guidance {
    /// Whether the negative prompt has one.
    pub uncond: bool,
    /// The blocks that the perturbed one perturbs, ascending; without any there is none. `None` for the block that the
    /// model is meant for.
    pub stg_blocks: Option<Vec<usize>>,
    /// Whether there is one in which the streams do not hear each other.
    pub modality: bool,
    /// How much each counts, unless a request says otherwise.
    pub scales: Scales,
}

/// What each pass of a stream counts (docs/model/sampling.md 7.2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scales {
    pub video: StreamScales,
    pub audio: StreamScales,
}

/// The scales of one stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamScales {
    pub cfg: f32,
    pub stg: f32,
    pub modality: f32,
    pub rescale: f32,
}

impl Scales {
    /// Of one stage, and of the first of two (docs/model/sampling.md 7.3).
    pub const STANDARD: Scales = Scales {
        video: StreamScales { cfg: 3.0, stg: 1.0, modality: 3.0, rescale: 0.7 },
        audio: StreamScales { cfg: 7.0, stg: 1.0, modality: 3.0, rescale: 0.7 },
    };

    /// Of the first of two stages whose steps have two evaluations (docs/model/sampling.md 7.3, HQ).
    pub const HQ: Scales = Scales {
        video: StreamScales { cfg: 3.0, stg: 0.0, modality: 3.0, rescale: 0.45 },
        audio: StreamScales { cfg: 7.0, stg: 0.0, modality: 3.0, rescale: 1.0 },
    };
}

impl Guidance {
    /// The blocks that the perturbed pass of a model perturbs, ascending: of 48 the one with number 28
    /// (docs/model/sampling.md 7.3), of fewer the one at the same share of the way.
    pub fn stg_blocks(&self, model: &Transformer) -> Vec<usize> {
        self.stg_blocks.clone().unwrap_or_else(|| vec![model.layers * 28 / 48])
    }

    /// All passes in the order of docs/model/transformer.md 9.
    pub fn passes(&self, model: &Transformer) -> Vec<Pass> {
        let there = [
            (Pass::Cond, true),
            (Pass::Uncond, self.uncond),
            (Pass::Perturbed, !self.stg_blocks(model).is_empty()),
            (Pass::Isolated, self.modality),
        ];
        there.into_iter().filter(|(_, there)| *there).map(|(pass, _)| pass).collect()
    }
}

impl fmt::Display for Guidance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let perturbed = match &self.stg_blocks {
            None => "perturbed at the model's block".to_string(),
            Some(blocks) => format!("perturbed at {blocks:?}"),
        };
        let names = [
            ("cond".to_string(), true),
            ("uncond".to_string(), self.uncond),
            (perturbed, self.stg_blocks.as_ref().is_none_or(|blocks| !blocks.is_empty())),
            ("isolated".to_string(), self.modality),
        ];
        let names: Vec<_> = names.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect();
        write!(f, "{}", names.join(", "))?;
        for (stream, scales) in [("video", self.scales.video), ("audio", self.scales.audio)] {
            let StreamScales { cfg, stg, modality, rescale } = scales;
            write!(f, "; {stream} cfg {cfg} stg {stg} modality {modality} rescale {rescale}")?;
        }
        Ok(())
    }
}

/// The end of the name of the port that says how far the standard deviation of a prediction is brought back to that of
/// the conditional pass: 0 to 1.
pub const RESCALE: &str = "rescale_scale";

impl Pass {
    /// The end of the name of the port that says how much the pass counts, and the number with which it is without
    /// effect; `None` for the conditional one.
    pub fn scale(self) -> Option<(&'static str, f32)> {
        match self {
            Pass::Cond => None,
            Pass::Uncond => Some(("cfg_scale", 1.0)),
            Pass::Perturbed => Some(("stg_scale", 0.0)),
            Pass::Isolated => Some(("modality_scale", 1.0)),
        }
    }

    /// What it skips in a model of so many blocks, of which these are perturbed.
    pub fn skip(self, stg_blocks: &[usize], layers: usize) -> Skip {
        match self {
            Pass::Cond | Pass::Uncond => Skip::default(),
            Pass::Perturbed => Skip::perturbed(stg_blocks),
            Pass::Isolated => Skip::isolated(layers),
        }
    }

    /// How much it counts among the scales of a stream.
    pub fn of(self, scales: StreamScales) -> f32 {
        match self {
            Pass::Cond => 1.0,
            Pass::Uncond => scales.cfg,
            Pass::Perturbed => scales.stg,
            Pass::Isolated => scales.modality,
        }
    }
}

/// A guided prediction of x0 before its deviation is brought back to that of the conditional pass.
#[derive(Clone, Copy, Debug)]
pub struct Guided {
    /// [tokens, channels], f32.
    pub towards: Value,
    /// Standard deviations of the conditional prediction and of this one, f32 \[1\].
    deviations: [Value; 2],
    /// f32 \[1\].
    rescale: Value,
}

impl Guided {
    /// Of the predictions that the `passes` of one stream make, the conditional one first. `scale` has the values of
    /// the ports of a stream, f32 \[1\], by the ends of their names. Statistics are those of `visible` tokens, or of all.
    pub fn new(
        b: &Builder,
        passes: &[(Pass, Value)],
        visible: Option<Value>,
        scale: impl Fn(&str) -> Value,
    ) -> Guided {
        let cond = passes[0].1;
        let mut towards = cond;
        for (pass, other) in passes {
            if let Some((name, none)) = pass.scale() {
                let strength = b.affine(scale(name), 1.0, 0.0 - none);
                towards = b.add(towards, b.mul(b.sub(cond, *other), strength));
            }
        }
        let deviation = |x: Value| sampler::deviation(b, x, visible);
        Guided { towards, deviations: [deviation(cond), deviation(towards)], rescale: scale(RESCALE) }
    }

    /// The prediction of tokens, `towards` being theirs: statistics are those of all tokens.
    pub fn x0(&self, b: &Builder, towards: Value) -> Value {
        let [cond, own] = self.deviations;
        let ratio = b.affine(b.div(cond, own), 1.0, -1.0);
        b.mul(towards, b.affine(b.mul(ratio, self.rescale), 1.0, 1.0))
    }
}
