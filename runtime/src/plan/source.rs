//! Where weights come from.

/// Which model file a weight comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    Checkpoint,
    TextEncoder,
    /// The spatial x2 one.
    SpatialUpscaler,
    SpatialUpscalerX1_5,
    TemporalUpscaler,
    /// The adapters in the slot of this number.
    Adapter(u8),
    /// The checkpoint with the adapters of this slot merged into it.
    Merged(u8),
}

impl Source {
    /// Those that a model's files are, of which a plan reads one upscaler at most.
    pub const FILES: [Source; 5] = [
        Source::Checkpoint,
        Source::TextEncoder,
        Source::SpatialUpscaler,
        Source::SpatialUpscalerX1_5,
        Source::TemporalUpscaler,
    ];

    /// Whether it is one of the upscalers.
    pub const fn is_upscaler(self) -> bool {
        matches!(self, Source::SpatialUpscaler | Source::SpatialUpscalerX1_5 | Source::TemporalUpscaler)
    }

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
            Source::SpatialUpscalerX1_5 => "spatial x1.5 upscaler",
            Source::TemporalUpscaler => "temporal upscaler",
            Source::Adapter(_) => "adapter",
            Source::Merged(_) => "checkpoint with adapters",
        }
    }
}
