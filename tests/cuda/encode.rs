//! Pictures to latents on the stand-in, against the CPU executor: several frames in parts, and one frame.

use std::path::Path;

use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{Scope, compile_levels, load_target};
use zoetrope_model_spec::ltx::demo::demo;
use zoetrope_runtime::plan::Plan;

use crate::phase::Demo;
use crate::standin::StandIn;

const PHASE: &str = "video-encode";

/// Of nine frames, one latent frame at a time, and of one frame.
pub fn plans() -> [Plan; 2] {
    [(9, Some(1)), (1, None)].map(|(frames, decode_chunk)| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda/small.toml");
        let mut target = load_target(&path).unwrap();
        target.size.frames = frames;
        let options = Options { decode_chunk, ..Options::default() };
        compile_levels(&target, &demo(), Scope::Phase(PHASE), &[], options).unwrap().plan
    })
}

#[test]
fn latents_equal_the_cpu_executors() {
    let Some(_stand_in) = StandIn::open() else { return };
    for demo in plans().map(Demo::of) {
        let error = demo.error(&demo.selected.code, PHASE, &[]);
        // Written so that a NaN fails.
        assert!(error <= 1e-2, "{error}");
    }
}
