//! The fixtures themselves: the recipe's files, and the reference values against their index.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use zoetrope_test_support::golden::{Case, cases, check};
use zoetrope_test_support::recipe::{build_models, gamma_models_in};
use zoetrope_test_support::tensor::{Dtype, Tensor, Values, load_tensors, write_tensors};
use zoetrope_test_support::{Error, gamma_dir, prompts};

fn json(file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(gamma_dir().join(file)).unwrap()).unwrap()
}

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    folder
}

fn sha256_of_files(folder: &Path, below: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sha256_of_files(&path, below, found);
        } else {
            let digest: [u8; 32] = Sha256::digest(std::fs::read(&path).unwrap()).into();
            let name = path.strip_prefix(below).unwrap().to_str().unwrap().replace('\\', "/");
            found.insert(name, digest.iter().map(|b| format!("{b:02x}")).collect());
        }
    }
}

fn recorded() -> BTreeMap<String, String> {
    serde_json::from_value(json("weights.json")["sha256"].clone()).unwrap()
}

#[test]
fn built_files_have_the_recorded_sha256() {
    let out = scratch("built");
    assert_eq!(build_models(&gamma_dir(), &out).unwrap(), recorded());
    let mut found = BTreeMap::new();
    sha256_of_files(&out, &out, &mut found);
    assert_eq!(found, recorded());
}

#[test]
fn callers_at_the_same_time_share_complete_files() {
    let folder = scratch("shared");
    let models: Vec<PathBuf> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..3).map(|_| scope.spawn(|| gamma_models_in(&folder))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let mut found = BTreeMap::new();
    sha256_of_files(&models[0], &models[0], &mut found);
    assert_eq!(found, recorded());
    assert!(models.iter().all(|m| *m == models[0]));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "a private folder was left behind");
}

#[test]
fn a_changed_recipe_is_refused() {
    let profile = scratch("changed");
    std::fs::create_dir_all(&profile).unwrap();
    let mut recipe = json("weights.json");
    recipe["seed"] = Value::from("another seed");
    std::fs::write(profile.join("weights.json"), recipe.to_string()).unwrap();
    let error = build_models(&profile, &profile.join("out")).unwrap_err();
    assert!(matches!(error, Error::Sha256 { .. }), "{error}");
}

#[test]
fn reference_values_are_those_of_the_index() {
    let index = json("index.json");
    for name in cases().unwrap() {
        let case = Case::load(&name).unwrap();
        for (output, about) in index["files"][&name]["outputs"].as_object().unwrap() {
            let tensor = case.tensor(output);
            assert_eq!(about["shape"], Value::from(tensor.shape.clone()), "{name}: {output}");
            let Values::F32(values) = &tensor.values else { continue };
            let square: f64 = values.iter().map(|x| f64::from(*x).powi(2)).sum();
            let rms = (square / values.len() as f64).sqrt();
            let recorded = about["rms"].as_f64().unwrap();
            assert!((rms - recorded).abs() < 6e-6, "{name}: {output}: rms {rms}, recorded {recorded}");
        }
        let (inputs, outputs) = (case.inputs.len(), case.outputs.len());
        assert_eq!(inputs + outputs, case.tensors.len(), "{name}: tensors outside the index");
    }
}

#[test]
fn a_case_agrees_with_itself_and_not_with_its_neighbour() {
    let case = Case::load("transformer_t2v").unwrap();
    let outputs: BTreeMap<String, Tensor> =
        case.outputs.iter().map(|name| (name.clone(), case.tensor(name).clone())).collect();
    let report = check("transformer_t2v", &outputs, 1.0).unwrap();
    assert_eq!((report.compared.len(), report.missing.len()), (case.outputs.len(), 0));

    let mut outputs = outputs;
    let swapped = outputs["tap.block0.v"].clone();
    outputs.insert("tap.block1.v".to_owned(), swapped);
    let message = check("transformer_t2v", &outputs, 1.0).unwrap_err();
    assert!(message.contains("the first divergent tensor is tap.block1.v [1, 36, 128]"), "{message}");
    assert!(message.contains("tap.block0.a 0.00e0"), "{message}");
}

#[test]
fn every_prompt_has_its_tokens() {
    let tokens = Case::load("tokenizer").unwrap();
    assert_eq!(prompts().unwrap().len() * 2, tokens.outputs.len());
    assert_eq!(tokens.tensor("p0.input_ids").as_i64().len(), 1024);
}

#[test]
fn written_tensors_read_back() {
    let path = scratch("written").join("inputs.safetensors");
    let floats: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let halves: Vec<u8> = [0x3fc0u16, 0xc000].iter().flat_map(|x| x.to_le_bytes()).collect();
    let integers: Vec<u8> = (-3i32).to_le_bytes().to_vec();
    write_tensors(
        &path,
        &[
            ("floats", Dtype::F32, &[2, 1], &floats),
            ("halves", Dtype::Bf16, &[2], &halves),
            ("integers", Dtype::I32, &[], &integers),
        ],
    )
    .unwrap();
    let tensors = load_tensors(&path).unwrap();
    assert_eq!(tensors["floats"], Tensor::f32(&[2, 1], vec![1.5, -2.0]));
    assert_eq!(tensors["halves"], Tensor::f32(&[2], vec![1.5, -2.0]));
    assert_eq!(tensors["integers"], Tensor::i64(&[], vec![-3]));
}
