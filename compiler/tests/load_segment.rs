//! What depends on weights alone stands in a segment of its own, and outlives everything.

use zoetrope_compiler::{Options, compile};
use zoetrope_model_spec::lang::{Builder, Dtype};
use zoetrope_model_spec::program::{Phase, Program};
use zoetrope_runtime::plan::{self, Facts, Lifetime, Repeat};

#[test]
fn weights_are_prepared_once_per_load() {
    let b = Builder::new("scaled", Dtype::F32);
    let x = b.input("x", Dtype::F32, &[5, 16]);
    let factor = b.sigmoid(b.weight("log_scale", &[16]));
    let out = b.steps("step", &[b.silu(x)], |state| vec![b.mul(state[0], factor)]);
    b.output("y", b.silu(out[0]));
    let program = Program { phases: vec![Phase::alone(b.finish().expect("shapes fit"))] };
    let facts = Facts::without_clip(plan::Dtype::F32);
    let plan = compile(program, "scaled", facts, Options::default()).expect("compiles");
    let phase = &plan.phases[0];
    let segments: Vec<_> = phase.segments.iter().map(|s| (s.name.as_ref(), s.repeat, s.launches())).collect();
    let expected = [
        ("load", Repeat::Load, 1),
        ("begin", Repeat::Once, 1),
        ("step", Repeat::Steps, 1),
        ("finish", Repeat::Once, 1),
    ];
    assert_eq!(segments, expected);
    let derived: Vec<_> = plan.buffers.iter().filter(|b| b.lifetime == Lifetime::Derived).collect();
    assert_eq!(derived.len(), 1);
    assert_eq!((derived[0].first, derived[0].last, derived[0].bytes), (0, 3, 64));
    // No other buffer ever touches it.
    let apart =
        |b: &plan::Buffer| b.offset + b.bytes <= derived[0].offset || derived[0].offset + 64 <= b.offset;
    assert!(plan.buffers.iter().filter(|b| b.lifetime != Lifetime::Derived).all(apart));
}
