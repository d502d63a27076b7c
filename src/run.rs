//! A whole run: the phases of a plan in order, from tokens to frames and audio.

use std::collections::BTreeMap;

use zoetrope_model_spec::ltx::guidance::SCALES;
use zoetrope_model_spec::ltx::pipeline::{NEGATIVE_PHASE, PREVIEW};
use zoetrope_model_spec::ltx::schedule::{
    DISTILLED_SIGMAS, GUIDED_STEPS, GUIDED_TOKENS, STAGE_2_SIGMAS, ltx2,
};
use zoetrope_runtime::plan::{Item, Launch, Phase, Plan, Repeat, Segment};
use zoetrope_runtime::{Executor, Result};

use crate::finite;
use crate::session::{Session, Watch};
use crate::tensors::{Named, Tensor};
use crate::tokenize::Encoded;

/// What a run is made from.
pub struct Request<'a> {
    pub prompt: &'a Encoded,
    /// What guides the run, where its plan is guided.
    pub guidance: Guidance,
    /// Picks the initial noise.
    pub seed: u64,
    /// Initial noise instead of the generator's: `stage1.v.noise`, `stage1.a.noise`, and those of stage 2.
    pub noise: Named,
}

/// What guides a run.
#[derive(Default)]
pub struct Guidance {
    /// What the clip shall not be.
    pub negative: Option<Encoded>,
    /// Values of the ports of scales, by their names.
    pub scales: Named,
    /// Denoising steps; `None` for as many as the model is meant to have.
    pub steps: Option<usize>,
}

/// What a run leaves.
pub struct Finished {
    /// Latents after every stage: `stage1.v.latent`, `stage1.a.latent`, `upscaled.v.latent`, ..
    pub latents: Named,
    /// What the plan was compiled to leave of the picture: RGB in 0..1, [frames, height, width, 3], or planes of 8-bit
    /// 4:2:0, [frames, 3·height/2, width].
    pub video: Tensor,
    /// [2, samples] at 48 kHz.
    pub waveform: Tensor,
}

/// The noise tensors of a plan, by the names of [`Request::noise`], with their shapes.
pub fn noise_ports(plan: &Plan) -> BTreeMap<String, Vec<usize>> {
    let denoise = plan.phases.iter().filter(|p| p.name.starts_with("denoise-"));
    let ports = denoise.flat_map(|p| p.inputs.iter()).filter(|p| p.name.ends_with(".noise"));
    ports
        .filter_map(|p| Some((p.slot.as_ref()?.to_string(), p.shape.iter().map(|d| *d as usize).collect())))
        .collect()
}

/// True when every step of the phase is made of several passes.
pub fn is_guided(phase: &Phase) -> bool {
    phase.inputs.iter().any(|port| SCALES.iter().any(|(name, _)| port.name == *name))
}

/// Noise levels of the steps of a denoising phase; none of another one. A guided phase has `steps` of them, if that is
/// said.
pub fn sigmas(phase: &Phase, steps: Option<usize>) -> Vec<f32> {
    match phase.name.strip_prefix("denoise") {
        None => Vec::new(),
        Some(_) if is_guided(phase) => ltx2(steps.unwrap_or(GUIDED_STEPS), GUIDED_TOKENS),
        Some("-2") => STAGE_2_SIGMAS.to_vec(),
        Some(_) => DISTILLED_SIGMAS.to_vec(),
    }
}

/// How often a segment runs in one run of its phase; `steps` as in [`sigmas`].
pub fn turns(phase: &Phase, segment: &Segment, steps: Option<usize>) -> u64 {
    if segment.repeat == Repeat::Steps { sigmas(phase, steps).len().saturating_sub(1) as u64 } else { 1 }
}

/// Launches and operations of one run of a phase; `steps` as in [`sigmas`].
pub fn work(phase: &Phase, steps: Option<usize>) -> (u64, u64) {
    let (mut launches, mut flops) = (0, 0);
    for segment in phase.segments.iter() {
        let times = turns(phase, segment, steps);
        for item in segment.items.iter() {
            let (count, body) = match item {
                Item::Launch(l) => (1, std::slice::from_ref(l)),
                Item::Loop(l) => (u64::from(l.count), l.body.as_ref()),
            };
            launches += times * count * body.len() as u64;
            flops += times * count * body.iter().map(Launch::flops).sum::<u64>();
        }
    }
    (launches, flops)
}

/// Runs every phase, and looks at all that it leaves. `keep` hears of the latents after the phase that made them.
///
/// # Errors
/// Whatever stops a phase: weights that are missing, noise of the wrong size, or the watcher; an output that is not
/// finite.
pub fn run<'a, E: Executor<'a>>(
    session: &mut Session<E>,
    request: &Request<'_>,
    watch: &mut dyn Watch,
    keep: &mut dyn FnMut(&str, &Named) -> Result<()>,
) -> Result<Finished> {
    let mut latents = Named::new();
    let (mut video, mut waveform) = (None, None);
    let tokens = |v: &[i32]| Tensor::int(&[v.len()], v.to_vec());
    for phase in session.plan().phases.iter() {
        let name = phase.name.as_ref();
        let negative = request.guidance.negative.as_ref().filter(|_| name.ends_with(NEGATIVE_PHASE));
        let prompt = negative.unwrap_or(request.prompt);
        let steps = sigmas(phase, request.guidance.steps);
        let mut inputs = Named::new();
        for port in phase.inputs.iter() {
            let value = match port.name.as_ref() {
                "input_ids" => Some(tokens(&prompt.input_ids)),
                "attention_mask" => Some(tokens(&prompt.attention_mask)),
                "seed" => Some(Tensor::int(&[2], vec![request.seed as i32, (request.seed >> 32) as i32])),
                "noise_scale" => Some(Tensor::real(&[1], vec![steps[0]])),
                scale if request.guidance.scales.contains_key(scale) => {
                    request.guidance.scales.get(scale).cloned()
                }
                _ => port.slot.as_ref().and_then(|slot| request.noise.get(slot.as_ref())).cloned(),
            };
            inputs.extend(value.map(|v| (port.name.to_string(), v)));
        }
        if name.starts_with("noise-") && !request.noise.is_empty() {
            continue;
        }
        session.run(name, &inputs, &steps, watch)?;
        let mut left = Named::new();
        for port in phase.outputs.iter() {
            if port.name == PREVIEW {
                continue;
            }
            let bytes = session.executor().read(port)?;
            finite::check(phase, port, &bytes)?;
            let tensor = || Tensor::from_port(port, &bytes);
            match (name, port.slot.as_ref()) {
                ("video-decode", _) => video = Some(tensor()),
                ("vocode", _) => waveform = Some(tensor()),
                (_, Some(slot)) if slot.ends_with(".latent") => drop(left.insert(slot.to_string(), tensor())),
                _ => {}
            }
        }
        keep(name, &left)?;
        latents.append(&mut left);
    }
    let empty = || Tensor::real(&[0], Vec::new());
    Ok(Finished { latents, video: video.unwrap_or_else(empty), waveform: waveform.unwrap_or_else(empty) })
}
