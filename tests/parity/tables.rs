//! What is folded at build time: positions, rotary tables, noise levels, token counts; and the tokenizer.

use zoetrope::tokenize::Tokenizer;
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{Scope, compile_levels, dimensions};
use zoetrope_model_spec::lang::{Constant, Def, Graph, Op, Value};
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_test_support::golden::{Case, rel_l2};

use crate::model::{folder, target};

#[test]
fn token_ids() {
    let case = Case::load("tokenizer").unwrap();
    let tokenizer = Tokenizer::from_file(&folder().join("gemma-3-tiny/tokenizer.json")).unwrap();
    for (i, prompt) in zoetrope_test_support::prompts().unwrap().iter().enumerate() {
        let encoded = tokenizer.encode(prompt).unwrap();
        let wide = |v: &[i32]| v.iter().map(|x| i64::from(*x)).collect::<Vec<_>>();
        assert_eq!(wide(&encoded.input_ids), case.tensor(&format!("p{i}.input_ids")).as_i64(), "prompt {i}");
        assert_eq!(
            wide(&encoded.attention_mask),
            case.tensor(&format!("p{i}.attention_mask")).as_i64(),
            "prompt {i}"
        );
    }
}

/// The midpoints of [start, end) along one axis, one per token.
fn mids(positions: &[f32], axis: usize, tokens: usize) -> Vec<f32> {
    (0..tokens).map(|t| (axis * tokens + t) * 2).map(|i| (positions[i] + positions[i + 1]) / 2.0).collect()
}

#[test]
fn positions_and_token_counts() {
    let case = Case::load("positions").unwrap();
    let shapes = case.facts["shapes"].as_array().unwrap();
    for (i, shape) in shapes.iter().enumerate() {
        let int = |key: &str| shape[key].as_u64().unwrap() as usize;
        let fps = shape["fps"].as_f64().unwrap();
        let size = Size { width: int("width"), height: int("height"), frames: int("frames"), fps, stride: 1 };
        assert_eq!(size.audio_tokens(), int("audio_frames"));
        let (tokens, index) = (size.video_tokens(), size.video_index());
        let axes = size.video_axes([20.0, 2048.0, 2048.0]);
        let table: Vec<f32> = axes.iter().flat_map(|a| a.mids.clone()).collect();
        let golden = case.tensor(&format!("s{i}.video")).as_f32();
        for axis in 0..3 {
            let ours: Vec<f32> = (0..tokens).map(|t| table[index[t * 3 + axis] as usize]).collect();
            assert!(rel_l2(&ours, &mids(golden, axis, tokens)) <= 1e-6, "shape {i}, axis {axis}");
        }
        let golden = case.tensor(&format!("s{i}.audio")).as_f32();
        assert!(
            rel_l2(&size.audio_axis(20.0).mids, &mids(golden, 0, size.audio_tokens())) <= 1e-6,
            "shape {i}"
        );
    }
    for row in case.tensor("audio_length_table").as_i64().chunks(3) {
        let size =
            Size { width: 32, height: 32, frames: row[0] as usize, fps: row[1] as f64 / 100.0, stride: 1 };
        assert_eq!(size.audio_tokens() as i64, row[2]);
    }
}

fn graph(fields: &str, phase: &str) -> Graph {
    let target = target(fields);
    let model = dimensions(&target, &folder()).unwrap();
    compile_levels(&target, &model, Scope::Phase(phase), &[], Options::default())
        .unwrap()
        .phases
        .remove(0)
        .graph
}

fn reals(graph: &Graph, value: Value) -> &[f32] {
    match &graph.info(value).def {
        Def::Constant(Constant::Real(v)) => v,
        _ => panic!("{} is not folded", graph.info(value).path),
    }
}

fn ints(graph: &Graph, value: Value) -> &[i32] {
    match &graph.info(value).def {
        Def::Constant(Constant::Int(v)) => v,
        _ => panic!("{} is not folded", graph.info(value).path),
    }
}

