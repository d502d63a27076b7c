//! Parts of a step, each as a phase of its own: passes that skip attention, guidance, solvers, noise levels, and what
//! items make of tokens.

use std::collections::BTreeMap;

use zoetrope::eval::sigmas;
use zoetrope::tensors::{Named, Tensor};
use zoetrope_model_spec::ltx::schedule::DISTILLED_SIGMAS;
use zoetrope_test_support::golden::{Case, rel_l2};
use zoetrope_test_support::tensor;

use crate::guided::scales;
use crate::model::{eval, input, renamed, target};
use crate::transformer::{inputs, size};

const DTYPES: [(&str, f64); 2] = [("f32", 1.0), ("bf16", 500.0)];

/// The line of a target file that skips what a sample's mask, [types, blocks, samples], says.
fn skip(mask: &Tensor, number: usize) -> String {
    let (blocks, samples) = (mask.shape[1], mask.shape[2]);
    let mask = mask.reals();
    let skipped = |kind: usize| {
        let blocks = (0..blocks).filter(|block| mask[(kind * blocks + block) * samples + number] == 0.0);
        blocks.collect::<Vec<_>>()
    };
    let [video, audio, a2v, v2a] = [0, 1, 2, 3].map(skipped);
    format!("\nskip = {{ video = {video:?}, audio = {audio:?}, a2v = {a2v:?}, v2a = {v2a:?} }}")
}

#[test]
fn attention_is_skipped() {
    let names = ["guided_batch", "stg_all_video", "stg_audio_one", "no_a2v", "no_v2a"];
    for (dtype, scale) in DTYPES {
        for name in names {
            let case = Case::load(&format!("transformer_{name}")).unwrap();
            let mask = input(&case, "in.keep_mask");
            let size = size(96, 128, 25.0, 37, 1, dtype);
            let mut joined: BTreeMap<String, tensor::Tensor> = BTreeMap::new();
            let runs = (0..mask.shape[2]).map(|i| {
                let target = target(&format!("{size}{}", skip(&mask, i)));
                eval(&target, "velocity", &inputs(&case, Some(i)), &[])
            });
            let runs: Vec<Named> = runs.collect();
            for output in ["v.velocity", "a.velocity"] {
                let shape = [&[runs.len()], &runs[0][output].shape[1..]].concat();
                let all = runs.iter().flat_map(|out| out[output].reals()).collect();
                joined.insert(output.to_string(), tensor::Tensor::f32(&shape, all));
            }
            println!("{}", case.check(&joined, scale).unwrap_or_else(|e| panic!("{e}")));
        }
    }
}

/// A stream without the other, and one beside audio without noise.
#[test]
fn streams_may_be_alone_or_frozen() {
    let cases = [("video_only", "audio"), ("audio_only", "video"), ("audio_frozen", "")];
    for ((dtype, scale), (name, absent)) in DTYPES.into_iter().flat_map(|d| cases.map(|case| (d, case))) {
        let case = Case::load(&format!("transformer_{name}")).unwrap();
        let stage = if absent.is_empty() {
            String::new()
        } else {
            format!("\nstage = [{{ {absent} = \"absent\" }}]")
        };
        let target = target(&format!("{}{stage}", size(96, 128, 25.0, 37, 1, dtype)));
        let out = eval(&target, "velocity", &inputs(&case, None), &[]);
        let names: Vec<_> = out.keys().map(|name| (name.as_str(), name.as_str())).collect();
        let report = case.check(&renamed(&out, &names), scale);
        println!("{}", report.unwrap_or_else(|e| panic!("{e}")));
        assert_eq!(out.len(), if absent.is_empty() { 2 } else { 1 });
    }
}

/// A target whose video has so many tokens.
fn tokens(tokens: usize, dtype: &str, more: &str) -> String {
    let frames = 8 * (tokens - 1) + 1;
    format!(
        "width = 32\nheight = 32\nframes = {frames}\nfps = 25\npipeline = \"distilled-single-stage\"\n\
         dtype = \"{dtype}\"\n{more}"
    )
}

