//! Pieces of a denoising step as phases of their own, so that each can be compared alone. No run has them.

use super::attention::bias_of;
use super::conditioning::{Held, Region, conditioned_video, held_behind};
use super::denoise::{StepPorts, register_dtype, stepped};
use super::guidance::{Guided, Pass, RESCALE};
use super::recipe::{Item, StreamRole};
use super::recorder::{Recorded, Recorder};
use super::sampler::held;
use super::sizes::Size;
use super::solver::Solver;
use super::track::{STREAMS, Track};
use super::transformer::{PassInput, PerStream, Positions, Ropes, Stream, velocities};
use crate::lang::{Builder, Dtype, Role, ShapeError, Value};
use crate::program::Phase;

/// Predictions that are combined: what the phase `guide` calls them.
const PREDICTIONS: [(Pass, &str); 4] =
    [(Pass::Cond, "cond"), (Pass::Uncond, "uncond"), (Pass::Perturbed, "ptb"), (Pass::Isolated, "mod")];

impl Recorder<'_> {
    pub(super) fn velocity(&self, size: Size) -> Recorded {
        let b = self.builder("velocity");
        let t = &self.model.transformer;
        let stage = self.last_stage()?;
        let stream = |name: &str, tokens: usize, channels: usize, width: usize| {
            let port = |what: &str| format!("{name}.{what}");
            let classes = self.target.timestep_classes.min(tokens);
            let latent = b.input(&port("latent"), b.dtype(), &[1, tokens, channels]);
            let context = b.input(&port("context"), b.dtype(), &[1, self.target.text_tokens, width]);
            let of = port("timesteps");
            let (distinct, class) = (Role::Distinct { of: of.clone() }, Role::ClassOf { of });
            let stream = Stream {
                latent: b.reshape(latent, &[tokens, channels]),
                timesteps: b.port(&port("timesteps"), distinct, Dtype::F32, &[classes]),
                class: b.port(&port("class"), class, Dtype::I32, &[tokens]),
                sigma: b.input(&port("sigma"), Dtype::F32, &[1]),
                bias: None,
                bias_from_outside: None,
            };
            (stream, b.reshape(context, &[self.target.text_tokens, width]))
        };
        let video = || stream("v", size.video_tokens(), t.video_channels, t.video.width());
        let audio = || stream("a", size.audio_tokens(), t.audio_channels, t.audio.width());
        let both = PerStream {
            video: (stage.roles.video != StreamRole::Absent).then(video),
            audio: (stage.roles.audio != StreamRole::Absent).then(audio),
        };
        let context = both.map_some(|(_, context)| context);
        let mut streams = both.map_some(|(stream, _)| stream);
        if let (true, Some(video)) = (self.target.attention_mask, &mut streams.video) {
            let tokens = size.video_tokens();
            let weights = b.input("v.attention_mask", b.dtype(), &[1, tokens, tokens]);
            video.bias = Some(bias_of(&b, b.reshape(weights, &[tokens, tokens])));
        }
        let inputs = [PassInput { skip: self.target.skip.clone(), context }];
        let made = velocities(&b, t, &Ropes::of(&b, t, &Positions::of(&size, t)), streams, &inputs)[0];
        for (stream, velocity) in STREAMS.zip(made).both() {
            if let Some(velocity) = velocity {
                let shape = [&[1], b.shape(velocity).as_slice()].concat();
                b.output(&format!("{stream}.velocity"), b.reshape(velocity, &shape));
            }
        }
        b.finish()
    }

    /// What the items of the last stage make of its video: how much of each token is generated, what it is held to, and
    /// where tokens are.
    pub(super) fn conditioning(&self, size: Size) -> Recorded {
        let b = self.builder("conditioning");
        let stage = self.last_stage()?;
        let conditioning = conditioned_video(&b, &self.model.transformer, size, &stage.items);
        let has_region = stage.items.contains(&Item::Region);
        let images = PerStream { video: conditioning.held, audio: None };
        let sounds = PerStream { video: None, audio: stage.reference_sound() };
        for ((name, of), (images, sound)) in
            STREAMS.zip(self.extents(stage, size)).zip(images.zip(sounds)).both()
        {
            let in_region =
                has_region.then(|| Region::new(&b, name).held(&b, name, &of.spans, of.initial(&b, name)));
            let behind = sound.map(|_| held_behind(&b, name, of.tokens(), of.reference(&b, name)));
            let Some(Held { class, mask, clean }) = in_region.or(images).or(behind) else { continue };
            let (tokens, channels) = (b.dim(clean, 0), b.width(clean));
            let mask = b.gather(b.reshape(mask, &[b.dim(mask, 0), 1]), class);
            b.output(&format!("{name}.denoise_mask"), b.reshape(mask, &[1, tokens, 1]));
            b.output(&format!("{name}.clean_latent"), b.reshape(clean, &[1, tokens, channels]));
        }
        let mut positions = vec![("v.positions", size.video_spans()), ("a.positions", size.audio_spans())];
        let sound = stage.reference_sound();
        positions.extend(sound.map(|_| ("a.reference_positions", vec![size.reference_sound_cells()])));
        for (name, spans) in positions {
            let (axes, tokens) = (spans.len(), spans[0].len());
            let all = spans.concat().concat();
            b.output(name, b.constant(name, &[1, axes, tokens, 2], all));
        }
        if let Some(rows) = conditioning.bias {
            b.output("v.bias", rows);
            for (number, group) in (1..).zip(&conditioning.positions.video_groups) {
                if let Some(own) = group.own {
                    b.output(&format!("v.bias_of_group{number}"), own.number);
                }
            }
        }
        for (number, reference) in (1..).zip(stage.references()) {
            let cells = size.reference_cells(reference);
            let [frames, rows, cols] = cells.each_ref().map(Vec::len);
            let tokens = frames * rows * cols;
            let place = |i: usize| [i / (rows * cols), i / cols % rows, i % cols];
            let spans = cells
                .iter()
                .enumerate()
                .flat_map(|(axis, cells)| (0..tokens).flat_map(move |i| cells[place(i)[axis]]));
            let all = spans.collect();
            let name = format!("v.reference{number}_positions");
            b.output(&name, b.constant(&name, &[1, 3, tokens, 2], all));
        }
        let [_, rows, cols] = size.latent();
        let frame = rows * cols;
        let [_, high, wide] = &size.video_spans()[..] else { return b.finish() };
        let inside: Vec<f32> = high[..frame].iter().chain(&wide[..frame]).flatten().copied().collect();
        for (number, seconds) in (1..).zip(&conditioning.keyframes) {
            let name = format!("v.keyframe{number}_positions");
            let seconds = b.gather(*seconds, b.index(&name, &[frame], vec![0; frame]));
            let inside = b.constant(&name, &[2 * frame, 2], inside.clone());
            b.output(&name, b.reshape(b.concat(&[seconds, inside]), &[1, 3, frame, 2]));
        }
        b.finish()
    }

    /// The predictions of a step's passes as one, for a stream of as many tokens as the video (docs/model/sampling.md 7.2).
    pub(super) fn guide(&self, size: Size) -> Recorded {
        let b = self.builder("guide");
        let (tokens, channels) = (size.video_tokens(), self.model.transformer.video_channels);
        let passes = PREDICTIONS
            .map(|(pass, name)| (pass, rows(&b, b.input(name, b.dtype(), &[1, tokens, channels]))));
        let scale = |name: &str| {
            let scales = PREDICTIONS.iter().filter_map(|(pass, _)| pass.scale());
            let none = scales.chain([(RESCALE, 0.0)]).find(|(known, _)| *known == name).map(|(_, none)| none);
            b.port(name, Role::Tensor { default: none }, Dtype::F32, &[1])
        };
        let guided = Guided::new(&b, &passes, None, scale);
        let made = b.round(guided.x0(&b, guided.towards));
        b.output("pred", b.reshape(made, &[1, tokens, channels]));
        b.finish()
    }

    /// Steps of the last stage's solver for a stream of as many tokens as the video, with x0 given: it is held to what is
    /// given, then makes the next latents (docs/model/sampling.md 4, 6). Of res_2s it is what ends both halves of a step:
    /// `denoised` is what was predicted at the next level.
    pub(super) fn step(&self, size: Size) -> Result<Phase, ShapeError> {
        let b = self.builder("step");
        let stage = self.last_stage()?;
        let mut schedule = stage.schedule(size);
        if let Solver::Res2s { eta } = schedule.solver {
            schedule.solver = Solver::Injection { eta };
        }
        let solver = schedule.solver;
        let (tokens, channels) = (size.video_tokens(), self.model.transformer.video_channels);
        let port = |name: &str, default, dtype, width| {
            rows(&b, b.port(name, Role::Tensor { default }, dtype, &[1, tokens, width]))
        };
        let start = port("sample", None, b.dtype(), channels);
        let denoised = port("denoised", None, b.dtype(), channels);
        let clean = port("clean", Some(0.0), b.dtype(), channels);
        // Every token is a class of its own.
        let mask = b.reshape(port("mask", Some(1.0), Dtype::F32, 1), &[tokens]);
        let class = b.index("class", &[tokens], (0..tokens as i32).collect());
        let noise = solver.draws().then(|| port("noise", None, Dtype::F32, channels));
        let x0 = held(&b, denoised, clean, mask, class);
        let track = Track {
            name: "",
            start,
            class,
            held: Some(Held { class, mask, clean }),
            frozen: false,
            hidden: None,
            bias: None,
        };
        let state = vec![b.cast(start, register_dtype(&b, solver)); solver.updates().len()];
        let out = b.steps("step", &state, |registers| {
            let step = |name: &str, role, len| b.port(name, role, Dtype::F32, &[len]);
            let ports = StepPorts {
                coefficients: step("coefficients", Role::Coefficients, solver.coefficients()),
                seed: None,
                holds: solver.draws().then(|| step("holds", Role::Holds, 1)),
            };
            stepped(&b, solver, &track, registers, x0, ports, noise)
        });
        b.output("next", b.reshape(b.round(out[0]), &[1, tokens, channels]));
        b.output("held", b.reshape(b.round(x0), &[1, tokens, channels]));
        Ok(Phase::alone(b.finish()?).stepped(schedule))
    }
}

/// [1, tokens, channels] → [tokens, channels].
fn rows(b: &Builder, x: Value) -> Value {
    b.reshape(x, &b.shape(x)[1..])
}
