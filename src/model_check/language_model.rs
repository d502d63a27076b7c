//! Which Gemma a list of tensors is of: people have several, and their folders look alike.

use std::fmt;

use zoetrope_runtime::files::TensorSet;
use zoetrope_runtime::plan::Source;

use crate::model_files::Wanted;

const EMBEDDING: &str = "language_model.model.embed_tokens.weight";
const LAYERS: &str = "language_model.model.layers.";

/// The published sizes of Gemma 3 by width and layers.
const PUBLISHED: [(usize, usize, &str); 5] = [
    (640, 18, "Gemma 3 270M"),
    (1152, 26, "Gemma 3 1B"),
    (2560, 34, "Gemma 3 4B"),
    (3840, 48, "Gemma 3 12B"),
    (5376, 62, "Gemma 3 27B"),
];

/// A language model by what its tensors show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanguageModel {
    /// The width of its layers.
    pub hidden: usize,
    /// How many layers it has.
    pub layers: usize,
}

impl LanguageModel {
    /// The model in a folder; `None` if it holds no embedding, which is then reported missing.
    pub fn of_files(files: &TensorSet) -> Option<LanguageModel> {
        let embedding = files.get(EMBEDDING)?;
        Some(LanguageModel {
            hidden: *embedding.shape.get(1)?,
            layers: layers(files.iter().map(|(name, _)| name)),
        })
    }

    /// The model that a plan reads.
    pub fn of_plan(wanted: &[Wanted]) -> Option<LanguageModel> {
        let encoder = || wanted.iter().filter(|w| w.source == Source::TextEncoder);
        let embedding = encoder().find(|w| w.tensor == EMBEDDING)?;
        let names = encoder().map(|w| w.tensor.as_str());
        Some(LanguageModel { hidden: *embedding.shape.get(1)?, layers: layers(names) })
    }

    /// The name under which it was published, if it was.
    pub fn name(self) -> Option<&'static str> {
        let published =
            PUBLISHED.iter().find(|(hidden, layers, _)| (*hidden, *layers) == (self.hidden, self.layers));
        published.map(|(.., name)| *name)
    }
}

/// Rows of the embedding that a plan reads.
pub fn rows(wanted: &[Wanted]) -> Option<usize> {
    let embedding = wanted.iter().find(|w| w.source == Source::TextEncoder && w.tensor == EMBEDDING)?;
    embedding.shape.first().copied()
}

/// One more than the highest layer's number.
fn layers<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    let number = |name: &str| name.strip_prefix(LAYERS)?.split('.').next()?.parse::<u32>().ok();
    names.filter_map(number).max().map_or(0, |last| last as usize + 1)
}

impl fmt::Display for LanguageModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LanguageModel { hidden, layers } = self;
        write!(f, "{} (width {hidden}, {layers} layers)", self.name().unwrap_or("a language model"))
    }
}
