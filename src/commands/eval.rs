//! `zoetropec eval`: one phase on given inputs (docs/phases.md).

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use zoetrope_compiler::Options;
#[cfg(feature = "cuda")]
use zoetrope_compiler::frontend::CompileError;
use zoetrope_compiler::frontend::{Scope, beside, compile_levels, decode_chunk, dimensions};
use zoetrope_model_spec::lang::Kept;
use zoetrope_model_spec::ltx::decode::Pixels;
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_model_spec::target::{Model, Target, parse_vram, parse_weights};
#[cfg(not(feature = "cuda"))]
use zoetrope_runtime::Error as RuntimeError;
use zoetrope_runtime::Weights;
use zoetrope_runtime::plan::{Plan, Role};

use super::adapters::adapted;
use super::ask::hears;
use super::given::GivenArgs;
use super::guidance::GuidanceArgs;
use super::images::ImageArgs;
use super::references::ReferenceArgs;
use super::show::find_target;
use super::{AdapterArgs, ModelArgs};
use crate::adapters::Merge;
use crate::device::Device;
#[cfg(feature = "cuda")]
use crate::device::compiled::{first_card, on_card};
use crate::eval::{Phase, sigmas};
use crate::failure::{Failure, Kind};
use crate::model_files::{ModelFiles, ModelPaths};
use crate::output::{Format, Inputs, OutputFile, STREAM, check_room};
use crate::run::{Finished, Request, noise_slots, run};
use crate::session::{Session, Unwatched};
use crate::tensors::{self, Named, Tensor};
use crate::terminal;
use crate::tokenize::{Encoded, Tokenizer};
use crate::windows::Windows;

/// Run one phase of a target on given inputs
#[derive(Args, Debug)]
pub struct Eval {
    /// A preset's name or a target file
    target: String,
    /// tokenize, image, footage, sound, text-encode, connect, video-encode, audio-encode, conditioning, sigmas, velocity, guide, step, denoise, upscale, video-decode, audio-decode, vocode, or run
    phase: String,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    adapters: AdapterArgs,
    /// Named input tensors (safetensors)
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// Where the outputs go (safetensors, f32); - is standard output
    #[arg(long, value_name = "FILE")]
    outputs: PathBuf,
    /// The prompt of tokenize and run
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// Also write this inner value
    #[arg(long, value_name = "NAME")]
    tap: Vec<String>,
    /// The memory of the card, such as 24GiB, instead of what the target says
    #[arg(long, value_name = "MEMORY", value_parser = parse_vram)]
    vram: Option<u64>,
    /// What the matrices of blocks and layers stay in, fp8, q8_0 or q4_k, instead of what the target says
    #[arg(long, value_name = "ENCODING", value_parser = parse_weights)]
    weights: Option<Kept>,
    /// Replay so often, and print the seconds of each replay
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: usize,
    /// Where to run; on a card the kernels are compiled first, by NVRTC
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    device: Device,
    /// Latent frames that the video decoder or encoder takes through all layers together; otherwise a run has as many as fit
    #[arg(long, value_name = "N")]
    chunk: Option<NonZeroUsize>,
    #[command(flatten)]
    images: ImageArgs,
    #[command(flatten)]
    given: GivenArgs,
    #[command(flatten)]
    references: ReferenceArgs,
    #[command(flatten)]
    guidance: GuidanceArgs,
}

