//! `zoetrope generate`: a prompt becomes a clip.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use clap::Args;
use zoetrope_runtime::Executor;
#[cfg(feature = "cuda")]
use zoetrope_runtime::cuda::{Cuda, Supply};
use zoetrope_runtime::plan::Plan;

use super::adapters::adapted;
use super::clip::ClipWriter;
use super::enhance::{Chat, EnhanceArgs};
use super::given::GivenArgs;
use super::guidance::GuidanceArgs;
use super::images::ImageArgs;
use super::model::built_in;
use super::outputs::Outputs;
use super::previews::{self, Previews};
use super::prompt::PromptArgs;
use super::references::ReferenceArgs;
use super::{AdapterArgs, ModelArgs, PlanArgs};
#[cfg(feature = "cuda")]
use crate::adapters::Merge;
use crate::device::embedded::Embedded;
#[cfg(feature = "cuda")]
use crate::device::mode;
use crate::device::{Chosen, Device};
use crate::failure::Failure;
use crate::output::Inputs;
use crate::progress::Progress;
use crate::run::{Finished, Request, noise_slots, run};
use crate::session::Session;
use crate::tensors::{self, Named};
use crate::terminal;
use crate::tokenize::Tokenizer;

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
    /// Runs the command.
    ///
    /// # Errors
    /// Everything that can be known is checked before the first phase runs.
    pub fn run(self) -> Result<(), Failure> {
        let start = Instant::now();
        let plan = self.plan.plan()?;
        if self.preview.is_some() {
            previews::check(plan)?;
        }
        self.guidance.check(plan)?;
        self.given.check(plan)?;
        self.references.check(plan)?;
        let asking = self.enhance.open(plan, self.images.any())?;
        let prompt = self.prompt.text()?;
        let facts = &plan.facts;
        let metadata = [
            ("comment".to_string(), prompt.clone()),
            (
                "encoder".to_string(),
                format!("zoetrope {}, plan {}, seed {}", env!("CARGO_PKG_VERSION"), plan.name, self.seed),
            ),
        ];
        // All that will be written is tried first: nobody wants to hear after minutes of work that it has no place.
        let mut writer = ClipWriter::new(plan, &metadata)?;
        let mut outputs = Outputs::open(
            plan,
            (writer.format(), writer.likely_bytes()),
            (&self.output, self.preview.as_deref(), self.dump.as_deref()),
            &self.inputs(),
        )?;
        facts.notes.iter().for_each(terminal::note);
        if let Some((width, height)) = writer.size()
            && (width as u32, height as u32) != (facts.width, facts.height)
        {
            terminal::note(format_args!(
                "the encoder takes no more than {width}x{height}: the edges are cut off"
            ));
        }
        let images = self.images.open(plan)?;
        let given = self.given.open(plan)?;
        let references = self.references.open(plan)?;
        let chosen = self.device.choose(plan)?;
        let noise = self.noise.as_deref().map_or_else(|| Ok(Named::new()), |path| load_noise(plan, path))?;
        let files = self.model.open(plan, built_in(&facts.model).as_ref())?;
        let adapters = self.adapters.open(plan, Merge::Exact)?;
        let weights = adapted(&adapters, &files, plan)?;
        let tokenizer = files.tokenizer()?;
        let chat = asking.chat(plan, tokenizer, &prompt)?;
        let encoded = tokenizer.encode(&prompt)?;
        let negative = self.guidance.negative(plan, tokenizer)?;
        if chat.is_none() && encoded.tokens > encoded.input_ids.len() {
            let (tokens, limit) = (encoded.tokens, encoded.input_ids.len());
            terminal::note(format_args!("the prompt has {tokens} tokens; only the first {limit} are used"));
        }
        let steps = self.guidance.steps();
        let mut progress = Progress::new(plan, steps, self.quiet);
        let request = Request {
            images: images.of_request(),
            footage: given.footage(),
            spectrogram: given.spectrogram(),
            references: references.of_request(),
            prompts: [&encoded].into_iter().chain(&negative).collect(),
            seed: self.seed,
            steps,
            tensors: noise
                .into_iter()
                .chain(self.guidance.scales())
                .chain(given.spans())
                .chain(references.strengths())
                .collect(),
        };
        let say = if outputs.clip.is_stream() { terminal::line } else { terminal::info };
        let mut watch = Previews { progress: &mut progress, file: outputs.preview.take() };
        let mut keep = |phase: &str, left: &Named| {
            outputs.keep(phase, left);
            Ok(())
        };
        let work = Work { chat, tokenizer, request, watch: &mut watch, keep: &mut keep, say };
        let finished = match chosen {
            Chosen::Cpu => work.done(&mut Session::new(plan, &weights)?),
            #[cfg(feature = "cuda")]
            Chosen::Card(card, code) => {
                let mut cuda = Cuda::new(card, plan, code, &Embedded, Supply::Files(&weights))?;
                cuda.set_mode(mode());
                work.done(&mut Session::on(cuda))
            }
        };
        progress.done();
        let contents = writer.contents();
        let (finished, better) = finished?;
        if let Some(better) = &better {
            writer.set_metadata("comment", better);
            writer.set_metadata("original_prompt", &prompt);
        }
        let clip = writer.finish(&finished, given.kept_sound().as_ref())?;
        outputs.clip.finish(clip.bytes(), &|out| clip.write(out))?;
        if facts.model == "demo" {
            say(
                "note: the demo model is a toy that knows a few shapes and motions (docs/demo.md); the weights of LTX-2.3 \
                 make clips of anything",
            );
        }
        let (name, seconds) = (self.output.display(), start.elapsed().as_secs_f64());
        say(&format!("{name}: {contents}, seed {}, {seconds:.1} s", self.seed));
        outputs.close()
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

/// What an executor is to do.
struct Work<'w, 'p> {
    chat: Option<Chat>,
    tokenizer: &'w Tokenizer,
    request: Request<'w>,
    watch: &'w mut Previews<'p>,
    keep: &'w mut dyn FnMut(&str, &Named) -> zoetrope_runtime::Result<()>,
    /// Prints a line of the result.
    say: fn(&str),
}

impl Work<'_, '_> {
    /// What a run leaves, and the prompt that was written for it, if there is one.
    fn done<'a, E: Executor<'a>>(
        self,
        session: &mut Session<E>,
    ) -> Result<(Finished, Option<String>), Failure> {
        let Work { chat, tokenizer, request, watch, keep, say } = self;
        let better = match &chat {
            Some(chat) => chat.answer(session, tokenizer, request.seed, watch)?,
            None => None,
        };
        let Some(text) = better else {
            if chat.is_some() {
                let nothing = || terminal::note("the text encoder wrote nothing: the prompt stays as it is");
                watch.progress.aside(nothing);
            }
            return Ok((run(session, &request, watch, keep)?, None));
        };
        watch.progress.aside(|| say(&format!("prompt: {text}")));
        let encoded = tokenizer.encode(&text)?;
        let prompts = [&encoded].into_iter().chain(request.prompts.iter().copied().skip(1)).collect();
        let request = Request { prompts, ..request };
        Ok((run(session, &request, watch, keep)?, Some(text)))
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
