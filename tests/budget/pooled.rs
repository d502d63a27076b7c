//! Several plans in one process: what one has brought, another one does not bring again.

use std::collections::BTreeSet;

use zoetrope::adapters::{Adapters, Given, Merge};
use zoetrope::demo::adapters::STYLE;
use zoetrope::demo::demo_in_memory;
use zoetrope::device::Chosen;
use zoetrope::engine::{Engine, Kept, Ready};
use zoetrope::model_files::tensors_of;
use zoetrope::run::{Finished, Request, run};
use zoetrope::session::{Session, Unwatched};
use zoetrope_compiler::frontend::compile_target;
use zoetrope_model_spec::ltx::recipe::{Recipe, StageLevels};
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::{Constant, Origin, Plan};
use zoetrope_runtime::{Cpu, Pool, Weights};

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
    let pool = Pool::default();
    let brought = |plan: &Plan| {
        let (before, mut session) = (pool.brought_bytes(), Session::pooled(plan, &files, &pool).unwrap());
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
    assert!(made(&clip(Session::pooled(&first, &files, &pool).unwrap())) == made(&alone));
}

/// Weights with other adapters are other weights: those that they change take each other's places, all others stay.
#[test]
fn an_engine_brings_anew_what_other_adapters_change() {
    let (first, larger) = (plan("distilled", 64, 1, 0), plan("distilled", 128, 9, 0));
    let files = demo_in_memory(&tensors_of(&first)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("style.safetensors");
    std::fs::write(&path, STYLE.for_plan(&first).unwrap()).unwrap();
    let adapters = [0.5, 0.5, 1.0]
        .map(|strength| Adapters::open(&[Given { path: path.clone(), strength }], Merge::Exact).unwrap());
    let plain = Adapters::default();
    let over = |adapters| Adapters::over(adapters, &files, &files.checkpoint, &first).unwrap();
    let [half, same, whole, none] = [&adapters[0], &adapters[1], &adapters[2], &plain].map(over);

    let kept = Kept::of(&[&first, &larger], None);
    let mut engine = Engine::new(vec![(&first, Chosen::Cpu), (&larger, Chosen::Cpu)]).keeping(&kept);
    let mut brought = |plan, weights: &'static str| {
        let weights: &dyn Weights = match weights {
            "none" => &none,
            "half" => &half,
            "same" => &same,
            _ => &whole,
        };
        let before = engine.brought_bytes();
        #[cfg_attr(
            not(feature = "cuda"),
            expect(irrefutable_let_patterns, reason = "there is no other device")
        )]
        let Ready::Cpu(session) = engine.session(plan, weights).unwrap() else { panic!("on the CPU") };
        plan.phases.iter().for_each(|phase| session.load(&phase.name).unwrap());
        engine.brought_bytes() - before
    };
    let all = brought(&first, "none");
    let changed = brought(&first, "half");
    assert!(0 < changed && changed < all, "{changed} of {all}");
    // The same adapters by another name, and another plan with them.
    assert_eq!((brought(&first, "same"), brought(&larger, "half")), (0, 0));
    assert_eq!(brought(&first, "whole"), changed, "another strength");
    // Without adapters: what of it does not lie in the file as the plan wants it.
    let plain = brought(&larger, "none");
    assert!(0 < plain && plain <= changed, "{plain} of {changed}");
    assert_eq!(brought(&first, "none"), 0);
}
