//! What the executor promises beside right numbers: no allocation in a step, an end at a boundary, clear
//! refusals.

use std::fs::File;

use zoetrope::demo::write_demo_model;
use zoetrope::failure::{Failure, Kind};
use zoetrope::model_files::{ModelFiles, tensors_of};
use zoetrope::session::{Session, Unwatched, Watch};
use zoetrope_runtime::cuda::{Card, Mode};
use zoetrope_runtime::plan::{Plan, Repeat, bytes_text};
use zoetrope_runtime::{Error, Executor, Result, Silent};

use crate::phase::{Demo, inputs, plan};
use crate::standin::StandIn;

#[test]
fn a_step_allocates_nothing() {
    let demo = Demo::shared();
    let Some(_stand_in) = StandIn::open() else { return };
    let plan = &demo.plan;
    let phase = plan.phase("denoise-2").unwrap();
    let mut cuda = demo.cuda(plan, &demo.selected.code).unwrap();
    cuda.enter(phase).unwrap();
    let inputs = inputs(phase);
    for port in phase.inputs.iter() {
        cuda.write(port, &inputs[port.name.as_ref()].bytes_for(port)).unwrap();
    }
    let at = phase.segments.iter().position(|s| s.repeat == Repeat::Steps).unwrap();
    let first = phase.first + phase.segments[..at].iter().map(|s| s.launches()).sum::<u32>();
    let port = phase.inputs.iter().find(|p| p.role.per_step()).unwrap();
    let sigmas = vec![0x3f; port.bytes() as usize];
    let mut step = || {
        cuda.write(port, &sigmas).unwrap();
        cuda.turn(phase, at, first, &mut Silent).unwrap();
    };
    // The driver's functions are looked up by name when each is called for the first time.
    step();
    assert_eq!(allocation_counter::measure(step).count_total, 0);
}

/// Ends a phase before one of its steps.
struct EndAt(u32);

impl Watch for EndAt {
    fn boundary(&mut self, _phase: &str, _segment: &str, turn: u32, turns: u32) -> Result<()> {
        if turns > 1 && turn == self.0 { Err(Error::Host("it is enough".to_string())) } else { Ok(()) }
    }
}

#[test]
fn a_phase_that_is_ended_at_a_boundary_can_be_run_again() {
    let Some(_stand_in) = StandIn::open() else { return };
    let demo = Demo::shared();
    let (plan, code) = (&demo.plan, &demo.selected.code);
    let inputs = inputs(plan.phase("denoise-2").unwrap());
    let sigmas = [0.9, 0.6, 0.4];
    let mut session = Session::on(demo.cuda(plan, code).unwrap());
    let ended = session.run("denoise-2", &inputs, &sigmas, &mut EndAt(1)).unwrap_err();
    assert!(matches!(&ended, Error::Host(why) if why == "it is enough"), "{ended}");
    session.run("denoise-2", &inputs, &sigmas, &mut Unwatched).unwrap();
    let have = ["v.latent", "a.latent"].map(|name| session.output("denoise-2", name).unwrap().reals());
    let bits: Vec<u32> = have.iter().flatten().map(|x| x.to_bits()).collect();
    drop(session);
    assert_eq!(bits, demo.outputs(plan, code, "denoise-2", &sigmas).unwrap());
}

/// Fails where something is not refused as a fault of the card, or without one of `words`.
pub fn refused(result: Result<()>, words: &[&str]) {
    let failure = Failure::from(result.expect_err("it is refused"));
    assert_eq!(failure.kind, Kind::Device, "{failure}");
    let text = failure.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

#[test]
fn what_a_card_cannot_do_is_said_in_words() {
    let demo = Demo::shared();
    let Some(stand_in) = StandIn::open() else { return };
    let code = &demo.selected.code;
    let new = || demo.cuda(&demo.plan, code).map(|_| ());
    new().unwrap();
    stand_in.set("count", 0);
    refused(new(), &["finds no card", "--device cpu"]);
    stand_in.set("count", 1);
    stand_in.set("version", 12_040);
    refused(new(), &["12.4", "13.0", "580"]);
    stand_in.set("version", 13_000);
    stand_in.set("capability", 75);
    refused(new(), &["compute capability 7.5", "8.0"]);
    stand_in.set("capability", 80);
    let peak = demo.plan.peak_bytes;
    stand_in.set("total", peak as i64 - 1);
    let too_little = ["too little free memory", &bytes_text(peak), "ZOETROPE_VRAM"];
    refused(new(), &too_little);
    // What is free of the host's memory is known by asking for it.
    stand_in.set("integrated", 1);
    refused(new(), &too_little);
    stand_in.set("total", peak as i64);
    new().unwrap();
    stand_in.set("integrated", 0);
    refused(new(), &too_little);
    stand_in.set("total", 16 << 30);
    let other = Plan { name: "other".into(), ..demo.plan.clone() };
    refused(demo.cuda(&other, code).map(|_| ()), &["small", "other"]);
    // A card that fails in the midst of a phase, and another start behind it.
    stand_in.set("launches_left", 3);
    let lost = demo.outputs(&demo.plan, code, "upscale", &[]).map(|_| ());
    refused(lost, &["CUDA_ERROR_LAUNCH_FAILED", "CUDA_LAUNCH_BLOCKING"]);
    // Launched one by one, the error says which launch it was: the fourth of the phase.
    stand_in.set("launches_left", 3);
    let mut cuda = demo.cuda(&demo.plan, code).unwrap();
    cuda.set_mode(Mode::Checked);
    let phase = demo.plan.phase("upscale").unwrap();
    let lost = Session::on(cuda).run("upscale", &inputs(phase), &[], &mut Unwatched);
    let (launch, _) = phase.launches().nth(3).unwrap();
    let (number, kernel) = (phase.first + 3, &demo.plan.kernels[launch.kernel as usize].name);
    refused(
        lost,
        &[&format!("launch {number}, function {kernel}"), launch.path(), "CUDA_ERROR_LAUNCH_FAILED"],
    );
    stand_in.set("launches_left", -1);
    new().unwrap();
    assert_eq!(Card::first().unwrap().capability, (8, 0));
}

/// A phase of another plan is an error of its own, and a model file that is cut short is named before it is read.
#[test]
fn strange_phases_and_changed_files_are_refused() {
    let mut demo = Demo::of(plan());
    let Some(_stand_in) = StandIn::open() else { return };
    let stranger = demo.plan.phases[0].clone();
    let folder = tempfile::tempdir().unwrap();
    let paths = write_demo_model(folder.path(), &tensors_of(&demo.plan)).unwrap();
    demo.files = ModelFiles::open(&paths);
    let mut cuda = demo.cuda(&demo.plan, &demo.selected.code).unwrap();
    assert!(matches!(cuda.enter(&stranger), Err(Error::NoPhase(name)) if name == stranger.name));
    let upscaler = paths.upscaler.as_ref().unwrap();
    File::options().write(true).open(upscaler).unwrap().set_len(1000).unwrap();
    let failure = Failure::from(cuda.enter(demo.plan.phase("upscale").unwrap()).unwrap_err());
    assert_eq!(failure.kind, Kind::ModelFiles);
    let text = failure.to_string();
    assert!(text.contains(upscaler.to_str().unwrap()) && text.contains("now has 1000"), "{text}");
}
