//! The whole of `res-tiny` on the stand-in card, against the CPU executor.

use std::borrow::Cow;
use std::time::Instant;

use zoetrope::demo::demo_in_memory;
use zoetrope::model_files::{ModelFiles, tensors_of};
use zoetrope::run::{Finished, Request, run};
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::Named;
use zoetrope::tokenize::Tokenizer;
use zoetrope_compiler::targets::compile_target;
use zoetrope_compiler::{Selected, select};
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::cuda::{Card, Cuda, DeviceError, Images, Supply};
use zoetrope_runtime::plan::{Arch, Function, Plan};
use zoetrope_runtime::{Cpu, Executor};

use crate::launches::Beside;
use crate::standin::StandIn;

/// Machine code for a card that finds its functions by name alone.
pub struct ByName;

impl Images for ByName {
    fn image(&self, _card: &Card, _arch: &Arch, _function: &Function) -> Result<Cow<'_, [u8]>, DeviceError> {
        Ok(Cow::Borrowed(b"\x7fELF"))
    }
}

fn plan() -> (Plan, Selected) {
    let target = Target::preset("res-tiny").unwrap();
    let plan = compile_target(&target, "".as_ref()).unwrap();
    let selected = select(&plan).unwrap();
    (plan, selected)
}

fn clip<E: Executor>(plan: &Plan, files: &ModelFiles, mut session: Session<'_, E>) -> Finished {
    let tokenizer = Tokenizer::from_bytes(files.tokenizer.as_deref().unwrap()).unwrap();
    let request = Request { prompt: &tokenizer.encode("a red ball").unwrap(), seed: 7, noise: Named::new() };
    run(plan, &mut session, &request, &mut Unwatched, &mut |_, _| Ok(())).expect("the run finishes")
}

/// The relative L2 distance.
fn distance(have: &[f32], want: &[f32]) -> f64 {
    assert_eq!(have.len(), want.len());
    let squares = |list: &mut dyn Iterator<Item = f32>| list.map(|x| f64::from(x).powi(2)).sum::<f64>();
    let apart = squares(&mut have.iter().zip(want).map(|(a, b)| a - b));
    (apart / squares(&mut want.iter().copied())).sqrt()
}

#[test]
fn a_whole_run_equals_the_cpu_executors() {
    let (plan, selected) = plan();
    let files = demo_in_memory(&tensors_of(&plan)).unwrap();
    let start = Instant::now();
    let Some(_stand_in) = StandIn::with(&selected.variants) else { return };
    println!("stand-in built in {:.1?}", start.elapsed());
    let start = Instant::now();
    let cuda =
        Cuda::new(Card::first().unwrap(), &plan, &selected.code, &ByName, Supply::Files(&files)).unwrap();
    let have = clip(&plan, &files, Session::on(&plan, cuda));
    println!("run in {:.1?}", start.elapsed());
    let want = clip(&plan, &files, Session::new(&plan, &files).unwrap());
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

#[test]
#[ignore = "takes as long as the whole run, which finds the same errors; this one tells which launch makes them"]
fn every_launch_equals_the_cpu_executors() {
    let (plan, selected) = plan();
    let files = demo_in_memory(&tensors_of(&plan)).unwrap();
    let Some(_stand_in) = StandIn::with(&selected.variants) else { return };
    let cuda =
        Cuda::new(Card::first().unwrap(), &plan, &selected.code, &ByName, Supply::Files(&files)).unwrap();
    let mut session = Session::on(&plan, Beside::new(Cpu::new(&plan, &files).unwrap(), cuda));
    let tokenizer = Tokenizer::from_bytes(files.tokenizer.as_deref().unwrap()).unwrap();
    let request = Request { prompt: &tokenizer.encode("a red ball").unwrap(), seed: 7, noise: Named::new() };
    run(&plan, &mut session, &request, &mut Unwatched, &mut |_, _| Ok(())).expect("the run finishes");
    let errors = std::mem::take(&mut session.executor().errors);
    assert!(errors.len() > 200, "only {} launches were compared", errors.len());
    let wrong: Vec<_> = errors.iter().filter(|(_, error)| !error.is_finite() || *error > 1e-2).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
