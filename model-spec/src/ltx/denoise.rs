//! The denoising loop (docs/model/sampling.md 3, 4, 6).

use super::carried::{leave_audio, leave_video};
use super::conditioning::{Held, conditioned_video};
use super::decode::VideoDecoder;
use super::layout::{audio_latent, rgb};
use super::pass_input::PerStream;
use super::predict::Predictor;
use super::recipe::Stage;
use super::recorder::{Recorded, Recorder};
use super::sampler::{advanced, held, standardized};
use super::sizes::{Size, TIME};
use super::solver::Solver;
use super::track::Track;
use crate::lang::{Builder, Dtype, Op, Role, Value};

/// The port that holds a frame of the last step's x0, where the target has previews.
const PREVIEW: &str = "v.preview";

/// Where the noise of steps comes from, for solvers that draw some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepNoise {
    /// Of the host: ports `v.step_noise`, `a.step_noise`.
    Given,
    /// Of the seed: random streams with this number (video) and the next (audio).
    Drawn { first: usize },
}

/// What the host hands in before an evaluation.
#[derive(Clone, Copy)]
pub(super) struct StepPorts {
    /// Of the solver's sums, f32.
    pub coefficients: Value,
    /// Two words; `None` where no noise is drawn.
    pub seed: Option<Value>,
    /// Whether the new state is held, f32 \[1\]; `None` where no solver asks for it.
    pub holds: Option<Value>,
}

impl Recorder<'_> {
    /// The loop of stage `number`, from 1. Where the target has previews, every step also leaves one, in the place of
    /// the one before.
    pub(super) fn denoise(
        &self,
        name: &str,
        number: usize,
        stage: &Stage,
        text_tokens: usize,
        noise: StepNoise,
    ) -> Recorded {
        let b = self.builder(name);
        let t = &self.model.transformer;
        let (size, solver) = (self.stage_size(number)?, stage.solver);
        let [frames, rows, cols] = size.latent();
        let bins = self.model.audio_vae.latent_bins;
        let conditioning = conditioned_video(&b, t, size, &stage.items);
        let predictor = Predictor::new(&b, t, &conditioning.positions, stage, text_tokens);
        let tracks = self.tracks(&b, stage, size, &conditioning);
        let adapters = stage.adapter.map(|adapter| adapter.slot(number));
        let registers = solver.updates().len();
        // A frozen stream is no state: it is what it is.
        let denoised = |tracks: PerStream<Option<Track>>| tracks.map(|track| track.filter(|t| !t.frozen));
        let mut state: Vec<Value> = denoised(tracks)
            .present()
            .flat_map(|track| vec![b.cast(track.start, register_dtype(&b, solver)); registers])
            .collect();
        let latents = state.len();
        let previewed = self.target.preview.filter(|_| tracks.video.is_some());
        if previewed.is_some() {
            state.push(b.port(PREVIEW, Role::Unset, b.dtype(), &[size.height, size.width, 3]));
        }
        let out = b.steps("step", &state, |x| {
            let sigma = b.port("sigma", Role::Sigma, Dtype::F32, &[1]);
            let seed = || b.port("step_seed", Role::StepSeed, Dtype::I32, &[2]);
            let drawn = solver.draws() && noise != StepNoise::Given;
            let ports = StepPorts {
                coefficients: b.port(
                    "coefficients",
                    Role::Coefficients,
                    Dtype::F32,
                    &[solver.coefficients()],
                ),
                seed: drawn.then(seed),
                holds: (solver.draws() && denoised(tracks).present().any(|track| track.held.is_some()))
                    .then(|| b.port("holds", Role::Holds, Dtype::F32, &[1])),
            };
            let mut mine = x.chunks(registers);
            let mine = denoised(tracks).map(|track| track.and_then(|_| mine.next()));
            let tokens = tracks.zip(mine).map(|(track, mine)| {
                let track = track?;
                Some((track, mine.map_or(track.start, |registers| b.round(registers[0]))))
            });
            let x0 = b.with_adapters(adapters, || predictor.x0(&b, tokens, sigma));
            let mut next: Vec<Value> = Vec::new();
            let streams = tracks.zip(mine).zip(x0).both();
            for (number, ((track, mine), x0)) in streams.into_iter().enumerate() {
                let (Some(track), Some(mine), Some(x0)) = (track, mine, x0) else { continue };
                let noise = solver.draws().then(|| step_noise(&b, &track, solver, noise, number, ports));
                next.extend(stepped(&b, solver, &track, mine, x0, ports, noise));
            }
            let preview = previewed.zip(x0.video).map(|(decoder, x0)| {
                let some = b.slice(x0, 0, frames / 2 * rows * cols, rows * cols);
                self.preview(&b, decoder, &size, b.round(some))
            });
            next.into_iter().chain(preview).collect()
        });
        if let Some(preview) = out.get(latents) {
            b.result(PREVIEW, Role::Preview, *preview);
        }
        let mut out = out[..latents].chunks(registers);
        let made = denoised(tracks).map(|track| track.and_then(|_| out.next()).map(|x| b.round(x[0])));
        if let Some(v) = made.video {
            let v = b.slice(v, 0, 0, size.video_tokens());
            if let Some(carried) = stage.carried() {
                leave_video(&b, v, carried / TIME, [rows, cols]);
            }
            let v = b.permute(b.reshape(v, &[frames, rows, cols, t.video_channels]), &[3, 0, 1, 2]);
            b.result("v.latent", Role::Latent, b.reshape(v, &[1, t.video_channels, frames, rows, cols]));
        }
        if let Some(a) = made.audio {
            let a = b.slice(a, 0, 0, size.audio_tokens());
            let channels = t.audio_channels / bins;
            if let Some(carried) = stage.carried() {
                leave_audio(&b, a, size.carried_audio_tokens(carried), channels);
            }
            b.result("a.latent", Role::Latent, audio_latent(&b, a, channels));
        }
        b.finish()
    }

    /// RGB in 0..1, [height, width, 3], of one frame of x0: as if it were a clip of its own.
    fn preview(&self, b: &Builder, decoder: VideoDecoder, size: &Size, x0: Value) -> Value {
        let [_, rows, cols] = size.latent();
        let z = b.reshape(x0, &[1, rows, cols, b.width(x0)]);
        let rgb = rgb(b, self.decoded_by(b, decoder, z));
        b.round(b.reshape(rgb, &[size.height, size.width, 3]))
    }
}

