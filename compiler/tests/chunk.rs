//! The decoder and the encoder of the published model in chunks of time: what they cost, and what they need.

use std::time::Instant;

use zoetrope_compiler::frontend::{Scope, compile_levels};
use zoetrope_compiler::{Class, Options, compile, select};
use zoetrope_model_spec::lang::Dtype;
use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::decode::{Pixels, VideoDecoder};
use zoetrope_model_spec::ltx::recipe::Recipe;
use zoetrope_model_spec::ltx::recorder::Recorder;
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_model_spec::ltx::skip::Skip;
use zoetrope_model_spec::program::Program;
use zoetrope_model_spec::target::{Model, Target};
use zoetrope_runtime::null::Null;
use zoetrope_runtime::plan::{self, Facts, Plan};
use zoetrope_runtime::{Silent, replay};
use zoetrope_test_support::asks_for_long;

const GB: f64 = 1e9;

fn target(width: usize, height: usize, frames: usize) -> Target {
    Target {
        name: "vae".to_string(),
        size: Size { width, height, frames, fps: 24.0, stride: 1 },
        recipe: Recipe::named("distilled-single-stage").expect("it has that name"),
        dtype: Dtype::Bf16,
        weights: None,
        text_tokens: 1,
        timestep_classes: 1,
        model: Model::Ltx23,
        vram: None,
        decoder: VideoDecoder::Vae,
        preview: None,
        enhance: None,
        attention_mask: false,
        skip: Skip::default(),
    }
}

fn encoder(width: usize, height: usize, frames: usize, chunk: Option<usize>) -> Plan {
    let options = Options { decode_chunk: chunk, ..Options::default() };
    let phase = Scope::Phase("video-encode");
    compile_levels(&target(width, height, frames), &ltx_2_3_22b(), phase, &[], options)
        .expect("compiles")
        .plan
}

/// The decoder of a run.
fn decoder(width: usize, height: usize, frames: usize, chunk: Option<usize>) -> Plan {
    let target = target(width, height, frames);
    let recorder = Recorder { target: &target, model: &ltx_2_3_22b(), taps: &[], chunk };
    let phases = recorder.run(Pixels::Yuv420).expect("shapes fit").phases;
    let mut decode = phases.into_iter().find(|p| p.graph.name == "video-decode").expect("a run decodes");
    decode.wiring.takes.clear();
    let facts = Facts::without_clip(plan::Dtype::Bf16);
    compile(Program { phases: vec![decode] }, "decoder", facts, Options::default()).expect("compiles")
}

fn counted(plan: &Plan) -> Null<'_> {
    let mut null = Null::new(plan);
    replay(&mut null, &plan.phases[0], true, &mut Silent).expect("nothing to fail");
    null
}

/// Gigabytes of arena by chunk size; printed with launches and seconds. All cost the same.
fn arenas<const N: usize>(
    plan_of: fn(usize, usize, usize, Option<usize>) -> Plan,
    (width, height, frames): (usize, usize, usize),
    chunks: [Option<usize>; N],
) -> [f64; N] {
    let mut flops = None;
    let row = |chunk: Option<usize>| {
        let start = Instant::now();
        let plan = plan_of(width, height, frames, chunk);
        let (arena, null, seconds) = (plan.arena_bytes as f64 / GB, counted(&plan), start.elapsed());
        println!(
            "{width}x{height}x{frames} {chunk:?}: {arena:.2} GB, {} launches, {seconds:?}",
            null.launches
        );
        assert_eq!(*flops.get_or_insert(null.flops), null.flops, "{chunk:?}");
        arena
    };
    chunks.map(row)
}

/// Of the largest chunks little is gained: a whole decoder sums residuals in place, and nothing has tails.
#[test]
fn chunks_of_a_long_clip_take_little_memory() {
    let [whole, four] = arenas(decoder, (1920, 1088, 241), [None, Some(4)]);
    assert!(whole > 16.0 && four < 8.5, "{whole} {four}");
}

#[test]
fn small_chunks_and_those_of_a_large_clip_take_little_memory() {
    if !asks_for_long("decoders of 3840x2176, and frame by frame") {
        return;
    }
    let [.., one] = arenas(decoder, (1920, 1088, 241), [Some(16), Some(8), Some(2), Some(1)]);
    assert!(one < 6.0, "{one}");
    let [whole, .., two, one] =
        arenas(decoder, (3840, 2176, 121), [None, Some(16), Some(8), Some(4), Some(2), Some(1)]);
    assert!(whole > 32.0 && two < 21.0 && one < 18.0, "{whole} {two} {one}");
}

/// The smallest ones take what the pixels and their patches do, 3 GB each.
#[test]
fn a_long_clip_is_encoded_in_little_memory() {
    let [whole, one] = arenas(encoder, (1920, 1088, 241), [None, Some(1)]);
    assert!(whole > 16.0 && one < 6.2, "{whole} {one}");
    let [image] = arenas(encoder, (1920, 1088, 1), [None]);
    assert!(image < 0.2, "{image}");
}

#[test]
fn an_encoder_has_code_for_every_class() {
    for (frames, chunk) in [(1, None), (25, Some(2))] {
        for class in [Class::Portable, Class::Hopper] {
            select(&encoder(1920, 1088, frames, chunk), class).expect("launches that cards can do");
        }
    }
}
