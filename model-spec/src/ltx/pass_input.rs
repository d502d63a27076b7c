//! What a pass through the blocks takes that others do not: what it skips, and its text.

use super::skip::Skip;
use crate::lang::Value;

/// A value of each stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerStream {
    pub video: Value,
    pub audio: Value,
}

/// One pass through the blocks among those of an evaluation, which have latents and noise levels in common.
#[derive(Clone, Debug)]
pub struct PassInput {
    pub skip: Skip,
    /// The text context [text tokens, width].
    pub context: PerStream,
}
