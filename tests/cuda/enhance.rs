//! What the text encoder writes: turns that the host ends early, with a cache that stays on the card.

use zoetrope::enhance::{Asked, Sight, sight, written};
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::Tensor;
use zoetrope_runtime::Executor;
use zoetrope_test_support::asks_for_long;
use zoetrope_test_support::golden::rel_l2;

use crate::phase::{Demo, plan_that_writes};
use crate::standin::StandIn;

/// The logits of five tokens after a chat of thirty, of which some are those of an image where the plan is shown one.
fn logits<'a, E: Executor<'a>>(session: &mut Session<E>) -> Vec<f32> {
    let image = sight(session.plan()).map(|Sight { width, height, .. }| {
        let pixels = (0..3 * width * height).map(|i| (i as f32 * 0.013).sin()).collect();
        (9, Tensor::real(&[1, 3, height, width], pixels))
    });
    let asked = Asked { ids: (0..30).map(|i| 3 + i * 41 % 200).collect(), image };
    let mut all = Vec::new();
    let mut choose = |logits: &[f32]| {
        all.extend(logits);
        let number = (all.len() / logits.len()) as i32;
        (number < 6).then_some(7 * number)
    };
    let ids = written(session, &asked, &mut choose, &mut Unwatched).expect("it writes");
    assert_eq!(ids, [7, 14, 21, 28, 35]);
    all
}

#[test]
fn what_is_written_is_as_likely_as_on_the_cpu() {
    let Some(_stand_in) = StandIn::open() else { return };
    let demo = Demo::of(plan_that_writes(false));
    let mut session = Session::on(demo.cuda(&demo.plan, &demo.selected.code).unwrap());
    let have = logits(&mut session);
    is_as_likely(&demo, &have);
    // Turns that were left out leave nothing behind.
    assert_eq!(have, logits(&mut session));
}

#[test]
fn what_is_written_of_an_image_is_as_likely_as_on_the_cpu() {
    if !asks_for_long("a prompt from an image") {
        return;
    }
    let Some(_stand_in) = StandIn::apart() else { return };
    let demo = Demo::of(plan_that_writes(true));
    is_as_likely(&demo, &logits(&mut Session::on(demo.cuda(&demo.plan, &demo.selected.code).unwrap())));
}

fn is_as_likely(demo: &Demo, have: &[f32]) {
    let apart = rel_l2(have, &logits(&mut Session::poisoned(&demo.plan, &demo.files).unwrap()));
    println!("logits {apart:.1e} apart");
    // Written so that a NaN fails.
    assert!(apart <= 3e-2, "{apart}");
}
