//! Several plans in one process: what one has brought, another one does not bring again.

use std::collections::BTreeSet;

use zoetrope::demo::demo_in_memory;
use zoetrope::model_files::tensors_of;
use zoetrope::run::{Finished, Request, run};
use zoetrope::session::{Session, Unwatched};
use zoetrope_compiler::frontend::compile_target;
use zoetrope_model_spec::ltx::recipe::{Recipe, StageLevels};
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::{Constant, Origin, Plan};
use zoetrope_runtime::{Cpu, Pool};

use crate::bits;

/// A plan of the demo model, with room for so many keyframes, whose stages have one step.
fn plan(recipe: &str, width: usize, frames: usize, keyframes: usize) -> Plan {
    let mut recipe = Recipe::named(recipe).unwrap();
    recipe.with_keyframes(keyframes);
    recipe.stages.iter_mut().for_each(|stage| stage.levels = StageLevels::List(vec![0.5, 0.0]));
    let size = Size { width, height: 64, frames, fps: 24.0, stride: 1 };
    let target = Target { recipe, size, ..Target::preset("res-tiny").unwrap() };
    compile_target(&target, "".as_ref()).unwrap()
}

#[test]
fn plans_of_one_process_bring_a_weight_once() {
    let first = plan("distilled", 64, 1, 0);
    let [larger, between, anew] =
        [plan("distilled", 128, 9, 0), plan("distilled", 64, 9, 1), plan("retake", 64, 1, 0)];
    let all = [&first, &larger, &between, &anew];
    let tensors: BTreeSet<_> = all.into_iter().flat_map(tensors_of).collect();
    let files = demo_in_memory(&tensors.into_iter().collect::<Vec<_>>()).unwrap();
    let pool = Pool::new(&files);
    let brought = |plan: &Plan| {
        let (before, mut session) = (pool.brought_bytes(), Session::pooled(plan, &pool).unwrap());
        plan.phases.iter().for_each(|phase| session.load(&phase.name).unwrap());
        pool.brought_bytes() - before
    };
    assert!(brought(&first) > 1_000_000);
    // Another size, and keyframes: nothing.
    assert_eq!((brought(&larger), brought(&between), brought(&first)), (0, 0, 0));
    // Another recipe: what it alone has, the encoder of sound.
    let own = |constant: &&Constant| {
        let alike = |other: &Constant| {
            (other.dtype, &other.shape, &other.origin) == (constant.dtype, &constant.shape, &constant.origin)
        };
        matches!(constant.origin, Origin::Weight { .. }) && !first.constants.iter().any(alike)
    };
    let own: u64 = anew.constants.iter().filter(own).map(|constant| constant.bytes()).sum();
    let more = brought(&anew);
    assert!(0 < more && more <= own, "{more} of {own}");

    let prompt = files.tokenizer().unwrap().encode("a red ball").unwrap();
    let clip = |mut session: Session<Cpu<'_>>| -> Finished {
        let request = Request { prompts: vec![&prompt], seed: 7, ..Request::default() };
        run(&mut session, &request, &mut Unwatched, &mut |_, _| Ok(())).unwrap()
    };
    let made = |done: &Finished| bits(done.latents.values().chain(&done.video).chain(&done.waveform));
    let alone = clip(Session::new(&first, &files).unwrap());
    assert!(made(&clip(Session::pooled(&first, &pool).unwrap())) == made(&alone));
}
