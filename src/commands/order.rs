//! What is asked for a clip: checked whole before anything is loaded, then made.

use std::cell::OnceCell;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use clap::Args;
use zoetrope_runtime::Weights;
use zoetrope_runtime::plan::Plan;

use super::adapters::AdapterArgs;
use super::ask::Ask;
use super::choose::PlanArgs;
use super::clip::ClipWriter;
use super::decoder::DecoderArgs;
use super::device_run::{Shown, Work, deliver, note_cut};
use super::enhance::{Asking, Chat, EnhanceArgs, Writing};
use super::given::{Given, GivenArgs};
use super::guidance::GuidanceArgs;
use super::images::{ImageArgs, Images};
use super::length::LengthArgs;
use super::outputs::Outputs;
use super::prompt::PromptArgs;
use super::references::{ReferenceArgs, References};
use crate::engine::Engine;
use crate::failure::Failure;
use crate::output::{Inputs, STREAM};
use crate::run::{Request, noise_slots};
use crate::tensors::{self, Named};
use crate::terminal;
use crate::tokenize::{Encoded, Tokenizer};
use crate::windows::{self, PerWindow, Windows};

/// A clip, as it is asked for.
#[derive(Args, Debug)]
pub struct OrderArgs {
    #[command(flatten)]
    prompt: PromptArgs,
    /// The MP4 file to write, or WAV where the plan makes audio alone; - is standard output
    #[arg(short, long, value_name = "FILE", alias = "output-path")]
    output: PathBuf,
    #[command(flatten)]
    pub adapters: AdapterArgs,
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

/// A clip that can be made: its plan is found, its outputs are tried, and what it is made from is read.
pub struct Order<'o, 'p> {
    args: &'o OrderArgs,
    start: Instant,
    pub plan: &'p Plan,
    windows: Windows,
    pub text: Text,
    pub outputs: Outputs,
    writer: ClipWriter,
    images: Images,
    given: Given,
    references: References,
    noise: Named,
}

/// What an order says: a prompt by window, and whether the text encoder is to write a better one.
pub struct Text {
    prompts: Vec<String>,
    asking: Asking,
}

/// The same in tokens.
pub struct Said {
    /// By window.
    prompts: Vec<Encoded>,
    negative: Option<Encoded>,
    /// What the text encoder is asked, where it is to write a better prompt.
    chat: Option<Chat>,
}

impl OrderArgs {
    /// Finds the plan among these, tries the outputs, of which none may be one of the `inputs`, and reads what the clip is
    /// made from.
    ///
    /// # Errors
    /// Everything that can be known without model files.
    pub fn ready<'p>(&self, plans: &[&'p Plan], inputs: &Inputs) -> Result<Order<'_, 'p>, Failure> {
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
            inputs,
        )?;
        if let Some(folder) = outputs.clip.folder() {
            writer.keep_in(folder)?;
        }
        plan.facts.notes.iter().for_each(terminal::note);
        note_cut(plan, &writer);
        let images = self.images.open(plan, &windows, asking.is_any())?;
        let given = self.given.open(plan, &windows, self.references.first())?;
        let in_time = self.given.hears_reference(plan, self.references.first());
        let references = self.references.open(plan, &windows, in_time)?;
        let noise = self.noise.as_deref().map_or_else(|| Ok(Named::new()), |path| load_noise(plan, path))?;
        Ok(Order {
            args: self,
            start,
            plan,
            windows,
            text: Text { prompts, asking },
            outputs,
            writer,
            images,
            given,
            references,
            noise,
        })
    }

    /// What it asks of a plan.
    fn asks(&self) -> Vec<Ask<'_>> {
        let previews = self.preview.as_ref().map(|_| Ask::Previews);
        let images = self.images.asks(self.length.is_given());
        let enhanced = self.enhance.asks(self.images.any());
        let first = [Ask::Prompt].into_iter().chain(enhanced).chain(previews).chain(images);
        let first = first.chain(self.decoder.asks()).chain(self.length.asks());
        first.chain(self.given.asks()).chain(self.references.asks()).chain(self.guidance.asks()).collect()
    }

    /// All files that it reads, but for those of the model.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let more = [self.noise.as_deref(), self.prompt.file()];
        let paths = self.adapters.paths().chain(self.images.paths()).chain(self.given.paths());
        let paths = paths.chain(self.references.paths()).chain(self.enhance.paths());
        paths.chain(more.into_iter().flatten())
    }

    /// Where it uses standard input or output, of which a process has one each.
    pub fn stream(&self) -> Option<&'static str> {
        let input = self.prompt.file().is_some_and(|file| file.as_os_str() == STREAM);
        let output = self.output.as_os_str() == STREAM;
        output.then_some("standard output").or(input.then_some("standard input"))
    }
}

