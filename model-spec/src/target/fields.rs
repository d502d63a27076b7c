//! Fields of a target file that come in several forms.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::Model;
use crate::ltx::enhance::Enhance;

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum ModelField {
    Named(String),
    Files(BTreeMap<String, Paths>),
}

/// Whether there is room for a better prompt, for how many tokens, and for an image.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum EnhanceField {
    Said(bool),
    Tokens(usize),
    Room(EnhanceRoom),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnhanceRoom {
    tokens: Option<usize>,
    #[serde(default)]
    image: bool,
}

impl EnhanceField {
    pub fn room(self) -> Option<Enhance> {
        let usual = Enhance::default();
        match self {
            EnhanceField::Said(said) => said.then_some(usual),
            EnhanceField::Tokens(tokens) => Some(Enhance { tokens, ..usual }),
            EnhanceField::Room(EnhanceRoom { tokens, image }) => {
                Some(Enhance { tokens: tokens.unwrap_or(usual.tokens), image })
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Paths {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

impl ModelField {
    pub fn model(self) -> Result<Model, String> {
        match self {
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
                    None => Err(format!(
                        "model has no {key}; wanted checkpoint, text_encoder and spatial_upscaler"
                    )),
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
}