/// Every set of scales, with all four predictions there: a scale without effect is as good as no pass.
#[test]
fn predictions_of_passes() {
    let case = Case::load("guidance").unwrap();
    for (dtype, scale) in DTYPES {
        let target = target(&tokens(37, dtype, ""));
        let mut made = Named::new();
        for (name, params) in case.facts["params"].as_object().unwrap() {
            let mut inputs: Named = case
                .inputs
                .iter()
                .map(|name| (name["in.".len()..].to_string(), input(&case, name)))
                .collect();
            let all = scales(params, "");
            // What is not said has no effect.
            let none = |name: &str, value: &Tensor| {
                value.reals() == [if ["cfg_scale", "modality_scale"].contains(&name) { 1.0 } else { 0.0 }]
            };
            inputs.extend(all.into_iter().filter(|(name, value)| !none(name, value)));
            made.insert(format!("{name}.pred"), eval(&target, "guide", &inputs, &[])["pred"].clone());
        }
        let names: Vec<_> = made.keys().map(|n| (n.as_str(), n.as_str())).collect();
        println!("{}", case.check(&renamed(&made, &names), scale).unwrap_or_else(|e| panic!("{e}")));
    }
}

#[test]
fn steps_of_solvers() {
    let case = Case::load("steps").unwrap();
    let given = |names: &[&str]| -> Named {
        names.iter().map(|name| (name.to_string(), input(&case, &format!("in.{name}")))).collect()
    };
    for (dtype, scale) in DTYPES {
        let mut made = Named::new();
        for output in case.outputs.iter().filter(|output| *output != "post_process") {
            // euler.4, ancestral.eta0.5.4
            let (solver, step) = output.rsplit_once('.').unwrap();
            let step: usize = step.parse().unwrap();
            let more = match solver.split_once(".eta") {
                None => "stage = [{ solver = \"euler\" }]".to_string(),
                Some((name, eta)) => {
                    let name = if name == "res2s" { "res_2s" } else { "euler-ancestral" };
                    format!("stage = [{{ solver = \"{name}\", eta = {eta} }}]")
                }
            };
            let mut inputs = given(&["sample", "denoised", "noise"]);
            let levels = DISTILLED_SIGMAS[step..step + 2].to_vec();
            inputs.insert("sigmas".to_string(), Tensor::real(&[2], levels));
            let target = target(&tokens(11, dtype, &more));
            made.insert(output.clone(), eval(&target, "step", &inputs, &[])["next"].clone());
            if output == "euler.0" {
                inputs.extend(given(&["clean", "mask"]));
                let out = eval(&target, "step", &inputs, &[]);
                made.insert("post_process".to_string(), out["held"].clone());
            }
        }
        let names: Vec<_> = made.keys().map(|n| (n.as_str(), n.as_str())).collect();
        println!("{}", case.check(&renamed(&made, &names), scale).unwrap_or_else(|e| panic!("{e}")));
    }
}