impl Eval {
    /// Runs the command.
    ///
    /// # Errors
    /// Says what the phase wants where something is missing.
    pub fn run(mut self) -> Result<(), Failure> {
        let (mut target, folder) = find_target(&self.target)?;
        target.vram = self.vram.or(target.vram);
        target.weights = self.weights.or(target.weights);
        // What is held against the official code is done as it does it.
        let merged = self.adapters.merge(Merge::Official) == Merge::Official;
        target
            .recipe
            .stages
            .iter_mut()
            .filter_map(|stage| stage.adapter.as_mut())
            .for_each(|a| a.merged |= merged);
        self.files_of(&target, &folder);
        if self.phase != "run" {
            self.guidance.refuse(&self.phase)?;
        }
        let file = OutputFile::open(&self.outputs, Format::Safetensors, &self.read())?;
        let outputs = match self.phase.as_str() {
            "tokenize" => self.tokenize(&target)?,
            "image" => self.image(&target)?,
            "footage" => self.footage(&target)?,
            "sound" => self.sound(&target)?,
            "sigmas" => sigmas(&target, self.guidance.steps().count)?,
            "run" => self.whole(&target, &folder, &file)?,
            _ => self.one(&target, &folder, &file)?,
        };
        let bytes = tensors::to_bytes(&outputs);
        file.finish(bytes.len() as u64, &|out| out.write_all(&bytes))?;
        for (name, tensor) in &outputs {
            self.info(&format!("{name} {:?}", tensor.shape));
        }
        Ok(())
    }

    /// All files that are read.
    fn read(&self) -> Inputs {
        let more = [Some(Path::new(&self.target)), self.inputs.as_deref()];
        let model = self.model.paths().chain(self.adapters.paths()).chain(self.images.paths());
        let model = model.chain(self.given.paths()).chain(self.references.paths());
        Inputs::of(model.chain(more.into_iter().flatten()))
    }

    /// A line beside the outputs.
    fn info(&self, text: &str) {
        if self.outputs.as_os_str() == STREAM { terminal::line(text) } else { terminal::info(text) }
    }

    /// Files that the command line does not name are those of the target.
    fn files_of(&mut self, target: &Target, folder: &Path) {
        if let Model::Files { checkpoint, text_encoder, spatial_upscaler } = &target.model {
            if self.model.checkpoint.is_empty() {
                self.model.checkpoint = checkpoint.iter().map(|path| beside(folder, path)).collect();
            }
            self.model.text_encoder.get_or_insert_with(|| beside(folder, text_encoder));
            self.model.spatial_upscaler.get_or_insert_with(|| beside(folder, spatial_upscaler));
        }
    }

    fn options(&self) -> Options {
        Options { decode_chunk: self.chunk.map(NonZeroUsize::get), ..Options::default() }
    }

    fn inputs(&self) -> Result<Named, Failure> {
        match &self.inputs {
            Some(path) => tensors::load(path).map_err(|e| Failure::usage(e.to_string())),
            None => Ok(Named::new()),
        }
    }

    fn encoded(&self, tokenizer: &Tokenizer) -> Result<Encoded, Failure> {
        let Some(prompt) = &self.prompt else {
            return Err(Failure::usage(format!(
                "phase {} wants a prompt\n  help  --prompt TEXT",
                self.phase
            )));
        };
        Ok(tokenizer.encode(prompt)?)
    }

    fn tokenize(&self, target: &Target) -> Result<Named, Failure> {
        let tokenizer = match &self.model.text_encoder {
            Some(path) => {
                let paths = ModelPaths { text_encoder: path.clone(), ..ModelPaths::default() };
                let files = ModelFiles::open(&paths);
                let why = || files.unreadable.iter().map(|file| file.message.as_str()).collect::<Vec<_>>();
                files.tokenizer.ok_or_else(|| Failure::new(Kind::ModelFiles, why().join("\n  ")))?
            }
            None if target.model == Model::Demo => Tokenizer::from_json(crate::demo::TOKENIZER)?,
            None => {
                return Err(Failure::usage("tokenize wants the Gemma folder\n  help  --text-encoder DIR"));
            }
        };
        let encoded = self.encoded(&tokenizer)?;
        let tensor = |v: &[i32]| Tensor::int(&[v.len()], v.to_vec());
        Ok(Named::from([
            ("input_ids".to_string(), tensor(&encoded.input_ids)),
            ("attention_mask".to_string(), tensor(&encoded.attention_mask)),
        ]))
    }

