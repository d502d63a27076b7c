//! The streams of a stage: what their tokens begin as, and what holds or hides some of them.

use super::carried::held_audio;
use super::conditioning::{Conditioning, Held, Hidden, Region, held_behind};
use super::layout::{audio_tokens, video_tokens};
use super::pass_input::PerStream;
use super::recipe::{Item, Stage, StreamRole};
use super::recorder::Recorder;
use super::sampler::held;
use super::sizes::Size;
use super::transformer::one_class;
use crate::lang::{Builder, Dtype, Role, Value};

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
    /// What is added to scores of its self-attention; `None` where nothing is.
    pub bias: Option<Value>,
}

/// What the ports of a stream are like.
pub(super) struct Extents {
    tokens: usize,
    /// Tokens behind those of the clip.
    appended: usize,
    channels: usize,
    /// Of its latent.
    latent: Vec<usize>,
    /// The latent as tokens.
    layout: fn(&Builder, Value) -> Value,
    /// Beginning and end of every token, in seconds.
    pub spans: Vec<[f32; 2]>,
}

impl Extents {
    /// Tokens of the clip.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The port at which a reference of the stream comes in, as tokens.
    pub fn reference(&self, b: &Builder, name: &str) -> Value {
        (self.layout)(b, b.input(&format!("{name}.reference"), b.dtype(), &self.latent))
    }

    /// The port at which the stream is given, as tokens.
    pub fn initial(&self, b: &Builder, name: &str) -> Value {
        let latent = b.port(&format!("{name}.initial"), Role::Initial, b.dtype(), &self.latent);
        (self.layout)(b, latent)
    }
}

impl Recorder<'_> {
    /// Those of both streams in a stage of this size.
    pub(super) fn extents(&self, stage: &Stage, size: Size) -> PerStream<Extents> {
        let (t, appended) = (&self.model.transformer, stage.appended_tokens(size));
        let ([frames, rows, cols], bins) = (size.latent(), self.model.audio_vae.latent_bins);
        let video = Extents {
            tokens: size.video_tokens(),
            appended: appended.video,
            channels: t.video_channels,
            latent: vec![1, t.video_channels, frames, rows, cols],
            layout: video_tokens,
            spans: size.video_spans().swap_remove(0),
        };
        let audio = Extents {
            tokens: size.audio_tokens(),
            appended: appended.audio,
            channels: t.audio_channels,
            latent: vec![1, t.audio_channels / bins, size.audio_tokens(), bins],
            layout: audio_tokens,
            spans: size.audio_spans().swap_remove(0),
        };
        PerStream { video, audio }
    }

    /// The streams that are there: noise, mixed with what the stage begins from, held where items say so; or what is
    /// given.
    pub(super) fn tracks(
        &self,
        b: &Builder,
        stage: &Stage,
        size: Size,
        conditioning: &Conditioning,
    ) -> PerStream<Option<Track>> {
        let scale =
            stage.start.is_previous().then(|| b.port("noise_scale", Role::NoiseScale, Dtype::F32, &[1]));
        let has_region = stage.items.contains(&Item::Region);
        let hidden = conditioning.hidden;
        let bias = conditioning.bias.or(hidden.map(|hidden| hidden.bias));
        let carried = stage.carried().filter(|_| stage.roles.audio == StreamRole::Denoised).map(|frames| {
            let (bins, channels) = (self.model.audio_vae.latent_bins, self.model.transformer.audio_channels);
            held_audio(b, size.audio_tokens(), size.carried_audio_tokens(frames), [channels / bins, bins])
        });
        let images = PerStream { video: (conditioning.held, hidden, bias), audio: (carried, None, None) };
        let sounds = PerStream { video: None, audio: stage.reference_sound() };
        let extents = self.extents(stage, size);
        let streams = STREAMS.zip(extents).zip(stage.roles).zip(images.zip(sounds));
        streams.map(|(((name, of), role), ((held_images, hidden, bias), sound))| {
            if role == StreamRole::Absent {
                return None;
            }
            let one_class = || one_class(b, &format!("{name}.class"), of.tokens + of.appended);
            // What the stream is given as, in tokens.
            let asked = scale.is_some() || has_region || role.is_held();
            let initial = asked.then(|| of.initial(b, name));
            let own = initial.filter(|_| stage.begins_from_reference_sound());
            let reference = sound.map(|_| own.unwrap_or_else(|| of.reference(b, name)));
            if let (true, Some(start)) = (role.is_held(), initial) {
                return Some(Track {
                    name,
                    start: reference.map_or(start, |reference| b.concat(&[start, reference])),
                    class: one_class(),
                    held: None,
                    frozen: true,
                    hidden: None,
                    bias: None,
                });
            }
            let shape = [of.tokens + of.appended, of.channels];
            let noise = b.input(&format!("{name}.noise"), b.dtype(), &[1, shape[0], shape[1]]);
            let noise = b.reshape(noise, &shape);
            let start = scale.zip(initial).map_or(noise, |(scale, initial)| {
                let clip = mix(b, initial, b.slice(noise, 0, 0, of.tokens), scale);
                match of.appended {
                    0 => clip,
                    // Appended tokens begin from zeros.
                    n => b.concat(&[clip, b.round(b.mul(b.slice(noise, 0, of.tokens, n), scale))]),
                }
            });
            let held_to = initial.filter(|_| has_region).map_or(held_images, |initial| {
                let region = Region::new(b, name);
                Some(region.held(b, &format!("{name}.region"), &of.spans, initial))
            });
            let held_to = held_to.or_else(|| Some(held_behind(b, name, of.tokens, reference?)));
            let begun = |Held { class, mask, clean }| b.round(held(b, start, clean, mask, class));
            Some(Track {
                name,
                start: held_to.map_or(start, begun),
                class: held_to.map_or_else(one_class, |held| held.class),
                held: held_to,
                frozen: false,
                hidden,
                bias,
            })
        })
    }
}

/// start + scale·(noise − start).
fn mix(b: &Builder, start: Value, noise: Value, scale: Value) -> Value {
    b.round(b.add(start, b.mul(b.sub(noise, start), scale)))
}
