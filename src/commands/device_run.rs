//! One run on the device that was chosen, and the file that it ends in.

use std::path::Path;
use std::time::Instant;

#[cfg(feature = "cuda")]
use zoetrope_runtime::cuda::{Cuda, Supply};
use zoetrope_runtime::plan::Plan;
use zoetrope_runtime::{Result as RuntimeResult, Weights};

use super::clip::ClipWriter;
use super::outputs::Outputs;
use super::previews::Previews;
use crate::device::Chosen;
#[cfg(feature = "cuda")]
use crate::device::{embedded::Embedded, mode};
use crate::failure::Failure;
use crate::media::Sound;
use crate::progress::Progress;
use crate::run::{Finished, Request, run};
use crate::session::Session;
use crate::tensors::Named;
use crate::terminal;

/// Runs a plan. `outputs` get previews and latents on the way.
///
/// # Errors
/// Whatever stops the run.
pub fn run_on(
    chosen: Chosen,
    plan: &Plan,
    weights: &dyn Weights,
    request: &Request<'_>,
    outputs: &mut Outputs,
    quiet: bool,
) -> Result<Finished, Failure> {
    let mut progress = Progress::new(plan, request.steps, quiet);
    let mut watch = Previews { progress: &mut progress, file: outputs.preview.take() };
    let mut keep = |phase: &str, left: &Named| -> RuntimeResult<()> {
        outputs.keep(phase, left);
        Ok(())
    };
    let finished = match chosen {
        Chosen::Cpu => {
            let mut session = Session::new(plan, weights)?;
            run(&mut session, request, &mut watch, &mut keep)
        }
        #[cfg(feature = "cuda")]
        Chosen::Card(card, code) => {
            let mut cuda = Cuda::new(card, plan, code, &Embedded, Supply::Files(weights))?;
            cuda.set_mode(mode());
            run(&mut Session::on(cuda), request, &mut watch, &mut keep)
        }
    };
    progress.done();
    Ok(finished?)
}

/// Says what of a clip the encoder cuts off.
pub fn note_cut(plan: &Plan, writer: &ClipWriter) {
    if let Some((width, height)) = writer.size()
        && (width as u32, height as u32) != (plan.facts.width, plan.facts.height)
    {
        terminal::note(format_args!(
            "the encoder takes no more than {width}x{height}: the edges are cut off"
        ));
    }
}

/// Writes the file of a run that began at `start`, with the sound that was given where the run makes none, and says what it
/// is, and how it was made.
///
/// # Errors
/// The run left something else, an encoder failed, or what the run makes cannot be written.
pub fn deliver(
    (plan, path, how, start): (&Plan, &Path, &str, Instant),
    (outputs, writer): (Outputs, ClipWriter),
    finished: &Finished,
    sound: Option<&Sound>,
) -> Result<(), Failure> {
    let contents = writer.contents();
    let clip = writer.finish(finished, sound)?;
    outputs.clip.finish(clip.bytes(), &|out| clip.write(out))?;
    let say = if outputs.clip.is_stream() { terminal::line } else { terminal::info };
    if plan.facts.model == "demo" {
        say(
            "note: the demo model is a toy that knows a few shapes and motions (docs/demo.md); the weights of LTX-2.3 \
             make clips of anything",
        );
    }
    let (name, seconds) = (path.display(), start.elapsed().as_secs_f64());
    say(&format!("{name}: {contents}, {how}{seconds:.1} s"));
    outputs.close()
}
