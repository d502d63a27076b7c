//! A whole run on the stand-in card, against the CPU executor.

use std::borrow::Cow;
use std::time::Instant;

use zoetrope::model_files::ModelFiles;
use zoetrope::run::{Finished, Request, run};
use zoetrope::session::{Session, Unwatched};
use zoetrope_runtime::cuda::{Card, DeviceError, Images};
use zoetrope_runtime::plan::{Arch, Code, Function, Plan};
use zoetrope_runtime::{Cpu, Executor};
use zoetrope_test_support::asks_for_long;

use crate::launches::{Beside, LaunchError};
use crate::phase::Demo;
use crate::standin::StandIn;

/// Machine code for a card that finds its functions by name alone.
pub struct ByName;

impl Images for ByName {
    fn image(&self, _card: &Card, _arch: &Arch, _function: &Function) -> Result<Cow<'_, [u8]>, DeviceError> {
        Ok(Cow::Borrowed(b"\x7fELF"))
    }
}

/// A clip, as far as the plan has phases for it.
pub fn clip<'a, E: Executor<'a>>(files: &ModelFiles, session: &mut Session<E>) -> Finished {
    let tokenizer = files.tokenizer().unwrap();
    let encoded = tokenizer.encode("a red ball").unwrap();
    let request = Request { prompts: vec![&encoded], seed: 7, ..Request::default() };
    run(session, &request, &mut Unwatched, &mut |_, _| Ok(())).expect("the run finishes")
}

/// The relative L2 distance.
pub fn distance(have: &[f32], want: &[f32]) -> f64 {
    assert_eq!(have.len(), want.len());
    let squares = |list: &mut dyn Iterator<Item = f32>| list.map(|x| f64::from(x).powi(2)).sum::<f64>();
    let apart = squares(&mut have.iter().zip(want).map(|(a, b)| a - b));
    (apart / squares(&mut want.iter().copied())).sqrt()
}

#[test]
fn a_whole_run_equals_the_cpu_executors() {
    let demo = Demo::new();
    let (plan, files) = (&demo.plan, &demo.files);
    let start = Instant::now();
    let Some(_stand_in) = StandIn::open() else { return };
    println!("stand-in built in {:.1?}", start.elapsed());
    let start = Instant::now();
    let cuda = demo.cuda(plan, &demo.selected.code).unwrap();
    let have = clip(files, &mut Session::on(cuda));
    println!("run in {:.1?}", start.elapsed());
    let want = clip(files, &mut Session::new(plan, files).unwrap());
    let mut all: Vec<(&str, f64)> = want
        .latents
        .iter()
        .map(|(name, tensor)| (name.as_str(), distance(&have.latents[name].reals(), &tensor.reals())))
        .collect();
    all.push(("video", distance(&have.video.reals(), &want.video.reals())));
    all.push(("waveform", distance(&have.waveform.reals(), &want.waveform.reals())));
    println!("{all:?}");
    // Written so that a NaN fails.
    assert!(all.iter().all(|(_, error)| *error <= 3e-2), "{all:?}");
}

/// Runs a plan launch by launch, each on the CPU executor's memory; what every launch is off by.
pub fn errors_of(demo: &Demo, plan: &Plan, code: &Code) -> Vec<LaunchError> {
    let (files, cuda) = (&demo.files, demo.cuda(plan, code).unwrap());
    let mut session = Session::on(Beside::new(Cpu::new(plan, files).unwrap(), cuda));
    clip(files, &mut session);
    let errors = std::mem::take(&mut session.executor().errors);
    let wrong = errors.iter().filter(|e| !e.error.is_finite() || e.error > 1e-2);
    let wrong: Vec<_> = wrong.map(|e| format!("{} {} {}: {}", e.number, e.kernel, e.path, e.error)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    errors
}

/// Tells which launch makes an error.
#[test]
fn every_launch_equals_the_cpu_executors() {
    if !asks_for_long("every launch for itself") {
        return;
    }
    let demo = Demo::new();
    let Some(_stand_in) = StandIn::open() else { return };
    let errors = errors_of(&demo, &demo.plan, &demo.selected.code);
    assert!(errors.len() > 200, "only {} launches were compared", errors.len());
}
