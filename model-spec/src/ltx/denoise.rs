//! The denoising loop (docs/model/sampling.md 4, 6.1, 7).

use std::collections::BTreeMap;

use super::guidance::{Guidance, Guided, Pass, RESCALE, Scales, StreamScales};
use super::pipeline::{NEGATIVE, Recorded, Recorder, audio_tokens, rgb, video_tokens};
use super::recipe::{Stage, Start};
use super::sizes::Size;
use super::transformer::{PassInput, PerStream, Positions, Stream, one_class, velocities};
use super::video_vae;
use crate::lang::{Builder, Dtype, Role, Value};

/// The port that holds a frame of the last step's x0, where the target has previews.
const PREVIEW: &str = "v.preview";

/// The noise levels of one step, f32 \[1\] each.
#[derive(Clone, Copy)]
struct Levels {
    sigma: Value,
    /// To the next level.
    d_sigma: Value,
}

/// What a step finds out about a stream: enough for x0.
enum Prediction {
    /// One pass: the velocity [tokens, channels].
    Velocity(Value),
    Guided(Guided),
}

impl Prediction {
    /// x0 of `count` tokens from `first` on, rounded; `x` are all noisy ones.
    fn x0(&self, b: &Builder, x: Value, sigma: Value, first: usize, count: usize) -> Value {
        let some = |tokens| b.slice(tokens, 0, first, count);
        b.round(match self {
            Prediction::Velocity(velocity) => b.sub(some(x), b.mul(some(*velocity), sigma)),
            Prediction::Guided(guided) => guided.x0(b, some(guided.towards)),
        })
    }

    /// The noisy tokens after a deterministic Euler step.
    fn euler(&self, b: &Builder, x: Value, Levels { sigma, d_sigma }: Levels) -> Value {
        let x0 = match self {
            Prediction::Velocity(velocity) => b.sub(x, b.mul(*velocity, sigma)),
            Prediction::Guided(guided) => guided.x0(b, guided.towards),
        };
        b.round(b.add(x, b.mul(b.div(b.sub(x, x0), sigma), d_sigma)))
    }
}

/// How strongly a stream is guided: values of ports by the ends of their names.
type PortScales = BTreeMap<&'static str, Value>;

/// The ports of a stream that say how much each of its passes counts.
fn scales(b: &Builder, stream: &str, pass_inputs: &[PassInput], usual: StreamScales) -> PortScales {
    let passes = pass_inputs.iter().map(|input| input.pass);
    let passes = passes.filter_map(|pass| Some((pass.scale()?.0, pass.of(usual))));
    let port = |(name, default)| {
        let role = Role::Tensor { default: Some(default) };
        (name, b.port(&format!("{stream}.{name}"), role, Dtype::F32, &[1]))
    };
    passes.chain([(RESCALE, usual.rescale)]).map(port).collect()
}

