//! Adapters: every dialect of keys, every kind of change, and what is wrong with one before anything is loaded.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use zoetrope::adapters::{AdapterError, Adapters, Given, Merge};
use zoetrope::demo::adapters::{DISTILLED, STYLE};
use zoetrope::demo::demo_in_memory;
use zoetrope::model_files::{ModelFiles, tensors_of};
use zoetrope_compiler::frontend::compile_target;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::{FileDtype, NewTensor, TensorFile, write_tensors};
use zoetrope_runtime::plan::{Origin, Plan, Source};

use crate::wanted;

const OUT: [usize; 2] = [6, 4];
const LAYERS: [&str; 4] = [
    "model.diffusion_model.transformer_blocks.0.attn1.to_out.0",
    "model.diffusion_model.adaln_single.linear",
    "model.diffusion_model.video_embeddings_connector.transformer_1d_blocks.0.ff.net.2",
    "text_embedding_projection.video_aggregate_embed",
];
const NORM: &str = "model.diffusion_model.transformer_blocks.0.attn1.q_norm.weight";

/// A tensor of an adapter's file: its key, its shape and its values.
type Row<'a> = (&'a str, &'a [usize], Vec<f32>);

fn some(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + seed * 11) % 19) as f32 / 8.0 - 1.0).collect()
}