/// How a solver's registers are stored: where there is one, as the model's latents; several are sums of each other, which
/// bf16 would not carry.
pub(super) fn register_dtype(b: &Builder, solver: Solver) -> Dtype {
    if solver.updates().len() == 1 { b.dtype() } else { Dtype::F32 }
}

/// The registers of a stream after an evaluation.
pub(super) fn stepped(
    b: &Builder,
    solver: Solver,
    track: &Track,
    registers: &[Value],
    x0: Value,
    ports: StepPorts,
    noise: Option<Value>,
) -> Vec<Value> {
    // What noise was added to is held again.
    let hold = |made| match (track.held, ports.holds) {
        (Some(Held { class, mask, clean }), Some(holds)) => {
            let mask = b.affine(b.mul(b.affine(mask, -1.0, 1.0), holds), -1.0, 1.0);
            held(b, made, clean, mask, class)
        }
        _ => made,
    };
    let next = advanced(b, solver, registers, x0, noise, ports.coefficients, hold);
    next.into_iter().map(|register| b.cast(register, register_dtype(b, solver))).collect()
}

/// The noise of an evaluation, f32 [tokens, channels].
fn step_noise(
    b: &Builder,
    track: &Track,
    solver: Solver,
    from: StepNoise,
    number: usize,
    ports: StepPorts,
) -> Value {
    let shape = b.shape(track.start);
    match (from, ports.seed) {
        (StepNoise::Drawn { first }, Some(seed)) => {
            let noise = b.op(Op::Normal { stream: first + number, shape }, &[seed]);
            let visible = track.hidden.map(|hidden| hidden.visible);
            if solver.standardizes() { standardized(b, noise, visible) } else { noise }
        }
        _ => {
            let port = format!("{}.step_noise", track.name);
            let given = b.port(&port, Role::StepTensor, Dtype::F32, &[&[1], shape.as_slice()].concat());
            b.reshape(given, &shape)
        }
    }
}