impl Recorder<'_> {
    /// The loop of a stage. Where the target has previews, every step also leaves one, in the place of the one before.
    pub(super) fn denoise(&self, name: &str, stage: &Stage, text_tokens: usize) -> Recorded {
        let b = self.builder(name);
        let t = &self.model.transformer;
        let (size, guidance) = (stage.scale.size(self.target.size), stage.guidance.as_ref());
        let [frames, rows, cols] = size.latent();
        let (n_v, n_a) = (size.video_tokens(), size.audio_tokens());
        let bins = self.model.audio_vae.latent_bins;
        let pass_inputs = self.pass_inputs(&b, guidance, text_tokens);
        let scales = guidance.map(|guidance| {
            let Scales { video, audio } = guidance.scales;
            [("v", video), ("a", audio)].map(|(stream, usual)| scales(&b, stream, &pass_inputs, usual))
        });
        let noise = |port: &str, n: usize, channels: usize| {
            b.reshape(b.input(port, b.dtype(), &[1, n, channels]), &[n, channels])
        };
        let (mut x_v, mut x_a) =
            (noise("v.noise", n_v, t.video_channels), noise("a.noise", n_a, t.audio_channels));
        if stage.start == Start::Previous {
            let initial = |port: &str, shape: &[usize]| b.port(port, Role::Initial, b.dtype(), shape);
            let scale = b.port("noise_scale", Role::NoiseScale, Dtype::F32, &[1]);
            let start_v = initial("v.initial", &[1, t.video_channels, frames, rows, cols]);
            let start_a = initial("a.initial", &[1, t.audio_channels / bins, n_a, bins]);
            x_v = mix(&b, video_tokens(&b, start_v), x_v, scale);
            x_a = mix(&b, audio_tokens(&b, start_a), x_a, scale);
        }
        let mut state = vec![x_v, x_a];
        if self.target.preview {
            state.push(b.port(PREVIEW, Role::Unset, b.dtype(), &[size.height, size.width, 3]));
        }
        let out = b.steps("step", &state, |x| {
            let sigmas = b.port("sigmas", Role::Sigmas, Dtype::F32, &[2]);
            let (sigma, next) = (b.slice(sigmas, 0, 0, 1), b.slice(sigmas, 0, 1, 1));
            let levels = Levels { sigma, d_sigma: b.sub(next, sigma) };
            let now = PerStream { video: x[0], audio: x[1] };
            let blocks = self.stg_blocks(&b, guidance);
            let [v, a] = self.predictions(&b, &size, &pass_inputs, &blocks, scales.as_ref(), now, sigma);
            let preview = x.get(2).map(|_| {
                let x0 = v.x0(&b, x[0], sigma, frames / 2 * rows * cols, rows * cols);
                self.preview(&b, &size, x0)
            });
            [v.euler(&b, x[0], levels), a.euler(&b, x[1], levels)].into_iter().chain(preview).collect()
        });
        if let Some(preview) = out.get(2) {
            b.result(PREVIEW, Role::Preview, *preview);
        }
        let latent_v = b.permute(b.reshape(out[0], &[frames, rows, cols, t.video_channels]), &[3, 0, 1, 2]);
        b.result("v.latent", Role::Latent, b.reshape(latent_v, &[1, t.video_channels, frames, rows, cols]));
        let latent_a = b.permute(b.reshape(out[1], &[n_a, t.audio_channels / bins, bins]), &[1, 0, 2]);
        b.result("a.latent", Role::Latent, b.reshape(latent_a, &[1, t.audio_channels / bins, n_a, bins]));
        b.finish()
    }

    /// The passes of a step, each with its prompt's contexts. All but the one of the negative prompt have the prompt's.
    fn pass_inputs(&self, b: &Builder, guidance: Option<&Guidance>, text_tokens: usize) -> Vec<PassInput> {
        let t = &self.model.transformer;
        let context = |end: &str| {
            let port = |name: &str, width: usize| {
                let whole = b.input(&format!("{name}{end}"), b.dtype(), &[1, text_tokens, width]);
                b.reshape(whole, &[text_tokens, width])
            };
            PerStream { video: port("v.context", t.video.width()), audio: port("a.context", t.audio.width()) }
        };
        let positive = context("");
        let passes = guidance.map_or(vec![Pass::Cond], |guidance| guidance.passes(t));
        let pass_input = |pass| PassInput {
            pass,
            context: if pass == Pass::Uncond { context(NEGATIVE) } else { positive },
        };
        passes.into_iter().map(pass_input).collect()
    }

    /// What a step predicts of both streams: by one pass, or by several and the scales of video and audio.
    fn predictions(
        &self,
        b: &Builder,
        size: &Size,
        pass_inputs: &[PassInput],
        stg_blocks: &[usize],
        scales: Option<&[PortScales; 2]>,
        x: PerStream,
        sigma: Value,
    ) -> [Prediction; 2] {
        let t = &self.model.transformer;
        let stream = |latent, name: &str| {
            let class = one_class(b, name, b.dim(latent, 0));
            Stream { latent, timesteps: sigma, class, sigma, bias: None }
        };
        let (video, audio) = (stream(x.video, "v.class"), stream(x.audio, "a.class"));
        let velocities = velocities(b, t, &Positions::of(size, t), video, audio, pass_inputs, stg_blocks);
        let Some([scales_v, scales_a]) = scales else {
            return [velocities[0].video, velocities[0].audio].map(Prediction::Velocity);
        };
        let guided = |of: fn(&PerStream) -> Value, scales: &PortScales| {
            let x0 = |(pass_input, velocity): (&PassInput, &PerStream)| {
                (pass_input.pass, b.round(b.sub(of(&x), b.mul(of(velocity), sigma))))
            };
            let passes: Vec<_> = pass_inputs.iter().zip(&velocities).map(x0).collect();
            Prediction::Guided(Guided::new(b, &passes, |name| scales[name]))
        };
        [guided(|both| both.video, scales_v), guided(|both| both.audio, scales_a)]
    }

    /// The perturbed blocks, all of which there must be.
    fn stg_blocks(&self, b: &Builder, guidance: Option<&Guidance>) -> Vec<usize> {
        let cfg = &self.model.transformer;
        let blocks = guidance.map_or(Vec::new(), |guidance| guidance.stg_blocks(cfg));
        if let Some(block) = blocks.iter().find(|block| **block >= cfg.layers) {
            let last = cfg.layers.max(1) - 1;
            b.scope("guidance", || {
                b.fail(format!("stg_blocks has {block}; the model's blocks are 0 to {last}"))
            });
        }
        blocks
    }

    /// RGB in 0..1, [height, width, 3], of one frame of x0: as if it were a clip of its own.
    fn preview(&self, b: &Builder, size: &Size, x0: Value) -> Value {
        let [_, rows, cols] = size.latent();
        let z = b.reshape(x0, &[1, rows, cols, b.width(x0)]);
        let rgb = rgb(b, video_vae::decode(b, &self.model.video_vae, z));
        b.round(b.reshape(rgb, &[size.height, size.width, 3]))
    }
}

/// start + scale·(noise − start).
fn mix(b: &Builder, start: Value, noise: Value, scale: Value) -> Value {
    b.round(b.add(start, b.mul(b.sub(noise, start), scale)))
}
