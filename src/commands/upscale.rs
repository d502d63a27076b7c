//! `zoetrope upscale`: a clip becomes a larger one, or one of more frames, by a latent upscaler.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use zoetrope_runtime::plan::Plan;

use super::ask::Ask;
use super::clip::ClipWriter;
use super::decoder::DecoderArgs;
use super::device_run::{Shown, Work, deliver, note_cut};
use super::given::GivenArgs;
use super::outputs::Outputs;
use super::{ModelArgs, PlanArgs};
use crate::device::Device;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::output::Inputs;
use crate::run::Request;
use crate::terminal;
use crate::windows::{Given, PerWindow, Windows};

/// Make a clip larger, or give it more frames, with a latent upscaler; its sound stays what it is
#[derive(Args, Debug)]
pub struct Upscale {
    /// The clip
    #[arg(value_name = "CLIP")]
    clip: PathBuf,
    /// The MP4 file to write; - is standard output
    #[arg(short, long, value_name = "FILE", alias = "output-path")]
    output: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    decoder: DecoderArgs,
    /// Write the enlarged latents into this folder, which holds none yet
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    /// Where to run
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    device: Device,
    /// No progress
    #[arg(short, long)]
    quiet: bool,
}

impl Upscale {
    /// Runs the command with one of these plans.
    ///
    /// # Errors
    /// Everything that can be known is checked before the first phase runs.
    pub fn run(self, plans: &[&Plan]) -> Result<(), Failure> {
        let start = Instant::now();
        let plan = self.plan.plan_for(plans, &self.asks())?;
        let encoder = format!("zoetrope {}, plan {}", env!("CARGO_PKG_VERSION"), plan.name);
        let windows = Windows::one(&plan.facts);
        let writer = ClipWriter::new(plan, windows, &[("encoder".to_string(), encoder)])?;
        let inputs = Inputs::of(self.model.paths().chain([self.clip.as_path()]));
        let outputs = Outputs::open(
            (plan, windows.count),
            (writer.format(), [writer.likely_bytes(), writer.scratch_bytes()]),
            (&self.output, None, self.dump.as_deref()),
            &inputs,
        )?;
        plan.facts.notes.iter().for_each(terminal::note);
        note_cut(plan, &writer);
        let given = GivenArgs::of_video(&self.clip).open(plan, &windows, None)?;
        let chosen = self.device.choose(plan)?;
        let files = self.model.open_for(&[plan])?;
        let request = Request { footage: given.footage(), ..Request::default() };
        // There is no prompt, and no image.
        let per_window = PerWindow { prompts: Vec::new(), given: &|_| Given::default() };
        let shown = Shown { quiet: self.quiet, ..Shown::default() };
        let work = Work { plan, windows: &windows, request, per_window, writing: None, shown: &shown };
        let made = work.done(&mut Engine::new(vec![(plan, chosen)]), &files, (outputs, writer))?;
        deliver((plan, &self.output, "", start), made, given.kept_sound().as_ref(), &shown)
    }

    /// What it asks of a plan.
    fn asks(&self) -> Vec<Ask<'_>> {
        [Ask::Upscaling(&self.clip)].into_iter().chain(self.decoder.asks()).collect()
    }
}
