//! A whole run: the phases of a plan in order, from tokens to frames and audio.
//!
//! What a phase wants and leaves, its ports say ([`Role`]). Nothing here knows a phase or a port by its name.

use std::collections::{BTreeMap, BTreeSet};

use zoetrope_runtime::plan::{Phase, Plan, Port, Role};
use zoetrope_runtime::{Executor, Result};

use crate::finite;
use crate::session::{Session, Watch};
use crate::steps::{Steps, sigmas};
use crate::tensors::{Named, Tensor};
use crate::tokenize::Encoded;

/// What a run is made from.
#[derive(Default)]
pub struct Request<'a> {
    /// What the clip shall be, and where the plan hears of it, what it shall not be.
    pub prompts: Vec<&'a Encoded>,
    /// Picks the initial noise.
    pub seed: u64,
    /// Denoising steps of phases whose number is open.
    pub steps: Steps,
    /// The images that the clip is made from, by their numbers in the plan.
    pub images: BTreeMap<u32, Image<'a>>,
    /// The frames of a video in a width and a height, as many as the clip has: [3, frames, height, width] in -1..1.
    pub footage: Option<Box<dyn Fn(usize, usize) -> Tensor + 'a>>,
    /// Reference videos, by their numbers in the plan.
    pub references: BTreeMap<u32, Frames<'a>>,
    /// The log-mel spectrogram of a sound.
    pub spectrogram: Option<Rows<'a>>,
    /// What the window before left for this one; empty for the first window of a clip.
    pub carried: Carried,
    /// Tensors instead of what ports and slots would hold, by their names: scales of guidance; initial noise
    /// (`stage1.v.noise`, `stage1.a.noise`, ..). A phase that leaves nothing else that is wanted does not run.
    pub tensors: Named,
}

/// What phases leave for the next window of a clip, by the phase's name and the port's.
pub type Carried = BTreeMap<(String, String), Tensor>;

/// So many rows of a spectrogram: [left and right, rows, bins].
pub type Rows<'a> = Box<dyn Fn(usize) -> Tensor + 'a>;

/// So many frames of a video in a width and a height: [3, frames, height, width] in -1..1.
pub type Frames<'a> = Box<dyn Fn(usize, usize, usize) -> Tensor + 'a>;

/// An image of a request.
pub struct Image<'a> {
    /// How strongly the clip is held to it: 0 to 1.
    pub strength: f32,
    /// The frame of the clip that it is for.
    pub frame: u32,
    /// Its pixels in a width and a height, [3, height, width] in -1..1.
    pub pixels: Box<dyn Fn(usize, usize) -> Tensor + 'a>,
}

/// What a run leaves.
pub struct Finished {
    /// Latents after every stage: `stage1.v.latent`, `stage1.a.latent`, `upscaled.v.latent`, ..
    pub latents: Named,
    /// What the plan was compiled to leave of the frames: RGB in 0..1, [frames, height, width, 3], or planes of 8-bit
    /// 4:2:0, [frames, 3·height/2, width]; `None` where it leaves none.
    pub video: Option<Tensor>,
    /// [2, samples] at 48 kHz; `None` where the plan leaves none.
    pub waveform: Option<Tensor>,
    /// For the next window, where the plan makes clips in windows.
    pub carried: Carried,
}

/// The slots that the seed alone decides, with their shapes: what a file with noise may hold instead.
pub fn noise_slots(plan: &Plan) -> BTreeMap<String, Vec<usize>> {
    let seeded = |phase: &&Phase| phase.inputs.iter().all(|port| port.role == Role::Seed);
    let ports = plan.phases.iter().filter(seeded).flat_map(|phase| phase.outputs.iter());
    ports.filter_map(|p| Some((p.slot.as_ref()?.to_string(), shape(p)))).collect()
}

fn shape(port: &Port) -> Vec<usize> {
    port.shape.iter().map(|d| *d as usize).collect()
}

