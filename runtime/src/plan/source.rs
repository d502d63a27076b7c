//! Where weights come from.

/// Which model file a weight comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    Checkpoint,
    TextEncoder,
    SpatialUpscaler,
    /// The adapters in the slot of this number.
    Adapter(u8),
    /// The checkpoint with the adapters of this slot merged into it.
    Merged(u8),
}

impl Source {
    /// The file that its tensors stand in, before anything is merged into them.
    pub const fn file(self) -> Source {
        match self {
            Source::Merged(_) => Source::Checkpoint,
            other => other,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Source::Checkpoint => "checkpoint",
            Source::TextEncoder => "text encoder",
            Source::SpatialUpscaler => "spatial upscaler",
            Source::Adapter(_) => "adapter",
            Source::Merged(_) => "checkpoint with adapters",
        }
    }
}
