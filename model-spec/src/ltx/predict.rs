//! What a step predicts of the clip: x0 of both streams, by one pass through the transformer or by several
//! (docs/model/sampling.md 4, 7).

use std::collections::BTreeMap;

use super::conditioning::Held;
use super::config::Transformer;
use super::guidance::{Guidance, Guided, Pass, RESCALE, StreamScales};
use super::prompt::NEGATIVE;
use super::sampler::{denoised, held};
use super::track::Track;
use super::transformer::{PassInput, PerStream, Positions, Ropes, Stream, velocities};
use crate::lang::{Builder, Dtype, Role, Value};

/// How strongly a stream is guided: values of ports by the ends of their names.
type PortScales = BTreeMap<&'static str, Value>;

/// What is the same in all steps of a stage.
pub(super) struct Predictor<'a> {
    model: &'a Transformer,
    ropes: Ropes,
    passes: Vec<Pass>,
    /// Of the passes.
    inputs: Vec<PassInput>,
    /// Of video and audio; `None` where there is one pass.
    scales: Option<[PortScales; 2]>,
}

impl<'a> Predictor<'a> {
    /// Records the ports of contexts and scales.
    pub fn new(
        b: &Builder,
        model: &'a Transformer,
        positions: &Positions,
        guidance: Option<&Guidance>,
        text_tokens: usize,
    ) -> Predictor<'a> {
        let passes = guidance.map_or(vec![Pass::Cond], |guidance| guidance.passes(model));
        let inputs = pass_inputs(b, model, guidance, &passes, text_tokens);
        let scales = guidance.map(|guidance| {
            let streams = [("v", guidance.scales.video), ("a", guidance.scales.audio)];
            streams.map(|(stream, usual)| scales(b, stream, &passes, usual))
        });
        let ropes = Ropes::of(b, model, positions);
        Predictor { model, ropes, passes, inputs, scales }
    }

    /// x0 of all tokens, f32 [tokens, channels], held to what is given; `x` are the noisy ones.
    pub fn x0(&self, b: &Builder, tracks: &[Track; 2], x: PerStream, sigma: Value) -> PerStream {
        let stream = |track: &Track, latent| Stream {
            latent,
            timesteps: timesteps(b, track, sigma),
            class: track.class,
            sigma,
            bias: track.hidden.map(|hidden| hidden.bias),
            bias_from_outside: track.hidden.map(|hidden| hidden.bias),
        };
        let [v, a] = tracks;
        let (video, audio) = (stream(v, x.video), stream(a, x.audio));
        let made = velocities(b, self.model, &self.ropes, video, audio, &self.inputs);
        let of = |number: usize, stream: Stream, velocity: fn(&PerStream) -> Value| {
            let x0 = |made: &PerStream| x0_of_pass(b, &tracks[number], stream, velocity(made));
            let x0 = match &self.scales {
                None => x0(&made[0]),
                Some(scales) => {
                    let pass = |(pass, made): (&Pass, &PerStream)| (*pass, b.round(x0(made)));
                    let passes: Vec<_> = self.passes.iter().zip(&made).map(pass).collect();
                    let visible = tracks[number].hidden.map(|hidden| hidden.visible);
                    let guided = Guided::new(b, &passes, visible, |name| scales[number][name]);
                    guided.x0(b, guided.towards)
                }
            };
            match tracks[number].held {
                Some(Held { class, mask, clean }) => held(b, x0, clean, mask, class),
                None => x0,
            }
        };
        PerStream { video: of(0, video, |both| both.video), audio: of(1, audio, |both| both.audio) }
    }
}

/// The distinct noise levels of a stream, f32 \[classes\].
fn timesteps(b: &Builder, track: &Track, sigma: Value) -> Value {
    track.held.map_or(sigma, |held| held.timesteps(b, sigma))
}

/// x0 by the velocity of one pass.
fn x0_of_pass(b: &Builder, track: &Track, stream: Stream, velocity: Value) -> Value {
    match track.held {
        Some(_) => denoised(b, stream.latent, velocity, stream.timesteps, stream.class),
        None => b.sub(stream.latent, b.mul(velocity, stream.sigma)),
    }
}

/// The ports of a stream that say how much each of its passes counts.
fn scales(b: &Builder, stream: &str, passes: &[Pass], usual: StreamScales) -> PortScales {
    let passes = passes.iter().filter_map(|pass| Some((pass.scale()?.0, pass.of(usual))));
    let port = |(name, default)| {
        let role = Role::Tensor { default: Some(default) };
        (name, b.port(&format!("{stream}.{name}"), role, Dtype::F32, &[1]))
    };
    passes.chain([(RESCALE, usual.rescale)]).map(port).collect()
}

/// The passes of a step, each with its prompt's contexts. All but the one of the negative prompt have the prompt's.
fn pass_inputs(
    b: &Builder,
    model: &Transformer,
    guidance: Option<&Guidance>,
    passes: &[Pass],
    text_tokens: usize,
) -> Vec<PassInput> {
    let context = |end: &str| {
        let port = |name: &str, width: usize| {
            let whole = b.input(&format!("{name}{end}"), b.dtype(), &[1, text_tokens, width]);
            b.reshape(whole, &[text_tokens, width])
        };
        let (video, audio) = (model.video.width(), model.audio.width());
        PerStream { video: port("v.context", video), audio: port("a.context", audio) }
    };
    let positive = context("");
    let stg_blocks = guidance.map_or(Vec::new(), |guidance| guidance.stg_blocks(model));
    let input = |pass: &Pass| PassInput {
        skip: pass.skip(&stg_blocks, model.layers),
        context: if *pass == Pass::Uncond { context(NEGATIVE) } else { positive },
    };
    passes.iter().map(input).collect()
}
