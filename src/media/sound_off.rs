//! Stands in for the sound encoder in builds without one: it can be asked for, but never exists.

use std::convert::Infallible;

use super::MediaError;
use super::movie::SoundTrack;

/// No value of this type can be made.
pub(super) struct SoundEncoder(Infallible);

impl SoundEncoder {
    pub(super) fn new() -> Result<Self, MediaError> {
        Err(MediaError::NoSoundEncoder)
    }

    pub(super) fn push(&mut self, _: &[f32], _: &[f32]) -> Result<(), MediaError> {
        match self.0 {}
    }

    pub(super) fn finish(self) -> Result<SoundTrack, MediaError> {
        match self.0 {}
    }
}