/// The tables of the `which`-th rotation at `path` as [heads, tokens, pairs of a head], identity pairs in front.
fn expanded(graph: &Graph, path: &str, which: usize) -> (Vec<f32>, Vec<f32>) {
    let mut rotations = graph
        .statements()
        .into_iter()
        .filter(|(_, s)| matches!(s.op, Op::Rope { .. }) && graph.info(s.output).path.ends_with(path));
    let (_, stmt) = rotations.nth(which).expect("a rotation at this path");
    let Op::Rope { heads, .. } = stmt.op else { unreachable!("filtered above") };
    let (cos, sin, index) =
        (reals(graph, stmt.inputs[1]), reals(graph, stmt.inputs[2]), ints(graph, stmt.inputs[3]));
    let shape = &graph.info(stmt.inputs[3]).shape;
    let (tokens, axes, n) = (shape[0], shape[1], graph.info(stmt.inputs[1]).shape[1]);
    let pairs = graph.info(stmt.output).shape[1] / 2;
    let (per_head, pad) = (pairs / heads, pairs - axes * n);
    let at = |table: &[f32], identity: f32| -> Vec<f32> {
        let entry = |h: usize, t: usize, j: usize| match (h * per_head + j).checked_sub(pad) {
            None => identity,
            Some(q) => table[index[t * axes + q % axes] as usize * n + q / axes],
        };
        let all =
            (0..heads).flat_map(|h| (0..tokens).flat_map(move |t| (0..per_head).map(move |j| (h, t, j))));
        all.map(|(h, t, j)| entry(h, t, j)).collect()
    };
    (at(cos, 1.0), at(sin, 0.0))
}

fn check(case: &Case, name: &str, (cos, sin): &(Vec<f32>, Vec<f32>)) {
    for (what, ours) in [("cos", cos), ("sin", sin)] {
        let key = format!("{name}.{what}");
        let error = rel_l2(ours, case.tensor(&key).as_f32());
        println!("{key} {error:.2e}");
        assert!(error <= case.tolerance.of(&key), "{key}: {error:.2e}");
    }
}

#[test]
fn rotary_tables() {
    let case = Case::load("rope").unwrap();
    let sizes = [
        ("main", "width = 96\nheight = 128\nframes = 17\nfps = 25"),
        ("small", "width = 32\nheight = 64\nframes = 9\nfps = 30"),
    ];
    let rest = "\npipeline = \"distilled-single-stage\"\ndtype = \"f32\"";
    for (name, size) in sizes {
        let graph = graph(&format!("{size}{rest}"), "velocity");
        check(&case, &format!("{name}.video"), &expanded(&graph, "transformer_blocks.*.attn1", 0));
        check(&case, &format!("{name}.audio"), &expanded(&graph, "transformer_blocks.*.audio_attn1", 0));
        // Keys are rotated before queries: into the video, the keys are the audio's.
        check(&case, &format!("{name}.audio_cross"), &expanded(&graph, "audio_to_video_attn", 0));
        check(&case, &format!("{name}.video_cross"), &expanded(&graph, "audio_to_video_attn", 1));
    }
    let graph = graph(&format!("{}{rest}", sizes[0].1), "connect");
    let rows: Vec<usize> =
        case.facts["rows"].as_array().unwrap().iter().map(|r| r.as_u64().unwrap() as usize).collect();
    // The video connector is recorded first.
    for (name, which, heads, pairs) in [("connector.video", 0, 4, 16), ("connector.audio", 2, 4, 8)] {
        let (cos, sin) = expanded(&graph, "attn1", which);
        let kept = |table: &[f32]| -> Vec<f32> {
            let at = |h: usize, t: usize| (h * 1024 + t) * pairs;
            (0..heads)
                .flat_map(|h| rows.iter().flat_map(move |t| table[at(h, *t)..at(h, *t) + pairs].to_vec()))
                .collect()
        };
        check(&case, name, &(kept(&cos), kept(&sin)));
    }
}
