//! What a step predicts of the clip: x0 of both streams, by one pass through the transformer or by several
//! (docs/model/sampling.md 4, 7).

use std::collections::BTreeMap;

use super::conditioning::Held;
use super::config::Transformer;
use super::guidance::{Guided, Pass, RESCALE, StreamScales};
use super::prompt::{CONTEXTS, NEGATIVE};
use super::recipe::{Stage, StreamRole};
use super::sampler::{denoised, held};
use super::track::{STREAMS, Track};
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
    /// Of the streams that are guided; `None` where there is one pass.
    scales: Option<PerStream<Option<PortScales>>>,
}

impl<'a> Predictor<'a> {
    /// Records the ports of contexts and scales.
    pub fn new(
        b: &Builder,
        model: &'a Transformer,
        positions: &Positions,
        stage: &Stage,
        text_tokens: usize,
    ) -> Predictor<'a> {
        let guidance = stage.guidance.as_ref();
        let passes = guidance.map_or(vec![Pass::Cond], |guidance| guidance.passes(model));
        let inputs = pass_inputs(b, model, stage, &passes, text_tokens);
        let scales = guidance.map(|guidance| {
            let usual = PerStream { video: guidance.scales.video, audio: guidance.scales.audio };
            STREAMS.zip(stage.roles).zip(usual).map(|((stream, role), usual)| {
                (role == StreamRole::Denoised).then(|| scales(b, stream, &passes, usual))
            })
        });
        let ropes = Ropes::of(b, model, positions);
        Predictor { model, ropes, passes, inputs, scales }
    }

    /// x0 of all tokens of the streams that are denoised, f32 [tokens, channels], held to what is given; `x` are the
    /// tracks, each with its noisy tokens.
    pub fn x0(
        &self,
        b: &Builder,
        x: PerStream<Option<(Track, Value)>>,
        sigma: Value,
    ) -> PerStream<Option<Value>> {
        let streams = x.map_some(|(track, latent)| {
            let sigma = if track.frozen { b.constant("no noise", &[1], vec![0.0]) } else { sigma };
            Stream {
                latent,
                timesteps: timesteps(b, &track, sigma),
                class: track.class,
                sigma,
                bias: track.bias,
                bias_from_outside: track.hidden.map(|hidden| hidden.bias),
            }
        });
        let made = velocities(b, self.model, &self.ropes, streams, &self.inputs);
        let x0 = |track: &Track, stream: Stream, velocities: Vec<Value>, scales: Option<&PortScales>| {
            let x0 = |velocity: Value| x0_of_pass(b, track, stream, velocity);
            let x0 = match scales {
                None => x0(velocities[0]),
                Some(scales) => {
                    let pass = |(pass, velocity): (&Pass, Value)| (*pass, b.round(x0(velocity)));
                    let passes: Vec<_> = self.passes.iter().zip(velocities).map(pass).collect();
                    let visible = track.hidden.map(|hidden| hidden.visible);
                    let guided = Guided::new(b, &passes, visible, |name| scales[name]);
                    guided.x0(b, guided.towards)
                }
            };
            match track.held {
                Some(Held { class, mask, clean }) => held(b, x0, clean, mask, class),
                None => x0,
            }
        };
        let scales = self.scales.as_ref().map_or(PerStream { video: None, audio: None }, |scales| {
            scales.as_ref().map(|scales| scales.as_ref())
        });
        let velocities = PerStream {
            video: made.iter().filter_map(|made| made.video).collect(),
            audio: made.iter().filter_map(|made| made.audio).collect(),
        };
        x.zip(streams).zip(velocities).zip(scales).map(|(((x, stream), velocities), scales)| {
            let (track, _) = x.filter(|(track, _)| !track.frozen)?;
            Some(x0(&track, stream?, velocities, scales))
        })
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
    stage: &Stage,
    passes: &[Pass],
    text_tokens: usize,
) -> Vec<PassInput> {
    let widths = PerStream { video: model.video.width(), audio: model.audio.width() };
    let ports = CONTEXTS.zip(widths).zip(stage.roles);
    let context = |end: &str| {
        ports.map(|((name, width), role)| {
            let whole = || b.input(&format!("{name}{end}"), b.dtype(), &[1, text_tokens, width]);
            (role != StreamRole::Absent).then(|| b.reshape(whole(), &[text_tokens, width]))
        })
    };
    let positive = context("");
    let stg_blocks = stage.stg_blocks(model);
    let input = |pass: &Pass| PassInput {
        skip: pass.skip(&stg_blocks, model.layers),
        context: if *pass == Pass::Uncond { context(NEGATIVE) } else { positive },
    };
    passes.iter().map(input).collect()
}
