//! `zoetrope generate`: a prompt becomes a clip.

use std::cell::OnceCell;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use clap::Args;
use zoetrope_runtime::plan::Plan;

use super::adapters::adapted;
use super::ask::Ask;
use super::clip::ClipWriter;
use super::decoder::DecoderArgs;
use super::device_run::{Work, deliver, note_cut};
use super::enhance::{EnhanceArgs, Writing};
use super::given::GivenArgs;
use super::guidance::GuidanceArgs;
use super::images::ImageArgs;
use super::length::LengthArgs;
use super::model::built_in;
use super::outputs::Outputs;
use super::prompt::PromptArgs;
use super::references::ReferenceArgs;
use super::{AdapterArgs, ModelArgs, PlanArgs};
use crate::adapters::Merge;
use crate::device::Device;
use crate::failure::Failure;
use crate::output::Inputs;
use crate::run::{Request, noise_slots};
use crate::tensors::{self, Named};
use crate::terminal;
use crate::windows::PerWindow;

/// Make a clip from a prompt
#[derive(Args, Debug)]
pub struct Generate {
    #[command(flatten)]
    prompt: PromptArgs,
    /// The MP4 file to write, or WAV where the plan makes audio alone; - is standard output
    #[arg(short, long, value_name = "FILE", alias = "output-path")]
    output: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    adapters: AdapterArgs,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    length: LengthArgs,
    #[command(flatten)]
    decoder: DecoderArgs,
    /// Picks the initial noise; the same seed makes the same clip, and -1 picks a seed at random
    #[arg(long, value_name = "N", default_value = "10", allow_negative_numbers = true, value_parser = seed)]
    seed: u64,
    /// Initial noise from a safetensors file instead of the seed (docs/phases.md)
    #[arg(long, value_name = "FILE")]
    noise: Option<PathBuf>,
    /// Write the latents of every phase into this folder, which holds none yet
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    /// After every step, write this PNG file anew: the frame in the middle of the clip as it is by then
    #[arg(long, value_name = "FILE")]
    preview: Option<PathBuf>,
    /// Where to run
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    device: Device,
    /// No progress
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    enhance: EnhanceArgs,
    #[command(flatten)]
    images: ImageArgs,
    #[command(flatten)]
    given: GivenArgs,
    #[command(flatten)]
    references: ReferenceArgs,
    #[command(flatten)]
    guidance: GuidanceArgs,
}

/// A seed that is said, or one that nobody has chosen.
fn seed(text: &str) -> Result<u64, String> {
    match text {
        // Half the bits, so that people can type it.
        "-1" => Ok(RandomState::new().hash_one(SystemTime::now()) >> 32),
        _ => text.parse().map_err(|_| "wanted a whole number from 0 on, or -1 for a random one".to_string()),
    }
}

