//! What an evaluation of the transformer takes: its streams, and what each of its passes has of its own.

use super::skip::Skip;
use crate::lang::Value;

/// Something of each stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerStream<T = Value> {
    pub video: T,
    pub audio: T,
}

impl<T> PerStream<T> {
    /// What `f` makes of both, the video first.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> PerStream<U> {
        PerStream { video: f(self.video), audio: f(self.audio) }
    }

    /// Both together with those of another.
    pub fn zip<U>(self, other: PerStream<U>) -> PerStream<(T, U)> {
        PerStream { video: (self.video, other.video), audio: (self.audio, other.audio) }
    }

    /// Both by reference.
    pub fn as_ref(&self) -> PerStream<&T> {
        PerStream { video: &self.video, audio: &self.audio }
    }

    /// Both, the video first.
    pub fn both(self) -> [T; 2] {
        [self.video, self.audio]
    }
}

impl<T> PerStream<Option<T>> {
    /// What `f` makes of those that are there.
    pub fn map_some<U>(self, mut f: impl FnMut(T) -> U) -> PerStream<Option<U>> {
        self.map(|one| one.map(&mut f))
    }

    /// Those that are there, the video first.
    pub fn present(self) -> impl Iterator<Item = T> {
        self.both().into_iter().flatten()
    }
}

/// What one stream brings to an evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// Noisy tokens [tokens, 128].
    pub latent: Value,
    /// The distinct timesteps of the stream's tokens, sigma times mask, f32 \[classes\].
    pub timesteps: Value,
    /// Which of them each token has, i32 \[tokens\].
    pub class: Value,
    /// The noise level of the stream as a whole, f32 \[1\].
    pub sigma: Value,
    /// What is added to the scores of its self-attention, f32 [tokens, tokens], or [1, tokens] for all queries, or a row for
    /// each group of them ([`super::attention::bias_of`]).
    pub bias: Option<Value>,
    /// The same where the other stream attends to it, [1, tokens].
    pub bias_from_outside: Option<Value>,
}

/// One pass through the blocks among those of an evaluation, which have latents and noise levels in common.
#[derive(Clone, Debug)]
pub struct PassInput {
    pub skip: Skip,
    /// The text contexts [text tokens, width] of the streams that are there.
    pub context: PerStream<Option<Value>>,
}
