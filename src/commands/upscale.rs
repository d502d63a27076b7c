//! `zoetrope upscale`: a clip becomes a larger one, or one of more frames, by a latent upscaler.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use zoetrope_runtime::plan::Plan;

use super::ask::Ask;
use super::clip::ClipWriter;
use super::device_run::{deliver, note_cut, run_on};
use super::given::GivenArgs;
use super::model::built_in;
use super::outputs::Outputs;
use super::{ModelArgs, PlanArgs};
use crate::device::Device;
use crate::failure::Failure;
use crate::output::Inputs;
use crate::run::Request;
use crate::terminal;

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
        let plan = self.plan.plan_for(plans, &[Ask::Upscaling(&self.clip)])?;
        let encoder = format!("zoetrope {}, plan {}", env!("CARGO_PKG_VERSION"), plan.name);
        let writer = ClipWriter::new(plan, &[("encoder".to_string(), encoder)])?;
        let inputs = Inputs::of(self.model.paths().chain([self.clip.as_path()]));
        let mut outputs = Outputs::open(
            plan,
            (writer.format(), writer.likely_bytes()),
            (&self.output, None, self.dump.as_deref()),
            &inputs,
        )?;
        plan.facts.notes.iter().for_each(terminal::note);
        note_cut(plan, &writer);
        let given = GivenArgs::of_video(&self.clip).open(plan)?;
        let chosen = self.device.choose(plan)?;
        let files = self.model.open(plan, built_in(plan).as_ref())?;
        let request = Request { footage: given.footage(), ..Request::default() };
        let finished = run_on(chosen, plan, &files, &request, &mut outputs, self.quiet)?;
        let sound = given.kept_sound();
        deliver((plan, &self.output, "", start), (outputs, writer), &finished, sound.as_ref())
    }
}
