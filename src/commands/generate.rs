//! `zoetrope generate`: a prompt becomes a clip.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use zoetrope_runtime::Error as RuntimeError;
#[cfg(feature = "cuda")]
use zoetrope_runtime::cuda::{Cuda, Supply};
use zoetrope_runtime::plan::Plan;

use super::guidance::GuidanceArgs;
use super::model::built_in;
use super::previews::{self, Previews};
use super::{ModelArgs, PlanArgs, write_whole};
#[cfg(feature = "cuda")]
use crate::device::embedded::Embedded;
#[cfg(feature = "cuda")]
use crate::device::mode;
use crate::device::{Chosen, Device};
use crate::failure::{Failure, Kind};
use crate::media::Mp4Writer;
use crate::progress::Progress;
use crate::run::{Finished, Request, noise_ports, run};
use crate::session::Session;
use crate::tensors::{self, Named, Values};
use crate::tokenize::Tokenizer;

/// Make a clip from a prompt
#[derive(Args, Debug)]
pub struct Generate {
    /// What the clip shows and sounds like
    #[arg(required_unless_present = "prompt_flag")]
    prompt: Option<String>,
    #[arg(long = "prompt", value_name = "PROMPT", conflicts_with = "prompt", hide = true)]
    prompt_flag: Option<String>,
    /// The MP4 file to write
    #[arg(short, long, value_name = "FILE", alias = "output-path")]
    output: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// Picks the initial noise; the same seed makes the same clip
    #[arg(long, default_value_t = 10)]
    seed: u64,
    /// Initial noise from a safetensors file instead of the seed (docs/phases.md)
    #[arg(long, value_name = "FILE")]
    noise: Option<PathBuf>,
    /// Write the latents of every phase into this folder
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
    guidance: GuidanceArgs,
}

impl Generate {
    /// Runs the command.
    ///
    /// # Errors
    /// Everything that can be known is checked before the first phase runs.
    pub fn run(self) -> Result<(), Failure> {
        let start = Instant::now();
        let plan = self.plan.plan()?;
        if let Some(path) = &self.preview {
            previews::check(plan, path)?;
        }
        self.guidance.check(plan)?;
        let facts = &plan.facts;
        facts.notes.iter().for_each(|note| eprintln!("note: {note}"));
        let chosen = self.device.choose(plan)?;
        let prompt = self.prompt.or(self.prompt_flag).unwrap_or_default();
        let metadata = [
            ("comment".to_string(), prompt.clone()),
            (
                "encoder".to_string(),
                format!("zoetrope {}, plan {}, seed {}", env!("CARGO_PKG_VERSION"), plan.name, self.seed),
            ),
        ];
        // Opened first: a folder that cannot be written is known before minutes of work.
        let size = (facts.width as usize, facts.height as usize);
        let writer = Mp4Writer::create(&self.output, size.0, size.1, facts.fps, &metadata)?;
        if let Some(folder) = &self.dump {
            std::fs::create_dir_all(folder).map_err(|e| {
                Failure::new(Kind::Failure, format!("cannot make the folder {}: {e}", folder.display()))
            })?;
        }
        let noise = self.noise.as_deref().map_or_else(|| Ok(Named::new()), |path| load_noise(plan, path))?;
        let files = self.model.open(plan, built_in(&facts.model).as_ref())?;
        let tokenizer = files.tokenizer.as_deref().ok_or_else(|| {
            Failure::new(Kind::ModelFiles, "the text encoder's folder has no tokenizer.json")
        })?;
        let encoded = Tokenizer::from_bytes(tokenizer)?.encode(&prompt)?;
        let guidance = self.guidance.of(plan, tokenizer)?;
        if encoded.tokens > encoded.input_ids.len() {
            let limit = encoded.input_ids.len();
            eprintln!("note: the prompt has {} tokens; only the first {limit} are used", encoded.tokens);
        }
        let mut progress = Progress::new(plan, guidance.steps, self.quiet);
        let request = Request { prompt: &encoded, guidance, seed: self.seed, noise };
        let mut watch = Previews { progress: &mut progress, path: self.preview };
        let dump = self.dump.as_deref();
        let mut keep = |phase: &str, left: &Named| match dump {
            Some(folder) if !left.is_empty() => {
                let path = folder.join(format!("{phase}.safetensors"));
                write_whole(&path, &tensors::to_bytes(left)).map_err(|e| RuntimeError::Host(e.message))
            }
            _ => Ok(()),
        };
        let finished = match chosen {
            Chosen::Cpu => {
                let mut session = Session::new(plan, &files)?;
                run(&mut session, &request, &mut watch, &mut keep)
            }
            #[cfg(feature = "cuda")]
            Chosen::Card(card, code) => {
                let mut cuda = Cuda::new(card, plan, code, &Embedded, Supply::Files(&files))?;
                cuda.set_mode(mode());
                run(&mut Session::on(cuda), &request, &mut watch, &mut keep)
            }
        };
        progress.done();
        write_clip(writer, facts.frames as usize, &finished?)?;
        if facts.model == "demo" {
            println!(
                "note: the demo model is untrained, so the picture is noise; the weights of LTX-2.3 make clips"
            );
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{}: {}x{}, {} frames, seed {}, {seconds:.1} s",
            self.output.display(),
            size.0,
            size.1,
            facts.frames,
            self.seed
        );
        Ok(())
    }
}

fn load_noise(plan: &Plan, path: &Path) -> Result<Named, Failure> {
    let named = tensors::load(path).map_err(|e| Failure::usage(e.to_string()))?;
    let mut noise = Named::new();
    for (name, shape) in noise_ports(plan) {
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

fn write_clip(mut writer: Mp4Writer, frames: usize, finished: &Finished) -> Result<(), Failure> {
    let Values::Byte(planes) = &finished.video.values else {
        return Err(Failure::new(Kind::Failure, "the plan leaves no picture that can be encoded"));
    };
    for frame in planes.chunks_exact((planes.len() / frames.max(1)).max(1)) {
        writer.push_frame(frame)?;
    }
    let wave = finished.waveform.reals();
    let (left, right) = wave.split_at(wave.len() / 2);
    writer.push_sound(left, right)?;
    Ok(writer.finish()?)
}
