//! The runs that make a clip on the device that was chosen, and the file that they end in.

use std::path::Path;
use std::time::Instant;

use zoetrope_runtime::plan::Plan;
use zoetrope_runtime::{Executor, Result as RuntimeResult, Weights};

use super::clip::ClipWriter;
use super::enhance::Writing;
use super::outputs::Outputs;
use super::previews::Previews;
use crate::engine::{Engine, Ready};
use crate::failure::Failure;
use crate::media::Sound;
use crate::progress::Progress;
use crate::run::{Finished, Request};
use crate::session::Session;
use crate::stop::Stop;
use crate::tensors::Named;
use crate::terminal;
use crate::windows::{PerWindow, Windows, make};

/// How runs show themselves, and what may end them.
#[derive(Default)]
pub struct Shown<'s> {
    /// No progress.
    pub quiet: bool,
    /// Which clip of several it is, in words before every line.
    pub label: String,
    /// What ends the runs of all of them. Where there is none, Ctrl-C ends the program, or the windows of a long clip.
    pub stop: Option<&'s Stop>,
}

/// The runs that make a clip.
pub struct Work<'a, 'w, 'r> {
    pub plan: &'a Plan,
    pub windows: &'w Windows,
    /// What all windows share.
    pub request: Request<'r>,
    pub per_window: PerWindow<'r>,
    /// A better prompt, which takes the place of the first one.
    pub writing: Option<Writing<'r>>,
    pub shown: &'w Shown<'w>,
}

impl<'a> Work<'a, '_, '_> {
    /// Runs them. Previews and latents go to the outputs on the way, and finished windows to the writer.
    ///
    /// # Errors
    /// Whatever stops a run; then the windows before it are kept ([`Outputs::keep_windows`]).
    pub fn done(
        self,
        engine: &mut Engine<'a>,
        weights: &'a dyn Weights,
        (mut outputs, mut writer): (Outputs, ClipWriter),
    ) -> Result<(Outputs, ClipWriter), Failure> {
        let (plan, steps, count) = (self.plan, self.request.steps, self.windows.count);
        let Shown { quiet, label, stop } = self.shown;
        let mut progress = Progress::new(plan, steps, *quiet).labelled(label);
        progress.repeat(plan, steps, count, self.per_window.prompts.len());
        let own = (count > 1 && stop.is_none()).then(Stop::listen);
        let stop = stop.or(own.as_ref());
        let mut watch = Previews { progress: &mut progress, file: outputs.preview.take(), stop };
        let made = engine.session(plan, weights).and_then(|ready| match ready {
            Ready::Cpu(session) => self.on(session, &mut watch, &mut outputs, &mut writer),
            #[cfg(feature = "cuda")]
            Ready::Card(session) => self.on(session, &mut watch, &mut outputs, &mut writer),
        });
        progress.done();
        match made {
            Ok(()) => Ok((outputs, writer)),
            Err(failure) => Err(outputs.keep_windows(writer, failure)),
        }
    }

    fn on<'p, E: Executor<'p>>(
        mut self,
        session: &mut Session<E>,
        watch: &mut Previews<'_>,
        outputs: &mut Outputs,
        writer: &mut ClipWriter,
    ) -> Result<(), Failure> {
        if let Some(writing) = self.writing.take()
            && let Some(better) = writing.written(session, self.request.seed, watch)?
            && let Some(first) = self.per_window.prompts.first_mut().and_then(|prompts| prompts.first_mut())
        {
            *first = better;
        }
        let mut keep = |window: usize, phase: &str, left: &Named| -> RuntimeResult<()> {
            outputs.keep(window, phase, left);
            Ok(())
        };
        let mut take = |finished: Finished| writer.push(&finished);
        make(session, self.windows, self.request, &self.per_window, watch, &mut keep, &mut take)
    }
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

/// Says what the demo model is, where a plan is for it.
pub fn note_demo(plan: &Plan, say: fn(&str)) {
    if plan.facts.model == "demo" {
        say(
            "note: the demo model is a toy that knows a few shapes and motions (docs/demo.md); the weights of LTX-2.3 \
             make clips of anything",
        );
    }
}

/// Writes the file of runs that began at `start`, with the sound that was given where they make none, and says what it
/// is, and how it was made.
///
/// # Errors
/// They left something else, an encoder failed, or what the run makes cannot be written.
pub fn deliver(
    (plan, path, how, start): (&Plan, &Path, &str, Instant),
    (outputs, writer): (Outputs, ClipWriter),
    sound: Option<&Sound>,
    shown: &Shown<'_>,
) -> Result<(), Failure> {
    let contents = writer.contents();
    let clip = writer.finish(sound)?;
    outputs.clip.finish(clip.bytes(), &|out| clip.write(out))?;
    let say = outputs.say();
    if shown.label.is_empty() {
        note_demo(plan, say);
    }
    let (name, seconds) = (path.display(), start.elapsed().as_secs_f64());
    say(&format!("{}{name}: {contents}, {how}{seconds:.1} s", shown.label));
    outputs.close()
}