    /// An image as `video-encode` takes it, in the target's size.
    fn image(&self, target: &Target) -> Result<Named, Failure> {
        let image = self.images.only(target.size.width, target.size.height)?;
        Ok(Named::from([("video".to_string(), image)]))
    }

    /// A video as `video-encode` takes it, in the target's size: its first frames, and repetitions of the last one.
    fn footage(&self, target: &Target) -> Result<Named, Failure> {
        let Size { width, height, frames, .. } = target.size;
        let video = self.given.only_footage(frames)?.fit(0, frames, width, height);
        Ok(Named::from([("video".to_string(), Tensor::real(&[1, 3, frames, height, width], video))]))
    }

    /// A sound as `audio-encode` takes it, for a clip as long as the target's.
    fn sound(&self, target: &Target) -> Result<Named, Failure> {
        let rows = 4 * target.size.audio_tokens() - 3;
        let seconds = target.size.frames as f64 / target.size.fps;
        let mel = self.given.only_sound(seconds)?.spectrogram(rows);
        Ok(Named::from([("mel".to_string(), Tensor::real(&[1, 2, rows, mel.len() / rows / 2], mel))]))
    }

    fn one(&self, target: &Target, folder: &Path, file: &OutputFile) -> Result<Named, Failure> {
        let model = dimensions(target, folder)?;
        let phase = Phase::compile(target, &model, &self.phase, &self.tap, self.options())?;
        check_size(&phase.plan, file)?;
        let inputs = self.inputs()?;
        phase.check(&inputs)?;
        let files = self.model.open(&phase.plan, Some(&model))?;
        let adapters = self.adapters.open(&phase.plan, Merge::Official)?;
        let weights = adapted(&adapters, (&files, &files.checkpoint), &phase.plan)?;
        let done = phase.run(self.device, &weights, &inputs, self.repeat)?;
        done.notes.iter().for_each(terminal::note);
        if self.repeat > 1 {
            let seconds: Vec<_> = done.seconds.iter().map(|s| format!("{s:.4}")).collect();
            self.info(&format!("replay seconds: {}", seconds.join(" ")));
        }
        Ok(done.outputs)
    }

    fn whole(&self, target: &Target, folder: &Path, file: &OutputFile) -> Result<Named, Failure> {
        let model = dimensions(target, folder)?;
        if !self.tap.is_empty() {
            return Err(Failure::usage("--tap is for single phases, not for run"));
        }
        let mut options = self.options();
        if options.decode_chunk.is_none() {
            options.decode_chunk = decode_chunk(target, &model)?;
        }
        let plan = compile_levels(target, &model, Scope::Run(Pixels::Rgb), &[], options)?.plan;
        check_size(&plan, file)?;
        let mut noise = self.inputs()?;
        let slots = noise_slots(&plan);
        let fits = |(name, shape): &(&String, &Vec<usize>)| {
            noise.get(*name).is_some_and(|t| t.elements() == shape.iter().product::<usize>())
        };
        let missing: Vec<_> = slots
            .iter()
            .filter(|slot| !fits(slot))
            .map(|(name, shape)| format!("{name} {shape:?}"))
            .collect();
        if !missing.is_empty() {
            let list = missing.join("\n           ");
            return Err(Failure::usage(format!(
                "phase run wants its initial noise\n  missing  {list}\n  help     --inputs FILE; docs/phases.md"
            )));
        }
        let given = given_shapes(&plan);
        noise.retain(|name, _| given.contains_key(name));
        let odd = noise.iter().find(|(name, t)| given[*name].iter().product::<usize>() != t.elements());
        if let Some((name, tensor)) = odd {
            return Err(Failure::usage(format!(
                "{name} has shape {:?}, and the run wants {:?}",
                tensor.shape, given[name]
            )));
        }
        let files = self.model.open(&plan, Some(&model))?;
        let adapters = self.adapters.open(&plan, Merge::Official)?;
        let weights = adapted(&adapters, (&files, &files.checkpoint), &plan)?;
        self.guidance.check(&plan)?;
        self.given.check(&plan, self.references.first())?;
        self.references.check(&plan)?;
        let windows = Windows::one(&plan.facts);
        let in_time = self.given.hears_reference(&plan, self.references.first());
        let references = self.references.open(&plan, &windows, in_time)?;
        let sources = self.given.open(&plan, &windows, self.references.first())?;
        let mut prompts = Vec::new();
        if hears(&plan, 0) {
            let tokenizer = files.tokenizer()?;
            prompts.push(self.encoded(tokenizer)?);
            prompts.extend(self.guidance.negative(&plan, tokenizer)?);
        }
        let images = self.images.open(&plan, &windows, false)?;
        let request = Request {
            images: images.of_window(0),
            footage: sources.footage(),
            spectrogram: sources.spectrogram(&windows, 0),
            references: references.of_window(&windows, 0),
            prompts: prompts.iter().collect(),
            steps: self.guidance.steps(),
            tensors: noise
                .into_iter()
                .chain(self.guidance.scales())
                .chain(sources.spans())
                .chain(references.strengths(&windows, 0))
                .collect(),
            ..Request::default()
        };
        let finished = self.finished(&plan, &weights, &request)?;
        let mut out = finished.latents;
        let made = [("video", finished.video), ("waveform", finished.waveform)];
        out.extend(made.into_iter().filter_map(|(name, tensor)| Some((name.to_string(), tensor?))));
        Ok(out)
    }

