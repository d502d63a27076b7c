//! What a pass through the blocks takes that others do not: its kind, and its text.

use super::guidance::Pass;
use crate::lang::Value;

/// A value of each stream.
#[derive(Clone, Copy, Debug)]
pub struct PerStream {
    pub video: Value,
    pub audio: Value,
}

/// One pass through the blocks among those of an evaluation, which have latents and noise levels in common.
#[derive(Clone, Copy, Debug)]
pub struct PassInput {
    pub pass: Pass,
    /// The text context [text tokens, width].
    pub context: PerStream,
}
