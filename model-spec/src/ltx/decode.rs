//! The phases that make frames and audio of latents (docs/model/video-vae.md 4, docs/model/audio.md).

use super::layout::{audio_tokens, channels_last, rgb};
use super::recorder::{Recorded, Recorder};
use super::sizes::Size;
use super::tiny_decoder::{self, TinyDecoder};
use super::{audio_vae, video_vae, vocoder};
use crate::lang::{Builder, Dtype, Op, Role, Value};

/// What makes frames of latents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VideoDecoder {
    /// The checkpoint's own.
    #[default]
    Vae,
    /// A small one, for a first look.
    Tiny(TinyDecoder),
}

impl VideoDecoder {
    /// All of them.
    pub fn all() -> impl Iterator<Item = VideoDecoder> {
        [VideoDecoder::Vae].into_iter().chain(TinyDecoder::ALL.map(VideoDecoder::Tiny))
    }

    /// As target files call it.
    pub fn name(self) -> &'static str {
        match self {
            VideoDecoder::Vae => "vae",
            VideoDecoder::Tiny(decoder) => decoder.name,
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<VideoDecoder> {
        Self::all().find(|decoder| decoder.name() == name)
    }
}

/// How a run leaves the frames of its clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// Real numbers in 0..1, [frames, height, width, 3]: to be compared.
    Rgb,
    /// What encoders take: 8-bit 4:2:0, [frames, 3·height/2, width].
    Yuv420,
}

impl Recorder<'_> {
    fn video_decoded(&self, b: &Builder, size: Size) -> Value {
        let [frames, rows, cols] = size.latent();
        let z =
            b.input("v.latent", b.dtype(), &[1, self.model.video_vae.latent_channels, frames, rows, cols]);
        self.decoded_by(b, self.target.decoder, channels_last(b, z))
    }

    /// Latent frames that the decoder takes together. A tiny one takes all of them.
    pub(super) fn decoded_together(&self) -> Option<usize> {
        self.chunk.filter(|_| self.target.decoder == VideoDecoder::Vae)
    }

    /// Pixels [frames, height, width, 3], about −1..1, of a normalised latent [T', H', W', channels].
    pub(super) fn decoded_by(&self, b: &Builder, decoder: VideoDecoder, z: Value) -> Value {
        match decoder {
            VideoDecoder::Vae => video_vae::decode(b, &self.model.video_vae, z),
            VideoDecoder::Tiny(decoder) => tiny_decoder::decode(b, decoder, z),
        }
    }

    pub(super) fn video_decode(&self, size: Size) -> Recorded {
        let b = self.builder("video-decode");
        let video = b.permute(self.video_decoded(&b, size), &[3, 0, 1, 2]);
        b.output("video", b.reshape(video, &[1, 3, size.frames, size.height, size.width]));
        b.finish()
    }

    /// As `video-decode`, with the frames as a run leaves them (docs/model/pipelines.md 2.6).
    pub(super) fn frames(&self, size: Size, pixels: Pixels) -> Recorded {
        let b = self.builder("video-decode");
        let rgb = rgb(&b, self.video_decoded(&b, size));
        let video = match pixels {
            Pixels::Rgb => rgb,
            Pixels::Yuv420 => {
                let planes = b.op(Op::Yuv420 {}, &[rgb]);
                b.cast(b.clamp(planes, 0.0, 255.0), Dtype::U8)
            }
        };
        b.result("video", Role::Video, video);
        b.finish()
    }

    pub(super) fn audio_decode(&self, size: Size) -> Recorded {
        let b = self.builder("audio-decode");
        let vae = &self.model.audio_vae;
        let z = b.input("a.latent", b.dtype(), &[1, vae.z_channels, size.audio_tokens(), vae.latent_bins]);
        let mel = audio_vae::decode(&b, vae, audio_tokens(&b, z));
        let shape = b.shape(mel);
        let mel = b.permute(mel, &[2, 0, 1]);
        b.output("mel", b.reshape(mel, &[1, vae.out_channels, shape[0], shape[1]]));
        b.finish()
    }

    pub(super) fn vocode(&self, size: Size) -> Recorded {
        let b = self.builder("vocode");
        let bins = self.model.vocoder.mel_bins;
        let frames = 4 * size.audio_tokens() - 3;
        let mel = b.input("mel", b.dtype(), &[1, 2, frames, bins]);
        let mel = b.permute(b.reshape(mel, &[2, frames, bins]), &[1, 2, 0]);
        let wave = vocoder::vocode(&b, &self.model.vocoder, b.cast(mel, Dtype::F32));
        b.result("waveform", Role::Waveform, b.permute(wave, &[1, 0]));
        b.finish()
    }
}
