//! A whole run: the phases of a plan in order, from tokens to picture and sound.

use std::collections::BTreeMap;

use zoetrope_model_spec::ltx::pipeline::{DISTILLED_SIGMAS, STAGE_2_SIGMAS};
use zoetrope_runtime::plan::{Item, Launch, Phase, Plan, Repeat, Segment};
use zoetrope_runtime::{Executor, Result};

use crate::session::{Session, Watch};
use crate::tensors::{Named, Tensor};
use crate::tokenize::Encoded;

/// What a run is made from.
pub struct Request<'a> {
    pub prompt: &'a Encoded,
    /// Picks the initial noise.
    pub seed: u64,
    /// Initial noise instead of the generator's: `stage1.v.noise`, `stage1.a.noise`, and those of stage 2.
    pub noise: Named,
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

/// Noise levels of a stage.
pub fn sigmas(stage: usize) -> &'static [f32] {
    if stage == 1 { &DISTILLED_SIGMAS } else { &STAGE_2_SIGMAS }
}

/// Which stage a phase belongs to: the number at the end of its name.
pub fn stage(phase: &Phase) -> usize {
    phase.name.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// How often a segment runs in one run of its phase.
pub fn turns(phase: &Phase, segment: &Segment) -> u64 {
    if segment.repeat == Repeat::Steps { sigmas(stage(phase)).len() as u64 - 1 } else { 1 }
}

/// Launches and operations of one run of a phase.
pub fn work(phase: &Phase) -> (u64, u64) {
    let (mut launches, mut flops) = (0, 0);
    for segment in phase.segments.iter() {
        let times = turns(phase, segment);
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

/// Runs every phase. `keep` hears of the latents after the phase that made them.
///
/// # Errors
/// Whatever stops a phase: weights that are missing, noise of the wrong size, or the watcher.
pub fn run<E: Executor>(
    plan: &Plan,
    session: &mut Session<'_, E>,
    request: &Request<'_>,
    watch: &mut dyn Watch,
    keep: &mut dyn FnMut(&str, &Named) -> Result<()>,
) -> Result<Finished> {
    let mut latents = Named::new();
    let (mut video, mut waveform) = (None, None);
    let tokens = |v: &[i32]| Tensor::int(&[v.len()], v.to_vec());
    for phase in plan.phases.iter() {
        let name = phase.name.as_ref();
        let mut inputs = Named::new();
        for port in phase.inputs.iter() {
            let value = match port.name.as_ref() {
                "input_ids" => Some(tokens(&request.prompt.input_ids)),
                "attention_mask" => Some(tokens(&request.prompt.attention_mask)),
                "seed" => Some(Tensor::int(&[2], vec![request.seed as i32, (request.seed >> 32) as i32])),
                "noise_scale" => Some(Tensor::real(&[1], vec![sigmas(stage(phase))[0]])),
                _ => port.slot.as_ref().and_then(|slot| request.noise.get(slot.as_ref())).cloned(),
            };
            inputs.extend(value.map(|v| (port.name.to_string(), v)));
        }
        if name.starts_with("noise-") && !request.noise.is_empty() {
            continue;
        }
        let steps: &[f32] = if name.starts_with("denoise-") { sigmas(stage(phase)) } else { &[] };
        session.run(name, &inputs, steps, watch)?;
        let mut left = Named::new();
        for port in phase.outputs.iter() {
            match (name, port.slot.as_ref()) {
                ("video-decode", _) => video = Some(session.output(name, &port.name)?),
                ("vocode", _) => waveform = Some(session.output(name, &port.name)?),
                (_, Some(slot)) if slot.ends_with(".latent") => {
                    left.insert(slot.to_string(), session.output(name, &port.name)?);
                }
                _ => {}
            }
        }
        keep(name, &left)?;
        latents.append(&mut left);
    }
    let empty = || Tensor::real(&[0], Vec::new());
    Ok(Finished { latents, video: video.unwrap_or_else(empty), waveform: waveform.unwrap_or_else(empty) })
}