    fn finished(
        &self,
        plan: &Plan,
        weights: &dyn Weights,
        request: &Request<'_>,
    ) -> Result<Finished, Failure> {
        let mut keep = |_: &str, _: &Named| Ok(());
        if self.device != Device::Cuda {
            let mut session = Session::new(plan, weights)?;
            return Ok(run(&mut session, request, &mut Unwatched, &mut keep)?);
        }
        #[cfg(not(feature = "cuda"))]
        return Err(RuntimeError::WithoutCuda.into());
        #[cfg(feature = "cuda")]
        {
            let (card, class) = first_card()?;
            let selected = zoetrope_compiler::select(plan, class).map_err(CompileError::Compiler)?;
            let cuda = on_card(card, plan, &selected, weights)?;
            Ok(run(&mut Session::on(cuda), request, &mut Unwatched, &mut keep)?)
        }
    }
}

/// What a request may give in place of what phases or the command would, by slot or port, with its shape.
fn given_shapes(plan: &Plan) -> BTreeMap<String, Vec<usize>> {
    let ports = plan.phases.iter().flat_map(|phase| phase.inputs.iter());
    let given = ports.filter_map(|port| {
        let name = match (&port.slot, &port.role) {
            (Some(slot), _) => slot.to_string(),
            (
                None,
                Role::Tensor { .. }
                | Role::Strength { .. }
                | Role::Frame { .. }
                | Role::Visible { .. }
                | Role::ReferenceStrength { .. }
                | Role::ReferenceAttention { .. }
                | Role::RegionStart { .. }
                | Role::RegionEnd { .. },
            ) => port.name.to_string(),
            _ => return None,
        };
        Some((name, port.shape.iter().map(|n| *n as usize).collect()))
    });
    given.collect()
}

/// Whether there is room for what the phases of a plan leave, in numbers of 32 bits.
fn check_size(plan: &Plan, file: &OutputFile) -> Result<(), Failure> {
    let ports = plan.phases.iter().flat_map(|phase| phase.outputs.iter());
    let bytes = ports.map(|port| 4 * port.shape.iter().map(|n| u64::from(*n)).product::<u64>()).sum();
    file.check_limit(bytes)?;
    Ok(check_room(&file.folder().map(|folder| (folder, bytes)).into_iter().collect::<Vec<_>>())?)
}
