//! The prompts of a run, and the phases that read them (docs/model/text.md).

use super::config::TEXT_TOKENS;
use super::pass_input::PerStream;
use super::recorder::{Recorded, Recorder};
use super::{connector, text_encoder};
use crate::lang::{Builder, Dtype, Role, Value};

/// What the transformer hears of a prompt.
pub(super) const CONTEXTS: PerStream<&str> = PerStream { video: "v.context", audio: "a.context" };

/// A prompt of a run.
pub(super) struct Prompt {
    number: usize,
    /// The end of the names of its phases.
    phase: &'static str,
    /// The end of the names of its slots.
    slot: &'static str,
}

/// What a clip shall be, and what it shall not be.
pub(super) const PROMPTS: [Prompt; 2] =
    [Prompt { number: 0, phase: "", slot: "" }, Prompt { number: 1, phase: "-negative", slot: NEGATIVE }];

/// The end of the names of ports and slots of the negative prompt.
pub(super) const NEGATIVE: &str = ".negative";

impl Prompt {
    fn phase(&self, name: &str) -> String {
        format!("{name}{}", self.phase)
    }

    pub(super) fn slot(&self, name: &str) -> String {
        format!("{name}{}", self.slot)
    }

    /// Its ids, and which of them are tokens.
    fn ports(&self, b: &Builder) -> [Value; 2] {
        let ids = b.port("input_ids", Role::Tokens { prompt: self.number }, Dtype::I32, &[TEXT_TOKENS]);
        [ids, self.mask(b)]
    }

    fn mask(&self, b: &Builder) -> Value {
        b.port("attention_mask", Role::TokenMask { prompt: self.number }, Dtype::I32, &[TEXT_TOKENS])
    }
}

impl Recorder<'_> {
    pub(super) fn text_encode(&self, prompt: &Prompt) -> Recorded {
        let b = self.builder(&prompt.phase("text-encode"));
        let [ids, mask] = prompt.ports(&b);
        b.output("hidden", text_encoder::text_encoder(&b, &self.model.gemma, ids, mask));
        b.finish()
    }

    /// What the streams that are there hear of a prompt.
    pub(super) fn connect(&self, prompt: &Prompt, there: PerStream<bool>) -> Recorded {
        let b = self.builder(&prompt.phase("connect"));
        let gemma = &self.model.gemma;
        let hidden = b.input("hidden", b.dtype(), &[gemma.layers + 1, TEXT_TOKENS, gemma.hidden]);
        let mask = prompt.mask(&b);
        let (video, audio) = (&self.model.video_connector, &self.model.audio_connector);
        let streams = PerStream { video: there.video.then_some(video), audio: there.audio.then_some(audio) };
        let features = connector::features(&b, streams, hidden, mask);
        let contexts = connector::connect(&b, streams, features, mask);
        for (name, context) in CONTEXTS.zip(contexts).both() {
            if let Some(context) = context {
                b.output(name, b.reshape(context, &[1, TEXT_TOKENS, b.width(context)]));
            }
        }
        b.finish()
    }
}
