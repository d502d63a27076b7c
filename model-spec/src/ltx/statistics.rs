//! Per-channel statistics: what lies between a latent as the VAEs make it and as the transformer sees it
//! (docs/model/video-vae.md 3, audio.md 1).

use crate::lang::{Builder, Source, Value};

/// Mean and standard deviation of every channel, \[channels\] each.
#[derive(Clone, Copy, Debug)]
pub struct Statistics {
    mean: Value,
    std: Value,
}

impl Statistics {
    /// The pair of the VAE named `vae` in the checkpoint.
    pub fn of(b: &Builder, vae: &str, channels: usize) -> Statistics {
        b.component(Source::Checkpoint, &format!("{vae}.per_channel_statistics"), || Statistics {
            mean: b.weight("mean-of-means", &[channels]),
            std: b.weight("std-of-means", &[channels]),
        })
    }

    /// z·std + mean of a normalised `z` [.., channels].
    pub fn denormalize(self, b: &Builder, z: Value) -> Value {
        b.add(b.mul(b.round(z), self.std), self.mean)
    }

    /// (z − mean)/std of a VAE's own `z` [.., channels].
    pub fn normalize(self, b: &Builder, z: Value) -> Value {
        b.div(b.sub(b.round(z), self.mean), self.std)
    }
}
