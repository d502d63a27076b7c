//! A stream of a stage: what its tokens begin as, and what holds or hides some of them.

use super::conditioning::{Held, Hidden};
use super::pass_input::PerStream;
use crate::lang::Value;

/// How the names of a stream's ports begin.
pub(super) const STREAMS: PerStream<&str> = PerStream { video: "v", audio: "a" };

/// A stream as the loop sees it.
#[derive(Clone, Copy)]
pub(super) struct Track {
    /// How the names of its ports begin.
    pub name: &'static str,
    /// What its tokens begin as, [tokens, channels].
    pub start: Value,
    /// Which noise level each token has, i32 \[tokens\].
    pub class: Value,
    /// What holds some of its tokens; `None` where all are generated.
    pub held: Option<Held>,
    /// Whether it is given and stays what it is, at no noise.
    pub frozen: bool,
    /// Which of its tokens nobody sees; `None` where all are seen.
    pub hidden: Option<Hidden>,
}
