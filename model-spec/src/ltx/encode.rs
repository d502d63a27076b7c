//! The phases that make latents of frames and of sound (docs/model/video-vae.md 5, docs/model/audio.md 5).

use super::layout::audio_latent;
use super::recipe::Reference;
use super::recorder::{Recorded, Recorder};
use super::sizes::{SPACE, Size, TIME};
use super::{audio_encoder, video_encoder};
use crate::lang::Role;

impl Recorder<'_> {
    /// Port `video` [1, 3, frames, height, width] in −1..1 to port `v.latent` [1, channels, T', H', W'], normalised.
    /// `size` may have any 8k + 1 frames.
    pub(super) fn video_encode(&self, size: Size) -> Recorded {
        self.encode("video-encode", "video", Role::Tensor { default: None }, size)
    }

    /// An image of the request, port `image` [1, 3, 1, height, width], as the latents of a clip of one frame.
    pub(super) fn image_encode(&self, name: &str, number: usize, size: Size) -> Recorded {
        self.encode(name, "image", Role::Image { number }, Size { frames: 1, ..size })
    }

    /// The request's video, port `video` [1, 3, frames, height, width], as its latents.
    pub(super) fn footage_encode(&self, name: &str, size: Size) -> Recorded {
        self.encode(name, "video", Role::Footage, size)
    }

    /// A reference video of a stage of this size, port `video` [1, 3, frames, height, width], as its latents.
    pub(super) fn reference_encode(
        &self,
        name: &str,
        number: usize,
        reference: Reference,
        size: Size,
    ) -> Recorded {
        let Reference { downscale, temporal_scale, .. } = reference;
        let every = temporal_scale * size.stride;
        let [frames, rows, cols] = reference.latent(size);
        let size =
            Size { width: SPACE * cols, height: SPACE * rows, frames: TIME * (frames - 1) + 1, ..size };
        self.encode(name, "video", Role::Reference { number, downscale, temporal_scale, every }, size)
    }

    /// Port `mel` [1, left and right, 4T' − 3, mel bins] to port `a.latent` [1, channels, T', bins], normalised. The
    /// encoder is causal: rows behind those would change nothing.
    pub(super) fn audio_encode(&self, role: Role, size: Size) -> Recorded {
        let b = self.builder("audio-encode");
        let vae = &self.model.audio_vae;
        let rows = 4 * size.audio_tokens() - 3;
        let mel = b.port("mel", role, b.dtype(), &[1, vae.out_channels, rows, vae.mel_bins]);
        let mel = b.permute(b.reshape(mel, &[vae.out_channels, rows, vae.mel_bins]), &[1, 2, 0]);
        let tokens = audio_encoder::encode(&b, vae, mel);
        b.output("a.latent", audio_latent(&b, tokens, vae.z_channels));
        b.finish()
    }

    fn encode(&self, name: &str, port: &str, role: Role, size: Size) -> Recorded {
        let b = self.builder(name);
        let vae = &self.model.video_vae;
        let Size { frames, height, width, .. } = size;
        let video = b.port(port, role, b.dtype(), &[1, vae.out_channels, frames, height, width]);
        let planes = b.reshape(video, &[vae.out_channels, frames, height, width]);
        let latent = b.permute(video_encoder::encode(&b, vae, planes), &[3, 0, 1, 2]);
        b.output("v.latent", b.reshape(latent, &[&[1], b.shape(latent).as_slice()].concat()));
        b.finish()
    }
}
