//! The phases in which the text encoder writes a better prompt (docs/model/text.md 5).

use super::config::Vision;
use super::recorder::{Recorded, Recorder};
use super::text_encoder::{self, Cache, Shown};
use super::vision_encoder;
use crate::lang::{Dtype, Role, ShapeError};
use crate::program::Phase;

/// What there is room for where the text encoder writes a better prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enhance {
    /// Tokens of a chat, what is asked and what is written together.
    pub tokens: usize,
    /// Whether it can be shown an image.
    pub image: bool,
}

impl Default for Enhance {
    /// 512 new tokens, and 1536 for the system text and the prompt.
    fn default() -> Enhance {
        Enhance { tokens: 2048, image: false }
    }
}

/// Makes tokens of the image.
pub(super) const SEE: &str = "enhance-see";
/// Reads what the model is asked, and leaves the cache of its tokens.
pub(super) const READ: &str = "enhance-read";
/// Writes on, a token in every turn.
pub(super) const WRITE: &str = "enhance-write";

/// The port of the image's tokens; their slot has this name behind `chat.`, as those of the cache have.
const IMAGE: &str = "image";
/// The ports of the cache.
const CACHE: [&str; 2] = ["keys", "values"];

fn slot(port: &str) -> String {
    format!("chat.{port}")
}

impl Recorder<'_> {
    /// Its phases in order, where it has room for a chat.
    pub(super) fn enhance(&self) -> Result<Vec<Phase>, ShapeError> {
        let Some(Enhance { image, .. }) = self.target.enhance else { return Ok(Vec::new()) };
        let (read, write) = (Phase::alone(self.enhance_read()?), Phase::alone(self.enhance_write()?));
        let [mut read, write] = CACHE.into_iter().fold([read, write], |[read, write], port| {
            [read.leaves(port, &slot(port)), write.takes(port, &slot(port))]
        });
        let mut phases = Vec::new();
        if image {
            phases.push(Phase::alone(self.enhance_see()?).leaves(IMAGE, &slot(IMAGE)));
            read = read.takes(IMAGE, &slot(IMAGE));
        }
        phases.extend([read, write]);
        Ok(phases)
    }

    /// Port `pixels` [1, 3, side, side] in −1..1 to port `image` [tokens, hidden].
    pub(super) fn enhance_see(&self) -> Recorded {
        let b = self.builder(SEE);
        let gemma = &self.model.gemma;
        let vision = gemma.vision.as_ref().map_err(|why| {
            ShapeError(format!("{SEE}: the text encoder has no vision tower to see an image with: {why}"))
        })?;
        let shape = vision_encoder::image_shape(vision);
        let pixels = b.port("pixels", Role::ChatImage, b.dtype(), &[&[1], shape.as_slice()].concat());
        b.output(IMAGE, vision_encoder::see(&b, gemma, vision, b.reshape(pixels, &shape)));
        b.finish()
    }

    pub(super) fn enhance_read(&self) -> Recorded {
        let b = self.builder(READ);
        let (Enhance { tokens: rows, image }, gemma) =
            (self.target.enhance.unwrap_or_default(), &self.model.gemma);
        let ids = b.port("input_ids", Role::Chat, Dtype::I32, &[rows]);
        let mask = b.port("attention_mask", Role::ChatMask, Dtype::I32, &[rows]);
        let vision = gemma.vision.as_ref().ok().filter(|_| image);
        if let Some(tokens) = vision.map(Vision::tokens).filter(|tokens| *tokens >= rows) {
            return Err(ShapeError(format!(
                "{READ}: enhance has room for {rows} tokens, and an image alone has {tokens}"
            )));
        }
        let shown = vision.map(|vision| Shown {
            image: b.input(IMAGE, b.dtype(), &[vision.tokens(), gemma.hidden]),
            rows: b.port("rows", Role::ChatRows, Dtype::I32, &[rows]),
            until: b.port("until", Role::ChatUntil, Dtype::I32, &[rows]),
        });
        let cache = text_encoder::read(&b, gemma, ids, mask, shown);
        for (name, value) in CACHE.into_iter().zip([cache.keys, cache.values]) {
            b.output(name, value);
        }
        b.finish()
    }

    /// The last token of what is asked is the first that a turn takes, so every turn is alike.
    pub(super) fn enhance_write(&self) -> Recorded {
        let b = self.builder(WRITE);
        let gemma = &self.model.gemma;
        let shape = [gemma.layers, self.target.enhance.unwrap_or_default().tokens, Cache::width(gemma)];
        let [keys, values] = CACHE.map(|name| b.input(name, b.dtype(), &shape));
        let logits = b.port("logits", Role::Unset, b.dtype(), &[1, gemma.vocab]);
        let state = b.steps("token", &[keys, values, logits], |state| {
            let token = b.port("token", Role::Token, Dtype::I32, &[1]);
            let place = b.port("place", Role::Place, Dtype::I32, &[1]);
            let cache = Cache { keys: state[0], values: state[1] };
            let (cache, logits) = text_encoder::write(&b, gemma, cache, token, place);
            vec![cache.keys, cache.values, logits]
        });
        b.result("logits", Role::Logits, state[2]);
        b.finish()
    }
}
