//! What the plans of the published model must keep: few launches in a block, what is fused, what runs side by side,
//! how much memory a step takes, and the same bytes every time.

use std::path::Path;

use zoetrope_compiler::emit::emit;
use zoetrope_compiler::frontend::{RESERVE_BYTES, compile_target};
use zoetrope_model_spec::ltx::recipe::Recipe;
use zoetrope_model_spec::target::{PRESETS, Target};
use zoetrope_runtime::plan::{Item, Loop, Phase, Plan};

fn plan(name: &str) -> Plan {
    compile_target(&Target::preset(name).expect("a preset"), Path::new("")).expect("it compiles")
}

fn all_blocks(phase: &Phase) -> impl Iterator<Item = &Loop> {
    let items = phase.segments.iter().flat_map(|s| s.items.iter());
    items.filter_map(|item| match item {
        Item::Loop(l) if l.name == "transformer_blocks" => Some(l),
        _ => None,
    })
}

fn blocks(phase: &Phase) -> &Loop {
    all_blocks(phase).next().expect("a phase that denoises goes through the blocks")
}

#[test]
fn a_block_of_both_streams_is_lean() {
    for (name, _) in PRESETS.iter().filter(|(_, preset)| preset.recipe == "distilled") {
        let plan = plan(name);
        for phase in plan.phases.iter().filter(|p| p.name.starts_with("denoise")) {
            let body = &blocks(phase).body;
            assert!(body.len() <= 44, "{name} {}: {} launches in a block", phase.name, body.len());
            let kernel =
                |l: &zoetrope_runtime::plan::Launch| plan.kernels[l.kernel as usize].name.to_string();
            for launch in body.iter() {
                // What stands alone here has lost the launch that it belongs into.
                let alone =
                    ["add", "mul", "sigmoid", "gelu", "affine", "copy", "rope", "head_gate", "outer_add"];
                assert!(!alone.contains(&kernel(launch).as_str()), "{name}: {} in a block", kernel(launch));
            }
            let products = body.iter().filter(|l| kernel(l).starts_with("linear")).count();
            assert_eq!(products, 20, "{name}: q, k, v and gates of one input are one product");
        }
    }
}

/// A guided step goes through the blocks in three loops: the perturbed pass begins at block 28, without self-attention.
#[test]
fn passes_of_a_guided_step_do_only_what_is_their_own() {
    let text = "width = 768\nheight = 512\nframes = 121\nfps = 24\npipeline = \"one-stage\"\ndtype = \"bf16\"\n\
                model = \"ltx-2.3-22b\"";
    let target = Target::parse("guided", text).expect("a legal target");
    let plan = compile_target(&target, Path::new("")).expect("it compiles");
    let denoise = plan.phase("denoise-1").expect("a phase that denoises");
    let attentions = |l: &Loop| {
        let of = l.body.iter().filter(|l| plan.kernels[l.kernel as usize].name.starts_with("attention"));
        of.map(|launch| launch.parts.len()).sum::<usize>()
    };
    let loops: Vec<_> = all_blocks(denoise).map(|l| (l.count, attentions(l))).collect();
    // Six a pass: of both streams to themselves, to the text, to each other, which the isolated one leaves out.
    assert_eq!(loops, [(28, 6 + 6 + 4), (1, 6 + 6 + 4 + 4), (19, 6 + 6 + 6 + 4)]);
    let single = self::plan("res-768x512");
    let single = single.phase("denoise-2").expect("a second stage");
    // Of three more passes there is but the state, and what they predict.
    let state = (6144 * 4096 + 126 * 2048) * 2;
    assert!(denoise.arena_bytes < single.arena_bytes + 4 * state, "{}", denoise.arena_bytes);
}

/// A layer's adapters are two products beside its own, of which one goes on in the launch that follows: no sum stands alone.
#[test]
fn adapters_beside_a_block_stay_in_its_products() {
    let of_block = |name: &str| {
        let plan = plan(name);
        let body = &blocks(plan.phase("denoise-2").expect("a second stage")).body;
        let kernels = body.iter().map(|l| plan.kernels[l.kernel as usize].name.to_string());
        kernels.partition::<Vec<String>, _>(|kernel| kernel.starts_with("linear"))
    };
    let (_, without) = of_block("res-1080p");
    for name in ["res-1080p-dev", "res-1080p-hq"] {
        let (products, others) = of_block(name);
        assert!(products.len() <= 90, "{name}: {} products in a block", products.len());
        assert!(others.len() <= without.len() + 6, "{name}: {others:?}, without adapters {without:?}");
        assert!(!others.iter().any(|kernel| kernel == "add" || kernel == "copy"), "{name}: {others:?}");
    }
}

#[test]
fn the_audio_stream_runs_beside_the_video_stream() {
    let plan = plan("res-1080p");
    for phase in plan.phases.iter().filter(|p| p.name.starts_with("denoise")) {
        for launch in blocks(phase).body.iter().filter(|l| l.parts.len() == 1) {
            let path = launch.path();
            if ["audio_attn1", "audio_attn2", "audio_ff"].iter().any(|name| path.contains(name)) {
                assert_eq!(launch.queue, 1, "{path}");
            }
            if [".attn1", ".attn2", ".ff"].iter().any(|name| path.contains(name)) {
                assert_eq!(launch.queue, 0, "{path}");
            }
        }
    }
}

#[test]
fn a_step_at_1080p_takes_little_memory() {
    let plan = plan("res-1080p");
    let stage_2 = plan.phase("denoise-2").expect("two stages");
    assert!(stage_2.arena_bytes <= 3_300_000_000, "{} bytes", stage_2.arena_bytes);
}

#[test]
fn the_same_target_gives_the_same_bytes() {
    for name in ["res-tiny", "res-1080p"] {
        let made = || {
            let emitted = emit(&plan(name), "tables").expect("it is emitted");
            (emitted.rust, emitted.tables)
        };
        let (here, there) = (made(), std::thread::spawn(made).join().expect("it compiles elsewhere"));
        assert!(here == there, "{name} differs from run to run");
        let folder = env!("CARGO_MANIFEST_DIR");
        assert!(!here.0.contains(folder), "{name} names a folder of this machine");
    }
}

/// With a budget the encoder of a given video takes a few frames at a time, as the decoder does.
#[test]
fn a_given_video_is_encoded_within_a_budget() {
    let recipe = Recipe::named("retake").expect("a recipe");
    let vram = Some(16 << 30);
    let target = Target { recipe, vram, ..Target::preset("res-1080p").expect("a preset") };
    let plan = compile_target(&target, Path::new("")).expect("it fits into 16 GiB");
    assert!(plan.facts.decode_chunk.is_some() && plan.peak_bytes <= (16 << 30) - RESERVE_BYTES);
}