impl Text {
    /// The same in tokens, with what the clip shall not be. Says what of it is left out.
    ///
    /// # Errors
    /// A text without tokens, or too long a one.
    pub fn said(&self, args: &OrderArgs, plan: &Plan, tokenizer: &Tokenizer) -> Result<Said, Failure> {
        let prompts = &self.prompts;
        let chat = self.asking.chat(plan, tokenizer, prompts.first().map_or("", String::as_str))?;
        let encoded = prompts.iter().map(|prompt| tokenizer.encode(prompt)).collect::<Result<Vec<_>, _>>()?;
        let negative = args.guidance.negative(plan, tokenizer)?;
        for (tokens, limit) in encoded.iter().map(|prompt| (prompt.tokens, prompt.input_ids.len())) {
            if chat.is_none() && tokens > limit {
                terminal::note(format_args!("a prompt has {tokens} tokens; only the first {limit} are used"));
            }
        }
        Ok(Said { prompts: encoded, negative, chat })
    }
}

impl Order<'_, '_> {
    /// Its prompts in tokens ([`Text::said`]).
    ///
    /// # Errors
    /// As there.
    pub fn said(&self, tokenizer: &Tokenizer) -> Result<Said, Failure> {
        self.text.said(self.args, self.plan, tokenizer)
    }

    /// Makes the clip with the weights of its plan, and writes it.
    ///
    /// # Errors
    /// Whatever stops a run, or what it makes cannot be written.
    pub fn make<'a>(
        self,
        Said { prompts: encoded, negative, chat }: Said,
        tokenizer: &Tokenizer,
        (engine, plan, weights): (&mut Engine<'a>, &'a Plan, &'a dyn Weights),
        shown: &Shown<'_>,
    ) -> Result<(), Failure> {
        let Order { args, start, windows, text, outputs, writer, images, given, references, noise, .. } =
            self;
        let per_window = PerWindow {
            prompts: encoded.iter().map(|prompt| [prompt].into_iter().chain(&negative).collect()).collect(),
            given: &|window| windows::Given {
                images: images.of_window(window),
                sound: given.spectrogram(&windows, window),
                references: references.of_window(&windows, window),
                tensors: references.strengths(&windows, window),
            },
        };
        let request = Request {
            footage: given.footage(),
            seed: args.seed,
            steps: args.guidance.steps(),
            tensors: noise.into_iter().chain(args.guidance.scales()).chain(given.spans()).collect(),
            ..Request::default()
        };
        let better = OnceCell::new();
        let say = outputs.say();
        let asked = chat.map(|chat| chat.showing(images.shown()));
        let writing = asked.map(|asked| Writing { asked, tokenizer, better: &better, say });
        let work = Work { plan, windows: &windows, request, per_window, writing, shown };
        let (outputs, mut writer) = work.done(engine, weights, (outputs, writer))?;
        if let Some((written, _)) = better.get() {
            writer.set_metadata("comment", written);
            writer.set_metadata("original_prompt", &text.prompts.join("\n"));
        }
        let (sound, how) = (given.kept_sound(), format!("seed {}, ", args.seed));
        deliver((plan, &args.output, &how, start), (outputs, writer), sound.as_ref(), shown)
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
