//! Guided runs in two stages, the second or both with adapters, from an image: against the CPU executor.

use std::collections::BTreeSet;

use zoetrope::adapters::{Adapters, Merge};
use zoetrope::demo::adapters::DISTILLED;
use zoetrope::model_files::tensors_of;
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::Named;
use zoetrope_model_spec::lang::Dtype;
use zoetrope_runtime::Cpu;
use zoetrope_runtime::files::TensorFile;
use zoetrope_test_support::asks_for_long;
use zoetrope_test_support::golden::rel_l2;

use crate::phase::{Demo, plan_by, plan_of};
use crate::run::{distances, errors_beside, from_image};
use crate::standin::StandIn;

/// The recipes that tests here run.
pub const GUIDED: [&str; 2] = ["two-stage", "two-stage-hq"];

/// What the upscaler leaves.
const UPSCALED: &str = "upscaled.v.latent";

/// The demo's adapter in every slot.
fn adapters(demo: &Demo) -> Adapters {
    let slots = demo.plan.phases.iter().filter_map(|phase| phase.adapter);
    slots.fold(Adapters::open(&[], Merge::Exact).unwrap(), |adapters, room| {
        let bytes = DISTILLED.bytes(&tensors_of(&demo.plan)).unwrap();
        let file = TensorFile::from_bytes(DISTILLED.file, bytes).unwrap();
        adapters.file_in_slot(room.slot, file, room.strength)
    })
}

/// A run of bf16 is off by its roundings, and guidance and solvers enlarge what they are: they take differences of passes,
/// several times over. How far, the CPU executor says: its bf16 run against its own f32 run. The CUDA executor rounds
/// elsewhere and is as far from f32, so the two are up to the square root of two times that apart.
///
/// The upscaler's first norms see a latent of two tokens, two numbers in each of their groups: what its input is off by
/// grows several times. So it is compared on equal inputs.
fn stages_equal_the_cpu_executors(recipe: &str) {
    if !asks_for_long("guided runs in two stages") {
        return;
    }
    let Some(_stand_in) = StandIn::apart() else { return };
    let demo = Demo::of(plan_by(recipe));
    let exact = plan_of(recipe, Dtype::F32);
    let adapters = adapters(&demo);
    let weights = adapters.over(&demo.files, &demo.files.checkpoint, &demo.plan).unwrap();
    let mut cpu = Session::on(Cpu::new(&demo.plan, &weights).unwrap());
    let have = from_image(&demo.files, &mut Session::on(demo.cuda_with(&weights).unwrap()));
    let want = from_image(&demo.files, &mut cpu);
    let exact = from_image(&demo.files, &mut Session::on(Cpu::new(&exact, &weights).unwrap()));
    let (apart, rounded) = (distances(&have, &want), distances(&want, &exact));
    println!("{recipe}: {apart:?}\nroundings: {rounded:?}");
    for ((name, apart), (_, rounded)) in apart.iter().zip(&rounded).filter(|((name, _), _)| name != UPSCALED)
    {
        // Written so that a NaN fails.
        assert!(*apart <= (1.5 * rounded).max(2e-2), "{recipe}: {name} {apart}, by roundings {rounded}");
    }
    let input = Named::from([("v.latent".to_string(), have.latents["stage1.v.latent"].clone())]);
    cpu.run("upscale", &input, &[], &mut Unwatched).unwrap();
    let upscaled = cpu.output("upscale", "v.latent").unwrap();
    let apart = rel_l2(&have.latents[UPSCALED].reals(), &upscaled.reals());
    assert!(apart <= 2e-2, "{recipe}: the upscaler alone {apart}");
}

#[test]
fn guided_stages_equal_the_cpu_executors_within_the_roundings_of_bf16() {
    stages_equal_the_cpu_executors(GUIDED[0]);
}

#[test]
fn stages_of_the_other_solver_equal_the_cpu_executors_within_the_roundings_of_bf16() {
    stages_equal_the_cpu_executors(GUIDED[1]);
}

/// The other solver, which draws noise between its steps. Each launch for itself: a run also shows what its steps make of
/// roundings.
#[test]
fn every_launch_of_two_evaluations_a_step_equals_the_cpu_executors() {
    if !asks_for_long("every launch of a guided run with two evaluations a step") {
        return;
    }
    let Some(_stand_in) = StandIn::apart() else { return };
    let demo = Demo::of(plan_by(GUIDED[1]));
    let adapters = adapters(&demo);
    let weights = adapters.over(&demo.files, &demo.files.checkpoint, &demo.plan).unwrap();
    let (cpu, cuda) = (Cpu::new(&demo.plan, &weights).unwrap(), demo.cuda_with(&weights).unwrap());
    let errors = errors_beside(cpu, cuda, |session| from_image(&demo.files, session));
    let kernels: BTreeSet<&str> = errors.iter().map(|error| error.kernel.as_str()).collect();
    assert!(kernels.contains("combine_5") && errors.len() > 200, "{kernels:?}");
}