/// Runs every phase that the request has something for, and looks at all that they leave. `keep` hears of the latents after
/// the phase that made them.
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
    let mut finished =
        Finished { latents: Named::new(), video: None, waveform: None, carried: Carried::new() };
    // Slots of phases that did not run, because the request brings nothing for them.
    let mut zeros = BTreeSet::new();
    for phase in request.wanted(session.plan()) {
        if request.lacks(phase) {
            zeros.extend(phase.outputs.iter().filter_map(|port| port.slot.as_deref()));
            continue;
        }
        let name = phase.name.as_ref();
        replay(session, request, phase, &zeros, watch)?;
        let mut left = Named::new();
        for port in phase.outputs.iter().filter(|port| port.role != Role::Preview) {
            let bytes = session.executor().read(port)?;
            finite::check(phase, port, &bytes)?;
            let tensor = || Tensor::from_port(port, &bytes);
            match port.role {
                Role::Video => finished.video = Some(tensor()),
                Role::Waveform => finished.waveform = Some(tensor()),
                Role::Carried => {
                    finished.carried.insert((name.to_string(), port.name.to_string()), tensor());
                }
                Role::Latent => drop(left.insert(kept_as(port).to_string(), tensor())),
                _ => {}
            }
        }
        keep(name, &left)?;
        finished.latents.append(&mut left);
    }
    Ok(finished)
}

/// Runs a phase of what a request has for it; `zeros` are slots that nothing was left in.
fn replay<'a, E: Executor<'a>>(
    session: &mut Session<E>,
    request: &Request<'_>,
    phase: &Phase,
    zeros: &BTreeSet<&str>,
    watch: &mut dyn Watch,
) -> Result<()> {
    let steps = sigmas(phase, request.steps);
    let inputs = phase.inputs.iter().filter_map(|port| {
        let zero = port.slot.as_deref().is_some_and(|slot| zeros.contains(slot));
        let value = if zero { Some(filled(port, 0.0)) } else { request.value(phase, port, &steps) };
        Some((port.name.to_string(), value?))
    });
    session.run(&phase.name, &inputs.collect(), &steps, watch)
}

/// The phases of a plan that read prompts alone, and what such phases leave.
pub fn prompt_phases(plan: &Plan) -> Vec<&Phase> {
    let (mut left, mut phases) = (BTreeSet::new(), Vec::new());
    for phase in plan.phases.iter() {
        let of_prompts = |port: &Port| match (&port.slot, &port.role) {
            (Some(slot), _) => left.contains(&**slot),
            (None, role) => matches!(role, Role::Tokens { .. } | Role::TokenMask { .. }),
        };
        if !phase.inputs.is_empty() && phase.inputs.iter().all(of_prompts) {
            left.extend(phase.outputs.iter().filter_map(|port| port.slot.as_deref()));
            phases.push(phase);
        }
    }
    phases
}

/// Runs the phases that read prompts alone. What they leave for other phases is the result, by its slots: the
/// [`Request::tensors`] of runs that need not read the prompts again.
///
/// # Errors
/// As [`run`].
pub fn contexts<'a, E: Executor<'a>>(
    session: &mut Session<E>,
    request: &Request<'_>,
    watch: &mut dyn Watch,
) -> Result<Named> {
    let phases = prompt_phases(session.plan());
    let others = session.plan().phases.iter().filter(|phase| phases.iter().all(|p| p.name != phase.name));
    let taken: BTreeSet<&str> =
        others.flat_map(|phase| phase.inputs.iter()).filter_map(|port| port.slot.as_deref()).collect();
    let mut contexts = Named::new();
    for phase in phases {
        replay(session, request, phase, &BTreeSet::new(), watch)?;
        for port in phase.outputs.iter() {
            let Some(slot) = port.slot.as_deref().filter(|slot| taken.contains(slot)) else { continue };
            let bytes = session.executor().read(port)?;
            finite::check(phase, port, &bytes)?;
            contexts.insert(slot.to_string(), Tensor::from_port(port, &bytes));
        }
    }
    Ok(contexts)
}

/// The name under which what a port leaves is kept: that of its slot, which is one in the plan.
pub fn kept_as(port: &Port) -> &str {
    port.slot.as_deref().unwrap_or(&port.name)
}

