//! Stands in for the audio encoder in builds without one: it can be asked for, but never exists.

use std::convert::Infallible;

use super::MediaError;
use super::movie::AudioTrack;
use super::store::Store;

/// No value of this type can be made.
pub(super) struct AudioEncoder(Infallible);

impl AudioEncoder {
    pub(super) fn new(_: u32, _: Store) -> Result<Self, MediaError> {
        Err(MediaError::NoAudioEncoder)
    }

    pub(super) fn push(&mut self, _: &[f32], _: &[f32]) -> Result<(), MediaError> {
        match self.0 {}
    }

    pub(super) fn finish(self) -> Result<AudioTrack, MediaError> {
        match self.0 {}
    }
}
