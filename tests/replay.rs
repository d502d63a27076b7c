//! The replay of the shipped plan: memory sharing changes no bit, dead memory is never read, nothing is allocated.

use zoetrope::demo::demo_in_memory;
use zoetrope::model_files::{ModelFiles, tensors_of};
use zoetrope::run::{Finished, Request, run};
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::Named;
use zoetrope::tokenize::Tokenizer;
use zoetrope_compiler::Options;
use zoetrope_compiler::targets::{Part, compile_part, dimensions};
use zoetrope_model_spec::ltx::pipeline::Picture;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::null::Null;
use zoetrope_runtime::plan::{Plan, Repeat, Segment};
use zoetrope_runtime::{Observer, replay};

fn plan(share: bool) -> Plan {
    let target = Target::preset("res-tiny").unwrap();
    let model = dimensions(&target, "".as_ref()).unwrap();
    compile_part(&target, &model, Part::Run(Picture::Yuv420), &[], Options { share, ..Options::default() })
        .unwrap()
        .plan
}

fn clip(plan: &Plan, files: &ModelFiles, poisoned: bool) -> Finished {
    let mut session = if poisoned { Session::poisoned(plan, files) } else { Session::new(plan, files) }
        .expect("the plan fits");
    let tokenizer = Tokenizer::from_bytes(files.tokenizer.as_deref().unwrap()).unwrap();
    let request = Request { prompt: &tokenizer.encode("a red ball").unwrap(), seed: 7, noise: Named::new() };
    run(plan, &mut session, &request, &mut Unwatched, &mut |_, _| Ok(())).expect("the run finishes")
}

fn bits(finished: &Finished) -> Vec<Vec<u32>> {
    let all = finished.latents.values().chain([&finished.video, &finished.waveform]);
    all.map(|t| t.reals().iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn sharing_memory_changes_no_bit_and_dead_memory_is_not_read() {
    let shared = plan(true);
    let private = plan(false);
    assert!(private.arena_bytes > 4 * shared.arena_bytes, "the yardstick shares nothing");
    let files = demo_in_memory(&tensors_of(&shared)).unwrap();
    let expected = bits(&clip(&private, &files, false));
    assert!(expected.iter().flatten().all(|b| f32::from_bits(*b).is_finite()));
    assert_eq!(bits(&clip(&shared, &files, true)), expected);
}

#[test]
fn the_demo_run_stays_small() {
    struct Distilled;
    impl<E> Observer<E> for Distilled {
        fn steps(&mut self, segment: &Segment) -> u32 {
            if segment.repeat == Repeat::Steps { 8 } else { 1 }
        }
    }
    let plan = plan(true);
    let mut null = Null::default();
    for phase in plan.phases.iter() {
        replay(&plan, phase, true, &mut null, &mut Distilled).unwrap();
    }
    println!("{} launches, {} GFLOP at most", null.launches, null.flops / 1_000_000_000);
    // Counted with eight steps in both stages; a real run does three in the second.
    assert!(null.flops < 24_000_000_000, "{}", null.flops);
}

#[test]
fn a_replay_allocates_nothing() {
    let plan = plan(true);
    let mut null = Null::default();
    let measured = allocation_counter::measure(|| {
        for phase in plan.phases.iter() {
            replay(&plan, phase, true, &mut null, &mut zoetrope_runtime::Silent).unwrap();
        }
    });
    assert!(null.launches > 0);
    assert_eq!(measured.count_total, 0);
}