impl Request<'_> {
    /// Whether it does not bring what a phase encodes.
    fn lacks(&self, phase: &Phase) -> bool {
        let lacks = |port: &Port| match port.role {
            Role::Footage => self.footage.is_none(),
            Role::Spectrogram => self.spectrogram.is_none(),
            Role::Reference { number, .. } => !self.references.contains_key(&number),
            _ => false,
        };
        phase.image.is_some_and(|number| !self.images.contains_key(&number)) || phase.inputs.iter().any(lacks)
    }

    /// The phases that leave something for whoever asked, which no phase takes, or something that such a phase takes and
    /// that is not given.
    fn wanted<'p>(&self, plan: &'p Plan) -> Vec<&'p Phase> {
        let inputs = plan.phases.iter().flat_map(|phase| phase.inputs.iter());
        let inner: BTreeSet<&str> = inputs.filter_map(|port| port.slot.as_deref()).collect();
        let (mut taken, mut phases) = (BTreeSet::new(), Vec::new());
        for phase in plan.phases.iter().rev() {
            let wanted = |port: &Port| match port.slot.as_deref() {
                Some(slot) => taken.contains(slot) || !inner.contains(slot),
                None => !matches!(port.role, Role::Preview | Role::Logits),
            };
            if phase.outputs.iter().any(wanted) {
                let slots = phase.inputs.iter().filter_map(|port| port.slot.as_deref());
                taken.extend(slots.filter(|slot| !self.tensors.contains_key(*slot)));
                phases.push(phase);
            }
        }
        phases.reverse();
        phases
    }

    /// What the host writes to an input before a phase with these noise levels runs; nothing where an earlier phase has.
    fn value(&self, phase: &Phase, port: &Port, sigmas: &[f32]) -> Option<Tensor> {
        if let Some(slot) = &port.slot {
            return self.tensors.get(&**slot).cloned();
        }
        let tokens = |v: &[i32]| Tensor::int(&[v.len()], v.to_vec());
        let prompt = |number: u32| self.prompts.get(number as usize).or(self.prompts.first());
        match &port.role {
            Role::Tokens { prompt: number } => Some(tokens(&prompt(*number)?.input_ids)),
            Role::TokenMask { prompt: number } => Some(tokens(&prompt(*number)?.attention_mask)),
            Role::Seed | Role::StepSeed => {
                Some(Tensor::int(&[2], vec![self.seed as i32, (self.seed >> 32) as i32]))
            }
            Role::Image { number } => {
                let [.., height, width] = shape(port)[..] else { return None };
                let Tensor { values, .. } = (self.images.get(number)?.pixels)(width, height);
                Some(Tensor { shape: shape(port), values })
            }
            Role::Footage => {
                let [.., height, width] = shape(port)[..] else { return None };
                let Tensor { values, .. } = (self.footage.as_ref()?)(width, height);
                Some(Tensor { shape: shape(port), values })
            }
            Role::Reference { number, .. } => {
                let [.., frames, height, width] = shape(port)[..] else { return None };
                let Tensor { values, .. } = (self.references.get(number)?)(frames, width, height);
                Some(Tensor { shape: shape(port), values })
            }
            Role::Spectrogram => {
                let [.., rows, _] = shape(port)[..] else { return None };
                let Tensor { values, .. } = (self.spectrogram.as_ref()?)(rows);
                Some(Tensor { shape: shape(port), values })
            }
            Role::Strength { number } | Role::Frame { number } | Role::Visible { number } => {
                let given = self.tensors.get(&*port.name).cloned();
                let of = |image: &Image<'_>| match port.role {
                    Role::Strength { .. } => image.strength,
                    Role::Frame { .. } => image.frame as f32,
                    _ => 1.0,
                };
                given.or_else(|| Some(filled(port, self.images.get(number).map_or(0.0, of))))
            }
            Role::Carried => {
                let left = self.carried.get(&(phase.name.to_string(), port.name.to_string()));
                Some(left.cloned().unwrap_or_else(|| filled(port, 0.0)))
            }
            Role::Continues => Some(filled(port, f32::from(u8::from(!self.carried.is_empty())))),
            Role::NoiseScale => Some(Tensor::real(&[1], vec![noise_scale(phase, sigmas, &BTreeSet::new())])),
            Role::Tensor { .. }
            | Role::ReferenceStrength { .. }
            | Role::ReferenceAttention { .. }
            | Role::RegionStart { .. }
            | Role::RegionEnd { .. } => {
                let given = self.tensors.get(&*port.name).cloned();
                given.or_else(|| port.role.default().map(|default| filled(port, default)))
            }
            _ => None,
        }
    }
}

/// A tensor for a port that holds one number everywhere.
pub fn filled(port: &Port, value: f32) -> Tensor {
    let shape = shape(port);
    let count = shape.iter().product();
    Tensor::real(&shape, vec![value; count])
}

/// The share of noise that a phase with these noise levels begins with: the first level where it has latents to begin from,
/// of an earlier phase or among those `given`.
pub fn noise_scale(phase: &Phase, sigmas: &[f32], given: &BTreeSet<&str>) -> f32 {
    let initial = |port: &Port| {
        port.role == Role::Initial && (port.slot.is_some() || given.contains(port.name.as_ref()))
    };
    if phase.inputs.iter().any(initial) { sigmas.first().copied().unwrap_or(1.0) } else { 1.0 }
}