fn bytes(rows: &[Row<'_>]) -> Vec<u8> {
    let stored: Vec<Vec<u8>> =
        rows.iter().map(|(_, _, values)| values.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let tensors: Vec<NewTensor<'_>> = rows
        .iter()
        .zip(&stored)
        .map(|((name, shape, _), bytes)| NewTensor { name, dtype: FileDtype::F32, shape, bytes })
        .collect();
    write_tensors(&[], &tensors)
}

/// A checkpoint of a few layers.
fn base() -> ModelFiles {
    let names: Vec<[String; 2]> =
        LAYERS.iter().map(|layer| [format!("{layer}.weight"), format!("{layer}.bias")]).collect();
    let mut rows: Vec<Row<'_>> = vec![(NORM, &OUT[..1], some(6, 9))];
    for [weight, bias] in &names {
        rows.push((weight, &OUT, some(24, 1)));
        rows.push((bias, &OUT[..1], some(6, 2)));
    }
    ModelFiles::of(vec![TensorFile::from_bytes("checkpoint", bytes(&rows)).unwrap()], Vec::new(), Vec::new())
}

/// A parameter's values with an adapter of `rows` at a strength.
fn merged(rows: &[Row<'_>], strength: f32, parameter: &str) -> Result<Vec<f32>, AdapterError> {
    Ok(adapted(rows, strength, Merge::Exact, parameter)?.0)
}

/// The same by one of the merges, and what is said.
fn adapted(
    rows: &[Row<'_>],
    strength: f32,
    merge: Merge,
    parameter: &str,
) -> Result<(Vec<f32>, Vec<String>), AdapterError> {
    let (folder, files) = (tempfile::tempdir().unwrap(), base());
    let path = folder.path().join("adapter.safetensors");
    fs::write(&path, bytes(rows)).unwrap();
    let adapters = Adapters::open(&[Given { path, strength }], merge)?;
    let weights = adapters.over(&files, &files.checkpoint, zoetrope_generated::PLANS[0])?;
    let tensor = weights.tensor(Source::Checkpoint, parameter).unwrap();
    let mut bytes = vec![0; 4 * tensor.elements()];
    tensor.read_into(FileDtype::F32, &mut bytes).unwrap();
    let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok((values, weights.notes().to_vec()))
}

/// a·b with a [n, k] and b [k, m].
fn product(a: &[f32], b: &[f32], k: usize) -> Vec<f32> {
    let (n, m) = (a.len() / k, b.len() / k);
    let sum = |r: usize, c: usize| (0..k).map(|i| a[r * k + i] * b[i * m + c]).sum();
    (0..n).flat_map(|r| (0..m).map(move |c| (r, c))).map(|(r, c)| sum(r, c)).collect()
}

fn near(have: &[f32], base: &[f32], factor: f32, delta: &[f32]) {
    assert_eq!((have.len(), base.len()), (delta.len(), delta.len()));
    for ((have, base), delta) in have.iter().zip(base).zip(delta) {
        let want = base + factor * delta;
        assert!((have - want).abs() <= 1e-5 * (1.0 + want.abs()), "{have} {want}");
    }
}

#[test]
fn every_dialect_says_the_same() {
    let official = |layer: &str| layer.strip_prefix("model.").unwrap_or(layer).to_string();
    let short = |layer: &str| layer.strip_prefix("model.diffusion_model.").unwrap_or(layer).to_string();
    let (down, up) = (some(8, 3), some(12, 4));
    let delta = product(&up, &down, 2);
    let check = |module: &str, endings: [&str; 2], layer: &str| {
        let [a, b] = endings.map(|ending| format!("{module}{ending}"));
        let rows: [Row<'_>; 2] = [(&a, &[2, 4], down.clone()), (&b, &[6, 2], up.clone())];
        let have = merged(&rows, 0.5, &format!("{layer}.weight")).unwrap_or_else(|e| panic!("{module}: {e}"));
        near(&have, &some(24, 1), 0.5, &delta);
    };
    let peft = [".lora_A.weight", ".lora_B.weight"];
    for endings in [
        peft,
        [".lora_A.default.weight", ".lora_B.default.weight"],
        [".lora_down.weight", ".lora_up.weight"],
        [".lora.down.weight", ".lora.up.weight"],
        ["_lora.down.weight", "_lora.up.weight"],
        [".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"],
        [".lora_A", ".lora_B"],
    ] {
        check(&official(LAYERS[0]), endings, LAYERS[0]);
    }
    for layer in LAYERS {
        check(layer, peft, layer);
        check(&official(layer), peft, layer);
        check(&short(layer), peft, layer);
        check(&format!("transformer.{}", short(layer)), peft, layer);
        check(&format!("base_model.model.{}", short(layer)), peft, layer);
        check(
            &format!("lora_unet_{}", short(layer).replace('.', "_")),
            [".lora_down.weight", ".lora_up.weight"],
            layer,
        );
    }
    for (module, layer) in [
        ("diffusion_model.transformer_blocks.0.attn1.to_out", LAYERS[0]),
        ("lora_unet_transformer_blocks_0_attn1_to_out", LAYERS[0]),
        ("transformer.time_embed.linear", LAYERS[1]),
        ("base_model.model.transformer.time_embed.linear", LAYERS[1]),
        ("video_connector.transformer_blocks.0.ff.net.2", LAYERS[2]),
        ("connectors.video_text_proj_in", LAYERS[3]),
    ] {
        check(module, peft, layer);
    }
}

#[test]
fn every_kind_of_change_is_what_it_says() {
    let (layer, key) =
        (format!("{}.weight", LAYERS[1]), |ending: &str| format!("adaln_single.linear{ending}"));
    let (base, bias) = (some(24, 1), some(6, 2));
    let [down, up, alpha] = [".lora_down.weight", ".lora_up.weight", ".alpha"].map(key);
    let low: [Row<'_>; 3] =
        [(&down, &[2, 4], some(8, 3)), (&up, &[6, 2], some(12, 4)), (&alpha, &[], vec![3.0])];
    near(&merged(&low, 0.5, &layer).unwrap(), &base, 0.75, &product(&some(12, 4), &some(8, 3), 2));
    // Without a strength nothing changes, not a bit.
    assert_eq!(merged(&low, 0.0, &layer).unwrap(), base);

    let [diff, diff_b] = [".diff", ".diff_b"].map(key);
    let rows: [Row<'_>; 2] = [(&diff, &OUT, some(24, 5)), (&diff_b, &[6], some(6, 6))];
    near(&merged(&rows, -2.0, &layer).unwrap(), &base, -2.0, &some(24, 5));
    near(&merged(&rows, -2.0, &format!("{}.bias", LAYERS[1])).unwrap(), &bias, -2.0, &some(6, 6));
    let norm: [Row<'_>; 1] = [("transformer_blocks.0.attn1.q_norm.diff", &[6], some(6, 7))];
    near(&merged(&norm, 1.0, NORM).unwrap(), &some(6, 9), 1.0, &some(6, 7));

    let [w1, w2a, w2b] = [".lokr_w1", ".lokr_w2_a", ".lokr_w2_b"].map(key);
    let rows: [Row<'_>; 4] = [
        (&w1, &[2, 2], some(4, 3)),
        (&w2a, &[3, 1], some(3, 4)),
        (&w2b, &[1, 2], some(2, 5)),
        (&alpha, &[], vec![0.5]),
    ];
    let (first, second) = (some(4, 3), product(&some(3, 4), &some(2, 5), 1));
    let kronecker: Vec<f32> = (0..24)
        .map(|i| (i / 4, i % 4))
        .map(|(r, c)| first[r / 3 * 2 + c / 2] * second[r % 3 * 2 + c % 2])
        .collect();
    near(&merged(&rows, 1.0, &layer).unwrap(), &base, 0.5, &kronecker);

    let names = [".hada_w1_a", ".hada_w1_b", ".hada_w2_a", ".hada_w2_b"].map(key);
    let shapes: [&[usize]; 4] = [&[6, 2], &[2, 4], &[6, 2], &[2, 4]];
    let rows: Vec<Row<'_>> =
        (0..4).map(|i| (names[i].as_str(), shapes[i], some(shapes[i].iter().product(), i))).collect();
    let [one, other] = [0, 2].map(|i| product(&rows[i].2, &rows[i + 1].2, 2));
    let hadamard: Vec<f32> = one.iter().zip(&other).map(|(a, b)| a * b).collect();
    near(&merged(&rows, 1.0, &layer).unwrap(), &base, 1.0, &hadamard);
}

#[test]
fn dora_has_two_readings_and_one_is_said() {
    let layer = format!("{}.weight", LAYERS[1]);
    let (base, delta) = (some(24, 1), product(&some(12, 4), &some(8, 3), 2));
    let magnitudes: Vec<f32> = some(6, 8).iter().map(|x| x + 2.0).collect();
    let length = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
    for (name, shape) in [
        (".dora_scale", &[6usize, 1][..]),
        (".lora_magnitude_vector", &[6]),
        (".lora_magnitude_vector.default.weight", &[6]),
    ] {
        let [down, up, scale] =
            [".lora_A.weight", ".lora_B.weight", name].map(|ending| format!("adaln_single.linear{ending}"));
        let rows: [Row<'_>; 3] =
            [(&down, &[2, 4], some(8, 3)), (&up, &[6, 2], some(12, 4)), (&scale, shape, magnitudes.clone())];
        for (merge, words) in [(Merge::Exact, "as in ComfyUI"), (Merge::Peft, "as in PEFT")] {
            let changed: Vec<f32> = base.iter().zip(&delta).map(|(w, d)| w + d).collect();
            let measured = if merge == Merge::Exact { &base } else { &changed };
            let went: Vec<f32> = (0..24)
                .map(|i| changed[i] * magnitudes[i / 4] / length(&measured[i / 4 * 4..][..4]) - base[i])
                .collect();
            let (have, notes) = adapted(&rows, 0.5, merge, &layer).unwrap();
            near(&have, &base, 0.5, &went);
            assert!(notes.iter().any(|note| note.contains(words)), "{notes:?}");
        }
        let refused = adapted(&rows, 0.5, Merge::Official, &layer).unwrap_err().to_string();
        assert!(refused.contains(&scale) && refused.contains("--lora-merge exact"), "{refused}");
    }
}

#[test]
fn what_cannot_be_used_is_said_by_its_key() {
    let a: Row<'_> = ("diffusion_model.adaln_single.linear.lora_A.weight", &[2, 4], some(8, 3));
    let b: Row<'_> = ("diffusion_model.adaln_single.linear.lora_B.weight", &[6, 2], some(12, 4));
    let says = |rows: &[Row<'_>], words: &[&str]| {
        let error = merged(rows, 1.0, NORM).unwrap_err().to_string();
        assert!(error.lines().count() > 1 && error.contains("\n  help  "), "{error}");
        for word in words.iter().chain(&["adapter.safetensors"]) {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    };
    let other = "diffusion_model.blocks.0.attn.qkv.lora_A.weight";
    says(&[(other, &[2, 4], some(8, 1))], &["another model", other]);
    says(&[("weight", &[2], some(2, 1))], &["none of its 1 tensors is one of a LoRA"]);
    // A checkpoint: its vocoder's activations have an alpha.
    says(
        &[("vocoder.act.alpha", &[2], some(2, 1))],
        &["none of its 1 tensors is one of a LoRA", "--checkpoint"],
    );
    says(std::slice::from_ref(&a), &[a.0, "counterpart is missing"]);
    says(&[a.clone(), (b.0, &[7, 2], some(14, 1))], &[b.0, "[7, 2]", "[6, 2] wanted"]);
    says(&[(a.0, &[3, 4], some(12, 1)), b.clone()], &["[6, 2]", "[6, 3] wanted"]);
    says(&[(a.0, &[2, 5], some(10, 1)), b.clone()], &["[2, 5]", "[2, 4] wanted"]);
    says(&[(a.0, &[8], some(8, 1)), b.clone()], &["[8]"]);
    let alpha = "diffusion_model.adaln_single.linear.alpha";
    says(&[a.clone(), b.clone(), (alpha, &[1], vec![f32::NAN])], &[alpha, "finite number"]);
    says(&[a.clone(), b.clone(), (alpha, &[2], vec![1.0; 2])], &[alpha, "finite number"]);
    says(&[(a.0, &[2, 4], some(8, 3)), (alpha, &[], vec![1.0])], &["counterpart is missing"]);
    let again = "adaln_single.linear.lora_A.weight";
    says(&[a.clone(), b.clone(), (again, &[2, 4], some(8, 1))], &[again, a.0]);
    let dora = "diffusion_model.adaln_single.linear.dora_scale";
    says(&[a.clone(), b.clone(), (dora, &[1, 6], some(6, 1))], &[dora, "[1, 6]", "[6, 1] wanted"]);
    says(&[(dora, &[6, 1], some(6, 1))], &[dora, "counterpart is missing"]);
    let tucker = "diffusion_model.adaln_single.linear.lora_mid.weight";
    says(&[a.clone(), b.clone(), (tucker, &[2, 2], some(4, 1))], &[tucker, "not supported", "Tucker"]);
    let glora = "diffusion_model.adaln_single.linear.a1.weight";
    says(&[(glora, &[2, 2], some(4, 1))], &[glora, "not supported", "GLoRA"]);
    let lokr = "adaln_single.linear.lokr_w1";
    says(&[a.clone(), b.clone(), (lokr, &[2, 2], some(4, 1))], &[lokr, "no part"]);
    says(&[(lokr, &[2, 2], some(4, 1)), ("adaln_single.linear.lokr_w2", &[2, 2], some(4, 1))], &["[6, 4]"]);
    let diff = "adaln_single.linear.diff";
    says(&[(diff, &[4, 6], some(24, 1))], &[diff, "[6, 4] wanted"]);
    // Of many, the first few.
    let many: Vec<String> = (0..20).map(|i| format!("x.{i}.lora_A.weight")).collect();
    let rows: Vec<Row<'_>> = many.iter().map(|key| (key.as_str(), &[1usize, 1][..], vec![1.0])).collect();
    says(&rows, &["x.0.", "… and 12 more"]);
}

/// Keys that name nothing keep no other from being used, and are said.
#[test]
fn keys_that_name_nothing_are_said() {
    let module = "diffusion_model.adaln_single.linear";
    let [down, up] = ["lora_A", "lora_B"].map(|part| format!("{module}.{part}.weight"));
    let odd = ["diffusion_model.new.lora_A.weight", "diffusion_model.new.lora_B.weight", "something"];
    let mut rows: Vec<Row<'_>> = vec![(&down, &[2, 4], some(8, 3)), (&up, &[6, 2], some(12, 4))];
    rows.extend(odd.map(|key| (key, &[1usize, 1][..], vec![1.0])));
    let layer = format!("{}.weight", LAYERS[1]);
    let (have, notes) = adapted(&rows, 0.5, Merge::Exact, &layer).unwrap();
    near(&have, &some(24, 1), 0.5, &product(&some(12, 4), &some(8, 3), 2));
    let note =
        notes.iter().find(|note| note.contains("3 of its 5 keys")).unwrap_or_else(|| panic!("{notes:?}"));
    assert!(odd.iter().all(|key| note.contains(key)) && note.contains("adapter.safetensors"), "{note}");
}

/// Lengths of columns are those of the changed weight: of the sum of all changes before, too.
#[test]
fn dora_by_columns_is_by_the_changed_weight() {
    let key = |ending: &str| format!("adaln_single.linear{ending}");
    let [down, up, scale] = [".lora_A.weight", ".lora_B.weight", ".dora_scale"].map(key);
    let magnitudes = vec![1.0f32, 2.0, 0.5, 3.0];
    let rows: [Row<'_>; 3] =
        [(&down, &[2, 4], some(8, 3)), (&up, &[6, 2], some(12, 4)), (&scale, &[1, 4], magnitudes.clone())];
    let (base, delta) = (some(24, 1), product(&some(12, 4), &some(8, 3), 2));
    let changed: Vec<f32> = base.iter().zip(&delta).map(|(w, d)| w + d).collect();
    let length = |c: usize| (0..6).map(|r| changed[4 * r + c].powi(2)).sum::<f32>().sqrt();
    let went: Vec<f32> = (0..24).map(|i| changed[i] * magnitudes[i % 4] / length(i % 4) - base[i]).collect();
    for merge in [Merge::Exact, Merge::Peft] {
        let (have, notes) = adapted(&rows, 0.5, merge, &format!("{}.weight", LAYERS[1])).unwrap();
        near(&have, &base, 0.5, &went);
        assert!(notes.iter().any(|note| note.contains("of the columns")), "{notes:?}");
    }
}

/// What an adapter says of its references has to be what the plan has of them.
#[test]
fn references_are_those_of_the_plan() {
    let text = |references: &str| {
        format!(
            "width = 256\nheight = 256\nframes = 17\nfps = 25\npipeline = \"ic-lora\"\ndtype = \"bf16\"\n\
             model = \"demo\"\n{references}"
        )
    };
    let plan = |references: &str| {
        compile_target(&Target::parse("follow", &text(references)).unwrap(), "".as_ref()).unwrap()
    };
    let half = plan("");
    let whole = plan("stage = [{ references = [{ temporal_scale = 2 }] }]");
    let (files, folder) = (demo_in_memory(&tensors_of(&half)).unwrap(), tempfile::tempdir().unwrap());
    let key = "diffusion_model.adaln_single.linear.lora";
    let wide = half.constants.iter().find_map(|c| match &c.origin {
        Origin::Weight { tensors, .. }
            if tensors.iter().any(|(n, _)| n.ends_with("diffusion_model.adaln_single.linear.weight")) =>
        {
            Some([c.shape[0] as usize, c.shape[1] as usize])
        }
        _ => None,
    });
    let [out, inner] = wide.unwrap();
    let adapter = |name: &str, metadata: &[(&str, &str)]| {
        let zeros = vec![0; 2 * out.max(inner)];
        let (down, up) = (format!("{key}_A.weight"), format!("{key}_B.weight"));
        let tensor =
            |name, shape, len| NewTensor { name, dtype: FileDtype::Bf16, shape, bytes: &zeros[..2 * len] };
        let (down_shape, up_shape) = ([1, inner], [out, 1]);
        let rows = [tensor(&down, &down_shape[..], inner), tensor(&up, &up_shape[..], out)];
        let path = folder.path().join(name);
        fs::write(&path, write_tensors(metadata, &rows)).unwrap();
        Given { path, strength: 1.0 }
    };
    let (space, time) = ("reference_downscale_factor", "ss_reference_temporal_scale_factor");
    let [none, two, three, slow] = [
        adapter("none", &[]),
        adapter("two", &[(space, "2")]),
        adapter("three", &[(space, "3")]),
        adapter("slow", &[(time, "2")]),
    ];
    let check = |plan: &Plan, given: &[&Given]| {
        let given: Vec<Given> = given.iter().map(|given| (*given).clone()).collect();
        let slot = plan.phases.iter().find_map(|phase| phase.adapter).unwrap().slot;
        let adapters = Adapters::open(&given[1..], Merge::Exact).unwrap().in_slot(slot, &given[..1]).unwrap();
        adapters.over(&files, &files.checkpoint, plan).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(check(&half, &[&two]), Ok(()));
    assert_eq!(check(&half, &[&none, &two]), Ok(()), "1 and 2 make 2");
    assert_eq!(check(&whole, &[&slow]), Ok(()));
    let error = check(&half, &[&two, &three]).unwrap_err();
    assert!(["two", "three", space, " 2 ", " 3 "].iter().all(|word| error.contains(word)), "{error}");
    for (plan, given, words) in [
        (
            &half,
            &three,
            ["want  reference_downscale_factor 2", "have  reference_downscale_factor 3", "downscale = 3,"],
        ),
        (&half, &none, ["follow", "have  reference_downscale_factor 1", "downscale = 1,"]),
        (
            &whole,
            &two,
            ["temporal_scale_factor 2, as reference 1", "temporal_scale_factor 1 by", "temporal_scale = 1 }"],
        ),
    ] {
        let error = check(plan, &[given]).unwrap_err();
        let name = given.path.to_str().unwrap();
        assert!(words.iter().chain(&[name]).all(|word| error.contains(word)), "{error}");
    }
}

/// Any shapes are read or refused.
#[test]
fn odd_shapes_are_no_panic() {
    let shapes: [&[usize]; 9] = [&[], &[0], &[6], &[0, 4], &[6, 0], &[2, 4], &[6, 2], &[2, 2], &[2, 2, 2]];
    let pairs = [
        [".lora_A.weight", ".lora_B.weight"],
        [".lokr_w1", ".lokr_w2"],
        [".diff", ".diff_b"],
        [".lora_A.weight", ".alpha"],
    ];
    let mut read = 0;
    for endings in pairs {
        let keys = endings.map(|ending| format!("adaln_single.linear{ending}"));
        for (one, other) in shapes.iter().flat_map(|one| shapes.iter().map(move |other| (*one, *other))) {
            let values = |shape: &[usize]| some(shape.iter().product(), 3);
            let rows = [(keys[0].as_str(), one, values(one)), (keys[1].as_str(), other, values(other))];
            read += usize::from(merged(&rows, 1.0, &format!("{}.weight", LAYERS[1])).is_ok());
        }
    }
    // Ranks of two and of none; nothing else is a change of a matrix of [6, 4].
    assert_eq!(read, 2);
}

/// A folder with the demo model's adapters.
fn folder() -> (TempDir, [PathBuf; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let paths = [DISTILLED, STYLE].map(|adapter| {
        let path = folder.path().join(adapter.file);
        fs::write(&path, adapter.bytes(&wanted()).unwrap()).unwrap();
        path
    });
    (folder, paths)
}

#[test]
fn the_command_checks_adapters() {
    let (folder, [distilled, style]) = folder();
    let verify = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zoetrope"));
        let output = command.arg("verify").args(args).output().expect("the binary runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let [distilled, style] = [&distilled, &style].map(|path| path.to_str().unwrap());
    let (code, said) = verify(&["--lora", distilled, "0.5", "--lora", &format!("{style}:-1")]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("distilled-lora.safetensors: changes 130 parameters"), "{said}");
    assert!(said.contains("black-and-white-lora.safetensors: changes 21 parameters"), "{said}");

    let cut = folder.path().join("cut.safetensors");
    let whole = fs::read(style).unwrap();
    fs::write(&cut, &whole[..whole.len() - 1]).unwrap();
    let other = folder.path().join("other.safetensors");
    fs::write(&other, bytes(&[("diffusion_model.x.lora_A.weight", &[1, 1], vec![1.0])])).unwrap();
    for (path, code, words) in [
        ("none.safetensors", 3, "cannot be read"),
        (cut.to_str().unwrap(), 3, "truncated"),
        (other.to_str().unwrap(), 3, "another model"),
        (folder.path().to_str().unwrap(), 3, "adapter "),
        ("x.safetensors:nan", 2, "not a finite number"),
        (":1", 2, "no file is named"),
    ] {
        let (have, said) = verify(&["--lora", path]);
        assert_eq!(have, Some(code), "{said}");
        assert!(said.contains(words) && !said.contains("panicked"), "{said}");
    }
    let (code, said) = verify(&["--distilled-lora", distilled, "0.5"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no stage of this plan") && said.contains("help  --lora"), "{said}");
}