/// The levels of distilled stages, of guided ones, and of the first one of HQ, which counts its tokens.
#[test]
fn noise_levels() {
    let case = Case::load("sigmas").unwrap();
    let of = |pipeline: &str, width: usize, height: usize, frames: usize, steps| {
        let target = target(&format!(
            "width = {width}\nheight = {height}\nframes = {frames}\nfps = 25\npipeline = \"{pipeline}\"\n\
             dtype = \"f32\""
        ));
        sigmas(&target, steps).unwrap()
    };
    let check = |name: &str, made: &Tensor| {
        let error = rel_l2(&made.reals(), case.tensor(name).as_f32());
        assert!(error <= case.tolerance.of(name), "{name}: {error:.2e}");
    };
    let distilled = of("distilled", 64, 64, 17, None);
    check("distilled", &distilled["stage1.sigmas"]);
    check("stage2_distilled", &distilled["stage2.sigmas"]);
    let shifted: Vec<_> = case.outputs.iter().filter_map(|name| name.split_once(".steps")).collect();
    assert!(shifted.len() > 10);
    for (tokens, steps) in shifted {
        let count: usize = steps.parse().unwrap();
        let steps = Some(count);
        let made = match tokens {
            "default" => of("one-stage", 64, 64, 17, steps),
            "tokens45" => of("two-stage-hq", 192, 192, 33, steps),
            "tokens2040" => of("two-stage-hq", 1920, 1088, 25, steps),
            "tokens6144" => of("two-stage-hq", 1536, 1024, 121, steps),
            "tokens8160" => of("two-stage-hq", 1920, 1088, 121, steps),
            _ => panic!("no size of {tokens}"),
        };
        check(&format!("{tokens}.steps{count}"), &made["stage1.sigmas"]);
    }
}

/// What an image makes of the tokens of the first frame. The soft case has another one at the last frame.
#[test]
fn what_items_make_of_tokens() {
    let case = Case::load("conditioning").unwrap();
    for (name, strength, tokens) in [("image_first", 1.0, 36), ("image_first_soft", 0.75, 24)] {
        for (dtype, scale) in DTYPES {
            let target = target(&size(96, 128, 25.0, 37, 1, dtype));
            let inputs = Named::from([
                ("v.image".to_string(), input(&case, "in.img")),
                ("v.image_strength".to_string(), Tensor::real(&[1], vec![strength])),
            ]);
            let out = eval(&target, "conditioning", &inputs, &[]);
            for what in ["denoise_mask", "clean_latent"] {
                let (made, wanted) = (&out[&format!("v.{what}")], case.tensor(&format!("{name}.{what}")));
                // The reference keeps a few channels.
                let (have, width) = (made.shape[2], wanted.shape[1]);
                let made: Vec<f32> =
                    made.reals().chunks(have).flat_map(|row| row[..width].to_vec()).collect();
                let some = tokens * width;
                let error = rel_l2(&made[..some], &wanted.as_f32()[..some]);
                // An image is rounded once.
                let limit = scale.max(1.0) * if dtype == "bf16" { 1e-5 } else { case.tolerance.of(what) };
                assert!(error <= limit, "{name}.{what} in {dtype}: {error:.2e}");
            }
        }
    }
}

/// What reference videos make of the tokens behind the clip's: smaller ones, slower ones, two of them.
#[test]
fn references_stand_behind_the_clip() {
    let case = Case::load("conditioning").unwrap();
    // Clips in which the reference has as many frames as there.
    let given = [
        ("reference", "{}", 9, "in.clip"),
        ("reference_half", "{ downscale = 2 }", 17, "in.half"),
        ("reference_slow", "{ temporal_scale = 4 }", 33, "in.clip"),
    ];
    for (name, fields, frames, latent) in given {
        let clip = size(96, 128, 25.0, 37, 1, "f32").replace("frames = 17", &format!("frames = {frames}"));
        let golden = |what: &str| case.tensor(&format!("{name}.{what}"));
        let mask = *golden("denoise_mask").as_f32().last().unwrap();
        let inputs = Named::from([
            ("v.reference1".to_string(), input(&case, latent)),
            ("v.reference1_strength".to_string(), Tensor::real(&[1], vec![1.0 - mask])),
        ]);
        let target = target(&format!("{clip}\nstage = [{{ references = [{fields}] }}]"));
        let out = eval(&target, "conditioning", &inputs, &[]);
        let positions = golden("extra_positions");
        assert!(rel_l2(&out["v.reference1_positions"].reals(), positions.as_f32()) < 1e-6, "{name}");
        for what in ["clean_latent", "denoise_mask"] {
            let (made, golden) = (&out[&format!("v.{what}")], golden(what));
            let (have, width) = (made.shape[2], golden.shape[1]);
            let made: Vec<f32> = made.reals().chunks(have).flat_map(|row| row[..width].to_vec()).collect();
            let appended = |all: &[f32]| all[all.len() - positions.shape[1] * width..].to_vec();
            let (made, golden) = (appended(&made), appended(golden.as_f32()));
            // Masks of 0 have no relative distance.
            assert!(made == golden || rel_l2(&made, &golden) < 1e-6, "{name}.{what}");
        }
    }
}

