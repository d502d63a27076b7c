//! The phases in which the text encoder writes a better prompt (docs/model/text.md 5).

use super::recorder::{Recorded, Recorder};
use super::text_encoder::{self, Cache};
use crate::lang::{Dtype, Role, ShapeError};
use crate::program::Phase;

/// Tokens of a chat, what is asked and what is written together, that a target has room for unless it says otherwise: 512
/// new ones, and 1536 for the system text and the prompt.
pub const CHAT_TOKENS: usize = 2048;

/// Reads what the model is asked, and leaves the cache of its tokens.
pub(super) const READ: &str = "enhance-read";
/// Writes on, a token in every turn.
pub(super) const WRITE: &str = "enhance-write";

/// The ports of the cache; slots have these names behind `chat.`.
const CACHE: [&str; 2] = ["keys", "values"];

impl Recorder<'_> {
    /// Tokens of a chat.
    fn chat_tokens(&self) -> usize {
        self.target.enhance.unwrap_or(CHAT_TOKENS)
    }

    /// Both phases, in order.
    pub(super) fn enhance(&self) -> Result<[Phase; 2], ShapeError> {
        let (read, write) = (Phase::alone(self.enhance_read()?), Phase::alone(self.enhance_write()?));
        Ok(CACHE.into_iter().fold([read, write], |[read, write], port| {
            let slot = format!("chat.{port}");
            [read.leaves(port, &slot), write.takes(port, &slot)]
        }))
    }

    pub(super) fn enhance_read(&self) -> Recorded {
        let b = self.builder(READ);
        let rows = self.chat_tokens();
        let ids = b.port("input_ids", Role::Chat, Dtype::I32, &[rows]);
        let mask = b.port("attention_mask", Role::ChatMask, Dtype::I32, &[rows]);
        let cache = text_encoder::read(&b, &self.model.gemma, ids, mask);
        for (name, value) in CACHE.into_iter().zip([cache.keys, cache.values]) {
            b.output(name, value);
        }
        b.finish()
    }

    /// The last token of what is asked is the first that a turn takes, so every turn is alike.
    pub(super) fn enhance_write(&self) -> Recorded {
        let b = self.builder(WRITE);
        let gemma = &self.model.gemma;
        let shape = [gemma.layers, self.chat_tokens(), Cache::width(gemma)];
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
