//! A whole run on the stand-in card, against the CPU executor.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Instant;

use zoetrope::model_files::ModelFiles;
use zoetrope::run::{Finished, Image, Request, run};
use zoetrope::session::{Session, Unwatched};
use zoetrope::steps::Steps;
use zoetrope::tensors::Tensor;
use zoetrope_runtime::cuda::{Card, Cuda, DeviceError, Images};
use zoetrope_runtime::plan::{Arch, Code, Function, Plan};
use zoetrope_runtime::{Cpu, Executor};
use zoetrope_test_support::asks_for_long;
use zoetrope_test_support::golden::rel_l2;

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

/// A clip in two steps of guided stages that begins with an image, as far as its strength says.
pub fn from_image<'a, E: Executor<'a>>(files: &ModelFiles, session: &mut Session<E>) -> Finished {
    let tokenizer = files.tokenizer().unwrap();
    let [prompt, negative] = ["a red ball", "a blue cube"].map(|prompt| tokenizer.encode(prompt).unwrap());
    let wave = |width: usize, height: usize| {
        let values = (0..3 * height * width).map(|i| (i as f32 * 0.013).sin());
        Tensor::real(&[3, height, width], values.collect())
    };
    let image = Image { strength: 0.75, frame: 0, pixels: Box::new(wave) };
    let request = Request {
        prompts: vec![&prompt, &negative],
        seed: 7,
        steps: Steps { count: Some(2), skip: 0 },
        images: BTreeMap::from([(0, image)]),
        ..Request::default()
    };
    run(session, &request, &mut Unwatched, &mut |_, _| Ok(())).expect("the run finishes")
}

/// How far all that a run leaves is from what another leaves.
pub fn distances(have: &Finished, want: &Finished) -> Vec<(String, f64)> {
    let named = |finished: &Finished| {
        let ends = [("video", &finished.video), ("waveform", &finished.waveform)];
        let ends = ends.into_iter().filter_map(|(name, made)| Some((name, made.as_ref()?)));
        let latents = finished.latents.iter().map(|(name, tensor)| (name.as_str(), tensor));
        latents.chain(ends).map(|(name, tensor)| (name.to_string(), tensor.reals())).collect::<Vec<_>>()
    };
    let both = named(have).into_iter().zip(named(want));
    let apart = both.map(|((name, have), (same, want))| {
        assert_eq!(name, same);
        (name, rel_l2(&have, &want))
    });
    apart.collect()
}

/// All steps.
#[test]
fn a_whole_run_equals_the_cpu_executors() {
    if !asks_for_long("a whole run") {
        return;
    }
    let Some(_stand_in) = StandIn::apart() else { return };
    let demo = Demo::shared();
    let (plan, files) = (&demo.plan, &demo.files);
    let start = Instant::now();
    let cuda = demo.cuda(plan, &demo.selected.code).unwrap();
    let have = clip(files, &mut Session::on(cuda));
    println!("run in {:.1?}", start.elapsed());
    let want = clip(files, &mut Session::new(plan, files).unwrap());
    let all = distances(&have, &want);
    println!("{all:?}");
    // Written so that a NaN fails.
    assert!(all.iter().all(|(_, error)| *error <= 3e-2), "{all:?}");
}

/// Image to video: the distilled stages begin with an image.
#[test]
fn a_run_from_an_image_equals_the_cpu_executors() {
    if !asks_for_long("a whole run from an image") {
        return;
    }
    let Some(_stand_in) = StandIn::apart() else { return };
    let demo = Demo::shared();
    let start = Instant::now();
    let have = from_image(&demo.files, &mut Session::on(demo.cuda(&demo.plan, &demo.selected.code).unwrap()));
    println!("run in {:.1?}", start.elapsed());
    let want = from_image(&demo.files, &mut Session::new(&demo.plan, &demo.files).unwrap());
    let all = distances(&have, &want);
    println!("{all:?}");
    assert!(all.iter().all(|(_, error)| *error <= 3e-2), "{all:?}");
}

/// Runs a plan launch by launch, each on the CPU executor's memory; what every launch is off by.
pub fn errors_of(demo: &Demo, plan: &Plan, code: &Code) -> Vec<LaunchError> {
    let (files, cuda) = (&demo.files, demo.cuda(plan, code).unwrap());
    errors_beside(Cpu::new(plan, files).unwrap(), cuda, |session| clip(files, session))
}

/// The same of what `made` runs.
pub fn errors_beside<'a>(
    cpu: Cpu<'a>,
    cuda: Cuda<'a>,
    made: impl FnOnce(&mut Session<Beside<'a>>) -> Finished,
) -> Vec<LaunchError> {
    let mut session = Session::on(Beside::new(cpu, cuda));
    made(&mut session);
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
    let Some(_stand_in) = StandIn::apart() else { return };
    let demo = Demo::shared();
    let errors = errors_of(demo, &demo.plan, &demo.selected.code);
    assert!(errors.len() > 200, "only {} launches were compared", errors.len());
}