/// The weights of a mask, one of another reference, and keyframes that nobody weighs, as a matrix of all tokens (docs/model/sampling.md 8).
#[test]
fn weights_of_pairs_follow_from_those_of_tokens() {
    let case = Case::load("conditioning").unwrap();
    let clip = size(96, 128, 25.0, 37, 1, "f32");
    let more = "keyframes = 1\nstage = [{ references = [{ downscale = 2, mask = true }, { downscale = 2, attention = true }] }]";
    let mask: Vec<f32> = (0..12).map(|i| [0.0, 0.3, 1.0, 0.75][i % 4]).collect();
    let half = input(&case, "in.half");
    let number = |x: f32| Tensor::real(&[1], vec![x]);
    let inputs = Named::from([
        ("v.image".to_string(), input(&case, "in.img")),
        ("v.keyframe1".to_string(), input(&case, "in.img2")),
        ("v.keyframe1_visible".to_string(), number(1.0)),
        ("v.reference1".to_string(), half.clone()),
        ("v.reference1_attention".to_string(), Tensor::real(&[3, 2, 2], mask.clone())),
        ("v.reference2".to_string(), half),
        ("v.reference2_attention".to_string(), number(0.5)),
    ]);
    let out = eval(&target(&format!("{clip}\n{more}")), "conditioning", &inputs, &[]);
    // The clip, a keyframe, and two references.
    let group = |token: usize| [36, 48, 60, 72].into_iter().position(|end| token < end).unwrap();
    let (rows, own) = (out["v.bias"].reals(), out["v.bias_of_group3"].reals());
    assert_eq!((rows.len(), own.len(), out.contains_key("v.bias_of_group4")), (4 * 72, 12, false));
    for (i, j) in (0..72).flat_map(|i| (0..72).map(move |j| (i, j))) {
        let (low, high) = (i.min(j), i.max(j));
        let want = match (group(low), group(high)) {
            (a, b) if a == b || b == 1 => 1.0,
            (0, 2) => f64::from(mask[high - 48]),
            (0, 3) => 0.5,
            _ => 0.0,
        };
        let own = if group(i) == 2 && j < 36 { f64::from(own[i - 48]) } else { 0.0 };
        let made = f64::from(rows[group(i) * 72 + j]) + own;
        let right = if want == 0.0 { made <= f64::from(f32::MIN) } else { (made.exp() - want).abs() < 1e-6 };
        assert!(right, "{i} {j}: {made} for {want}");
    }
}

