//! The demo model with so many layers that they weigh more than the decoders, on the smallest clip: with a budget its
//! weights are streamed.

use zoetrope_compiler::frontend::{CompileError, Scope, compile_levels, dimensions};
use zoetrope_compiler::{Error, Options};
use zoetrope_model_spec::ltx::config::ModelConfig;
use zoetrope_model_spec::ltx::decode::Pixels;
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::Plan;

/// The target and its model, with so much memory or as much as they want.
pub fn model(vram: Option<u64>) -> (Target, ModelConfig) {
    let size = Size { width: 64, height: 64, frames: 9, fps: 24.0, stride: 1 };
    let target = Target { size, vram, ..Target::preset("res-tiny").expect("a preset") };
    let mut model = dimensions(&target, "".as_ref()).expect("the demo model has dimensions");
    model.transformer.layers = 10;
    model.gemma.layers = 7;
    (target, model)
}

fn whole(vram: Option<u64>) -> Result<Plan, CompileError> {
    let (target, model) = model(vram);
    Ok(compile_levels(&target, &model, Scope::Run(Pixels::Yuv420), &[], Options::default())?.plan)
}

/// The plan of a whole run with all weights resident, and the one with the least memory.
pub fn resident_and_streamed() -> [Plan; 2] {
    let refused = whole(Some(1 << 20)).expect_err("a megabyte is too little");
    [None, Some(least(refused))].map(|vram| whole(vram).expect("it fits"))
}

/// The least memory that any plan takes, as the refusal of less tells it.
pub fn least(refused: CompileError) -> u64 {
    match refused {
        CompileError::Compiler(Error::Budget { arena, weights, tables, reserve, .. }) => {
            arena + weights + tables + reserve
        }
        other => panic!("{other}"),
    }
}

/// Fails where another loop of a phase than `name` is streamed, or none.
pub fn assert_streams(plan: &Plan, phase: &str, name: &str) {
    let loops: Vec<_> = plan.phase(phase).unwrap().fetches().map(|(l, _)| l.name.as_ref()).collect();
    assert!(loops.len() > 4 && loops.iter().all(|l| *l == name), "{phase} streams {loops:?}");
}