impl Generate {
    /// Runs the command with one of these plans.
    ///
    /// # Errors
    /// Everything that can be known is checked before the first phase runs.
    pub fn run(self, plans: &[&Plan]) -> Result<(), Failure> {
        let start = Instant::now();
        let plan = self.plan.plan_for(plans, &self.asks())?;
        self.guidance.check(plan)?;
        self.given.check(plan, self.references.first())?;
        self.references.check(plan)?;
        let windows = self.length.windows(plan)?;
        let prompts = self.prompt.of_windows(windows.count)?;
        if windows.count > 1 && self.noise.is_some() {
            return Err(Failure::usage(
                "noise of a file is that of one window\n  help  --seed picks that of all",
            ));
        }
        let asking = self.enhance.open(plan, self.images.any(), prompts.len())?;
        let metadata = [
            ("comment".to_string(), prompts.join("\n")),
            (
                "encoder".to_string(),
                format!("zoetrope {}, plan {}, seed {}", env!("CARGO_PKG_VERSION"), plan.name, self.seed),
            ),
        ];
        // All that will be written is tried first: nobody wants to hear after minutes of work that it has no place.
        let mut writer = ClipWriter::new(plan, windows, &metadata)?;
        let outputs = Outputs::open(
            (plan, windows.count),
            (writer.format(), [writer.likely_bytes(), writer.scratch_bytes()]),
            (&self.output, self.preview.as_deref(), self.dump.as_deref()),
            &self.inputs(),
        )?;
        if let Some(folder) = outputs.clip.folder() {
            writer.keep_in(folder)?;
        }
        plan.facts.notes.iter().for_each(terminal::note);
        note_cut(plan, &writer);
        let images = self.images.open(plan, &windows)?;
        let given = self.given.open(plan, self.references.first())?;
        let in_time = self.given.hears_reference(plan, self.references.first());
        let references = self.references.open(plan, in_time)?;
        let chosen = self.device.choose(plan)?;
        let noise = self.noise.as_deref().map_or_else(|| Ok(Named::new()), |path| load_noise(plan, path))?;
        let files = self.model.open(plan, built_in(plan).as_ref())?;
        let adapters = self.adapters.open(plan, Merge::Exact)?;
        let weights = adapted(&adapters, &files, plan)?;
        let tokenizer = files.tokenizer()?;
        let chat = asking.chat(plan, tokenizer, prompts.first().map_or("", String::as_str))?;
        let encoded = prompts.iter().map(|prompt| tokenizer.encode(prompt)).collect::<Result<Vec<_>, _>>()?;
        let negative = self.guidance.negative(plan, tokenizer)?;
        for (tokens, limit) in encoded.iter().map(|prompt| (prompt.tokens, prompt.input_ids.len())) {
            if chat.is_none() && tokens > limit {
                terminal::note(format_args!("a prompt has {tokens} tokens; only the first {limit} are used"));
            }
        }
        let per_window = PerWindow {
            prompts: encoded.iter().map(|prompt| [prompt].into_iter().chain(&negative).collect()).collect(),
            images: &|window| images.of_window(window),
        };
        let request = Request {
            footage: given.footage(),
            spectrogram: given.spectrogram(),
            references: references.of_request(),
            seed: self.seed,
            steps: self.guidance.steps(),
            tensors: noise
                .into_iter()
                .chain(self.guidance.scales())
                .chain(given.spans())
                .chain(references.strengths())
                .collect(),
            ..Request::default()
        };
        let better = OnceCell::new();
        let say = outputs.say();
        let writing = chat.map(|chat| Writing { chat, tokenizer, better: &better, say });
        let work = Work { plan, windows: &windows, request, per_window, writing, quiet: self.quiet };
        let (outputs, mut writer) = work.done(chosen, &weights, (outputs, writer))?;
        if let Some((text, _)) = better.get() {
            writer.set_metadata("comment", text);
            writer.set_metadata("original_prompt", &prompts.join("\n"));
        }
        let (sound, how) = (given.kept_sound(), format!("seed {}, ", self.seed));
        deliver((plan, &self.output, &how, start), (outputs, writer), sound.as_ref())
    }

    /// What it asks of a plan.
    fn asks(&self) -> Vec<Ask<'_>> {
        let previews = self.preview.as_ref().map(|_| Ask::Previews);
        let images = self.images.asks(self.length.is_given());
        let first = [Ask::Prompt].into_iter().chain(self.enhance.asks()).chain(previews).chain(images);
        let first = first.chain(self.decoder.asks()).chain(self.length.asks());
        first.chain(self.given.asks()).chain(self.references.asks()).chain(self.guidance.asks()).collect()
    }

    /// All files that are read.
    fn inputs(&self) -> Inputs {
        let more = [self.noise.as_deref(), self.prompt.file()];
        let model = self.model.paths().chain(self.adapters.paths()).chain(self.images.paths());
        let model = model.chain(self.given.paths()).chain(self.references.paths());
        let model = model.chain(self.enhance.paths());
        Inputs::of(model.chain(more.into_iter().flatten()))
    }
}

fn load_noise(plan: &Plan, path: &Path) -> Result<Named, Failure> {
    let named = tensors::load(path).map_err(|e| Failure::usage(e.to_string()))?;
    let mut noise = Named::new();
    for (name, shape) in noise_slots(plan) {
        let have = named.get(&name);
        let fits = have.is_some_and(|t| t.elements() == shape.iter().product::<usize>());
        let Some(tensor) = have.filter(|_| fits) else {
            let have = have.map_or("no such tensor".to_string(), |t| format!("{:?}", t.shape));
            return Err(Failure::usage(format!(
                "the noise file does not fit the plan\n  want  {name} {shape:?}\n  have  {have}"
            )));
        };
        noise.insert(name, tensor.clone());
    }
    Ok(noise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_seeds_differ_and_can_be_typed() {
        let random = || seed("-1").unwrap();
        let (first, second) = (random(), random());
        assert!(first != second && first.max(second) <= u64::from(u32::MAX));
        assert_eq!(seed("18446744073709551615"), Ok(u64::MAX));
    }
}