/// A reference sound stands behind the clip's and before its beginning: it ends 0.04 s before (docs/model/pipelines.md 12).
#[test]
fn a_reference_sound_stands_before_the_clip() {
    let case = Case::load("conditioning").unwrap();
    let dub = size(128, 128, 25.0, 37, 1, "f32").replace("distilled-single-stage", "dub");
    let reference = (0..17 * 128).map(|i| (i as f32 * 0.1).sin()).collect::<Vec<_>>();
    let mut inputs = Named::from([
        ("v.reference1".to_string(), Tensor::real(&[1, 128, 3, 4, 4], vec![0.5; 48 * 128])),
        ("a.reference".to_string(), Tensor::real(&[1, 8, 17, 16], reference.clone())),
    ]);
    inputs.insert("v.reference1_strength".to_string(), Tensor::real(&[1], vec![1.0]));
    let out = eval(&target(&dub), "conditioning", &inputs, &[]);
    // Masks as the reference's, which has six tokens.
    let mask = case.tensor("audio_reference.denoise_mask").as_f32();
    assert_eq!(out["a.denoise_mask"].reals()[..17], mask[..17]);
    assert_eq!(out["a.denoise_mask"].reals()[17..], [mask[17]; 17]);
    let clean = out["a.clean_latent"].reals();
    let token = |t: usize, i: usize| reference[(i / 16 * 17 + t) * 16 + i % 16];
    let wanted = (0..34 * 128).map(|i| if i < 17 * 128 { 0.0 } else { token(i / 128 - 17, i % 128) });
    assert!(clean.iter().copied().eq(wanted));
    let [clip, before] = ["a.positions", "a.reference_positions"].map(|name| out[name].reals());
    let golden = case.tensor("audio_reference.positions").as_f32();
    assert!(rel_l2(&clip, &golden[..34]) < 1e-6);
    let start = |i: i32| f64::from((4 * i - 3).max(0)) * 0.01;
    for (i, cell) in (0..).zip(before.chunks_exact(2)) {
        let want = [start(i), start(i + 1)].map(|at| at - start(17) - 0.04);
        assert!(
            cell.iter().zip(want).all(|(have, want)| (f64::from(*have) - want).abs() < 1e-6),
            "{i}: {cell:?}"
        );
    }
    // Relative to each other, tokens lie as those of the golden.
    let apart = |all: &[f32]| all[..12].iter().map(|at| at - all[0]).collect::<Vec<_>>();
    assert!(rel_l2(&apart(&before), &apart(&golden[34..])) < 1e-5);
}

/// The same span of both streams.
pub fn region(start: f32, end: f32) -> Named {
    let ends = ["v", "a"].into_iter().flat_map(|name| [(name, "start", start), (name, "end", end)]);
    ends.map(|(name, end, at)| (format!("{name}.region_{end}"), Tensor::real(&[1], vec![at]))).collect()
}

/// Which tokens of both streams reach into 0.2 to 0.45 seconds.
#[test]
fn a_region_reaches_some_tokens() {
    let case = Case::load("conditioning").unwrap();
    for (dtype, _) in DTYPES {
        let size = size(96, 128, 25.0, 37, 1, dtype);
        let target = target(&format!("{size}\nstage = [{{ region = true }}]"));
        let zeros = |shape: &[usize]| Tensor::real(shape, vec![0.0; shape.iter().product()]);
        let inputs = Named::from([
            ("v.initial".to_string(), zeros(&[1, 128, 3, 4, 3])),
            ("a.initial".to_string(), zeros(&[1, 8, 17, 16])),
        ]);
        let inputs = inputs.into_iter().chain(region(0.2, 0.45)).collect();
        let out = eval(&target, "conditioning", &inputs, &[]);
        for (ours, theirs) in [("v.denoise_mask", "denoise_mask"), ("a.denoise_mask", "audio_denoise_mask")] {
            assert_eq!(out[ours].reals(), case.tensor(&format!("retake.{theirs}")).as_f32(), "{theirs}");
        }
    }
}

#[test]
fn positions_of_tokens() {
    let case = Case::load("positions").unwrap();
    for (i, shape) in case.facts["shapes"].as_array().unwrap().iter().enumerate() {
        let [width, height, frames, fps] = ["width", "height", "frames", "fps"].map(|key| &shape[key]);
        let target = target(&format!(
            "width = {width}\nheight = {height}\nframes = {frames}\nfps = {fps}\n\
             pipeline = \"distilled-single-stage\"\ndtype = \"bf16\""
        ));
        let out = eval(&target, "conditioning", &Named::new(), &[]);
        let made = [("video", "v.positions"), ("audio", "a.positions")].map(|(stream, output)| {
            let made = &out[output];
            (format!("s{i}.{stream}"), tensor::Tensor::f32(&made.shape[1..], made.reals()))
        });
        println!("{}", case.check(&made.into(), 1.0).unwrap_or_else(|e| panic!("{e}")));
    }
}
