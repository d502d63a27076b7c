//! Which of the files given count: split checkpoints, indices, what stands there twice, and the tokenizer beside them.

use std::fs;

use zoetrope::model_check::{Problem, verify};
use zoetrope::model_files::{ModelFiles, ModelPaths};
use zoetrope_model_spec::ltx::demo::{TEXTS, demo};
use zoetrope_runtime::files::{FileDtype, NewTensor, TensorFile, write_tensors};

use crate::{on_disk, wanted};

#[test]
fn a_checkpoint_may_come_in_several_files_and_one_twice() {
    let folder = tempfile::tempdir().unwrap();
    let paths = on_disk(folder.path());
    let whole = TensorFile::open(&paths.checkpoint[0]).unwrap();
    let file = |name: &str, prefix: &str, belongs: &dyn Fn(&str) -> bool| {
        let tensors: Vec<NewTensor<'_>> = whole
            .iter()
            .filter(|t| belongs(t.name))
            .map(|t| NewTensor {
                name: t.name.strip_prefix(prefix).unwrap(),
                dtype: t.dtype,
                shape: t.shape,
                bytes: t.bytes,
            })
            .collect();
        let path = folder.path().join(name);
        fs::write(&path, write_tensors(&[], &tensors)).unwrap();
        path
    };
    let starts = |prefix: &'static str| move |name: &str| name.starts_with(prefix);
    let checkpoint = vec![
        file("transformer.safetensors", "model.diffusion_model.", &|name| {
            name.starts_with("model.diffusion_model.") && !name.contains("_connector.")
        }),
        file("connectors.safetensors", "model.", &|name| name.contains("_connector.")),
        file("projections.safetensors", "text_embedding_projection.", &starts("text_embedding_projection.")),
        file("vae.safetensors", "vae.", &starts("vae.")),
        file("audio_vae.safetensors", "audio_vae.", &starts("audio_vae.")),
        file("vocoder.safetensors", "vocoder.", &starts("vocoder.")),
    ];
    let split = ModelPaths { checkpoint, ..paths };
    let report = verify(&wanted(), &ModelFiles::open(&split), Some(&demo()));
    assert!(report.is_good(), "{report}");
    assert!(report.unneeded.is_empty(), "{report}");
    let mut twice = split;
    twice.checkpoint.push(twice.checkpoint[3].clone());
    let report = verify(&wanted(), &ModelFiles::open(&twice), Some(&demo()));
    assert!(report.is_good(), "{report}");
    assert!(
        report.to_string().contains("note: ") && report.to_string().contains("is given twice"),
        "{report}"
    );
    // Other bytes under the same names.
    let copy = folder.path().join("copy.safetensors");
    fs::copy(&twice.checkpoint[3], &copy).unwrap();
    twice.checkpoint.push(copy);
    let report = verify(&wanted(), &ModelFiles::open(&twice), Some(&demo()));
    let text = report.to_string();
    assert!(matches!(report.problems.as_slice(), [Problem::Twice { .. }]), "{text}");
    for words in [
        "vae.decoder",
        " more tensors stand in ",
        "vae.safetensors and in ",
        "copy.safetensors",
        "help: give one",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn what_cannot_count_is_not_decided_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let paths = on_disk(folder.path());
    let said = |paths: &ModelPaths| verify(&wanted(), &ModelFiles::open(paths), Some(&demo())).to_string();
    // A LoRA beside the checkpoint.
    let lora = folder.path().join("style.safetensors");
    let name = "diffusion_model.transformer_blocks.0.attn1.to_q.lora_A.weight";
    let tensor = NewTensor { name, dtype: FileDtype::Bf16, shape: &[1, 2], bytes: &[0; 4] };
    fs::write(&lora, write_tensors(&[], &[tensor])).unwrap();
    let mut two = paths.clone();
    two.checkpoint.push(lora.clone());
    let text = said(&two);
    assert!(
        text.contains("1 problem\n") && text.contains("style.safetensors is a LoRA: give it with --lora"),
        "{text}"
    );
    // A file that has nothing for this plan.
    let idle = NewTensor {
        name: "audio_vae.encoder.conv_in.conv.bias",
        dtype: FileDtype::Bf16,
        shape: &[2],
        bytes: &[0; 4],
    };
    fs::write(&lora, write_tensors(&[], &[idle])).unwrap();
    let text = said(&two);
    assert!(
        text.contains("note: nothing in ") && text.contains("style.safetensors is read by this plan"),
        "{text}"
    );
    // Another configuration in a second file.
    let other = TEXTS.checkpoint.unwrap().replacen("\"norm_eps\": 1e-06", "\"norm_eps\": 0.5", 1);
    assert_ne!(other, TEXTS.checkpoint.unwrap());
    fs::write(&lora, write_tensors(&[("config", &other)], &[idle])).unwrap();
    let text = said(&two);
    assert!(text.contains("transformer.norm_eps is 1e-6 in ") && text.contains("and 0.5 in "), "{text}");
    fs::write(&lora, write_tensors(&[("model_version", "2.3.9")], &[idle])).unwrap();
    let versions = said(&two);
    assert!(versions.contains("2.3.9") || versions.contains("nothing in"), "{versions}");

    // Gemma in two files with an index, and an older file that the index does not name.
    let gemma = &paths.text_encoder;
    let whole = TensorFile::open(&gemma.join("model.safetensors")).unwrap();
    let all: Vec<NewTensor<'_>> = whole
        .iter()
        .map(|t| NewTensor { name: t.name, dtype: t.dtype, shape: t.shape, bytes: t.bytes })
        .collect();
    let (one, other) = all.split_at(all.len() / 2);
    let places: Vec<String> = [(one, 1), (other, 2)]
        .iter()
        .flat_map(|(half, number)| {
            half.iter().map(move |t| format!("\"{}\": \"m-{number}.safetensors\"", t.name))
        })
        .collect();
    fs::write(gemma.join("m-1.safetensors"), write_tensors(&[], one)).unwrap();
    fs::write(gemma.join("m-2.safetensors"), write_tensors(&[], other)).unwrap();
    let text = said(&paths);
    assert!(text.contains(" more tensors stand in ") && text.contains("m-1.safetensors and in "), "{text}");
    let index = format!("{{\"metadata\": {{}}, \"weight_map\": {{{}}}}}", places.join(", "));
    fs::write(gemma.join("model.safetensors.index.json"), index).unwrap();
    fs::write(gemma.join("._m-1.safetensors"), b"\0\x05\x16\x07").unwrap();
    let text = said(&paths);
    assert!(text.starts_with("the model files have all"), "{text}");
    assert!(
        text.contains("model.safetensors is not read: ") && text.contains("index.json does not name it"),
        "{text}"
    );
    fs::remove_file(gemma.join("m-2.safetensors")).unwrap();
    let text = said(&paths);
    assert!(text.contains("names m-2.safetensors, which is not there"), "{text}");
}

#[test]
fn the_tokenizer_is_read_as_for_a_clip() {
    let folder = tempfile::tempdir().unwrap();
    let paths = on_disk(folder.path());
    let tokenizer = paths.text_encoder.join("tokenizer.json");
    let good = fs::read_to_string(&tokenizer).unwrap();
    let said = |text: &str| {
        fs::write(&tokenizer, text).unwrap();
        let report = verify(&wanted(), &ModelFiles::open(&paths), Some(&demo()));
        report.problems.iter().for_each(|problem| {
            assert!(matches!(problem, Problem::Unreadable { .. } | Problem::Vocabulary { .. }), "{report}");
        });
        report.to_string()
    };
    assert!(said(&format!("\u{feff}{good}")).starts_with("the model files have all"));
    // A bracket less: of the added tokens, and of the decoder.
    for (with, without) in [("}],\"normalizer\"", "},\"normalizer\""), ("}]},\"model\"", "}},\"model\"")] {
        assert!(good.contains(with));
        let text = said(&good.replacen(with, without, 1));
        assert!(text.contains("gemma-3-demo: tokenizer.json is not readable"), "{with}: {text}");
    }
    assert!(
        said("version https://git-lfs.github.com/spec/v1\n")
            .contains("tokenizer.json: this is a Git LFS pointer")
    );
    assert!(said("<!doctype html>").contains("this is a web page (download it again"));
    assert!(said(&good.replace("<pad>", "<fill>")).contains("tokenizer.json is not Gemma 3's"));
    let more = good.replacen("\"vocab\":{", "\"vocab\":{\"beyond\":900000,", 1);
    let text = said(&more);
    assert!(text.contains("the tokenizer has a token 900000, the language model has "), "{text}");
    fs::remove_file(&tokenizer).unwrap();
    let report = verify(&wanted(), &ModelFiles::open(&paths), Some(&demo()));
    assert!(report.to_string().contains("tokenizer.json: cannot be read"), "{report}");
}
