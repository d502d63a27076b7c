//! The demo model: complete, the same everywhere, on disk as in memory; its trained tensors are what was exported.

mod documented;
mod drawn;
#[cfg(all(feature = "res-tiny", feature = "aac-fdk"))]
mod made;
#[cfg(all(feature = "res-tiny", feature = "aac-fdk"))]
mod obeyed;
#[cfg(all(feature = "res-tiny", feature = "aac-fdk"))]
#[path = "../shared/viewer.rs"]
mod viewer;
#[cfg(all(feature = "res-tiny", feature = "aac-fdk"))]
mod windows;

use std::collections::BTreeMap;
use std::path::Path;

use half::bf16;
use sha2::{Digest, Sha256};
use zoetrope::demo::adapters::STYLE;
use zoetrope::demo::trained::trained_tensors;
use zoetrope::demo::{DemoError, demo_in_memory, made_up_in_memory, write_demo_model};
use zoetrope::model_files::{ModelFiles, Wanted};
use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::config::ModelConfig;
use zoetrope_model_spec::ltx::demo::demo;
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::{FileDtype, Tensor, TensorFile};
use zoetrope_runtime::plan::Source;

#[test]
fn the_lists_of_the_documents_are_the_published_ones() {
    let list = documented::tensors(&ltx_2_3_22b());
    let count = |source, prefix: &str| {
        let of_prefix = list.iter().filter(|w| w.source == source && w.tensor.starts_with(prefix));
        of_prefix.fold((0, 0), |(n, parameters), w| (n + 1, parameters + w.shape.iter().product::<usize>()))
    };
    let checkpoint = |prefix| count(Source::Checkpoint, prefix);
    assert_eq!(checkpoint("model.diffusion_model."), (4444, 21_005_004_544));
    assert_eq!(checkpoint("text_embedding_projection."), (4, 1_156_061_184));
    assert_eq!(checkpoint("vae."), (2 + 84 + 84, 256 + 407_169_072 + 318_936_897));
    assert_eq!(checkpoint("audio_vae."), (2 + 56, 256 + 31_915_138));
    assert_eq!(checkpoint("vocoder.vocoder."), (667, 115_077_648));
    assert_eq!(checkpoint("vocoder.bwe_generator."), (557, 13_464_600));
    // Without the inverse transform, which nobody uses.
    assert_eq!(checkpoint("vocoder.mel_stft."), (2, 542_784 - 514 * 512));
    assert_eq!(count(Source::TextEncoder, ""), (626, 11_766_034_176));
    assert_eq!(count(Source::SpatialUpscaler, ""), (72, 497_867_904));
}

#[test]
#[cfg(feature = "res-tiny")]
fn plans_read_the_documented_tensors() {
    use std::collections::BTreeSet;
    use zoetrope::model_files::tensors_of;
    use zoetrope_compiler::Options;
    use zoetrope_compiler::frontend::{Scope, compile_levels};
    use zoetrope_model_spec::target::Target;

    let target = Target::preset("res-tiny").unwrap();
    let encode =
        compile_levels(&target, &demo(), Scope::Phase("video-encode"), &[], Options::default()).unwrap();
    let run = zoetrope_generated::plan("res-tiny").unwrap();
    let read: BTreeSet<Wanted> = [run, &encode.plan].into_iter().flat_map(tensors_of).collect();
    let documented: BTreeSet<Wanted> = documented::tensors(&demo()).into_iter().collect();
    let difference: Vec<&Wanted> = read.symmetric_difference(&documented).collect();
    assert!(difference.is_empty(), "{difference:#?}");
}

fn same(a: &ModelFiles, b: &ModelFiles, list: &[Wanted]) {
    for Wanted { source, tensor: name, shape, .. } in list {
        let (a, b) = (a.tensor(*source, name).unwrap(), b.tensor(*source, name).unwrap());
        assert_eq!(a.shape, shape, "{name}");
        assert_eq!((a.shape, a.dtype), (b.shape, b.dtype), "{name}");
        assert!(a.bytes == b.bytes, "{name}");
    }
}

#[test]
fn files_and_memory_hold_the_same_model() {
    let list = documented::tensors(&demo());
    let folder = tempfile::tempdir().unwrap();
    let paths = write_demo_model(&folder.path().join("new"), &list).unwrap();
    let files = ModelFiles::open(&paths);
    assert!(files.unreadable.is_empty(), "{:?}", files.unreadable);
    let memory = demo_in_memory(&list).unwrap();
    same(&files, &memory, &list);
    assert_eq!(files.gemma_config, memory.gemma_config);
    let encoded = |files: &ModelFiles| files.tokenizer().unwrap().encode("two  spaces").unwrap();
    assert_eq!(encoded(&files), encoded(&memory));
    let fallback = ltx_2_3_22b();
    let read = files.config(&fallback).unwrap();
    assert_eq!(read, ModelConfig { name: "ltx-2.3-demo".to_string(), ..demo() });
    assert_eq!(memory.config(&fallback).unwrap(), read);
    // The order of the list does not matter.
    let backwards: Vec<Wanted> = list.iter().rev().cloned().collect();
    let again = write_demo_model(&folder.path().join("again"), &backwards).unwrap();
    assert_eq!(std::fs::read(&paths.checkpoint[0]).unwrap(), std::fs::read(&again.checkpoint[0]).unwrap());
}

/// A hash of tensors in the order of their names: name, element type and bytes of each.
fn hash<'w, 'f>(tensors: impl Iterator<Item = &'w Wanted>, values: impl Fn(&Wanted) -> Tensor<'f>) -> String {
    let tensors: BTreeMap<&str, &Wanted> = tensors.map(|wanted| (wanted.tensor.as_str(), wanted)).collect();
    let mut digest = Sha256::new();
    for (name, wanted) in tensors {
        let tensor = values(wanted);
        digest.update(format!("{name} {} ", tensor.dtype));
        digest.update(tensor.bytes);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn made_up_values_are_the_same_on_every_machine() {
    let list = documented::tensors(&demo());
    let memory = made_up_in_memory(&list).unwrap();
    let sources = [Source::Checkpoint, Source::TextEncoder, Source::SpatialUpscaler];
    let hashes = sources.map(|source| {
        let of_source = list.iter().filter(|wanted| wanted.source == source);
        hash(of_source, |wanted| memory.tensor(wanted.source, &wanted.tensor).unwrap())
    });
    let hashes = hashes.each_ref().map(|hash| &hash[..16]);
    assert_eq!(hashes, ["e0e71c2e62afd328", "a420c59e5068bc17", "eacc845130f69723"]);
}

/// Against hashes of the values as tools/demo-model/export.py has them.
#[test]
fn trained_values_are_those_that_were_exported() {
    let list = documented::tensors(&demo());
    let memory = demo_in_memory(&list).unwrap();
    let trained = trained_tensors().unwrap();
    let (of_adapter, of_model): (Vec<_>, Vec<_>) =
        trained.into_iter().partition(|(_, wanted)| matches!(wanted.source, Source::Adapter(_)));
    let unknown: Vec<_> = of_model.iter().filter(|(_, wanted)| !list.contains(wanted)).collect();
    assert!(unknown.is_empty(), "the model has no tensors of these names and shapes: {unknown:#?}");
    let adapter = TensorFile::from_bytes("adapter", STYLE.bytes(&list).unwrap()).unwrap();
    let kohya = |name: &str| {
        let (module, part) = name.strip_prefix("diffusion_model.").unwrap().split_once(".lora_").unwrap();
        let part = if part == "A.weight" { "down" } else { "up" };
        format!("lora_unet_{}.lora_{part}.weight", module.replace('.', "_"))
    };
    for line in include_str!("weights.sha256").lines() {
        let (part, exported) = line.split_once(' ').unwrap();
        let tensors = of_model.iter().chain(&of_adapter);
        let of_part = tensors.filter(|(name, _)| *name == part).map(|(_, wanted)| wanted);
        let hash = match part {
            "adapter" => hash(of_part, |wanted| adapter.get(&kohya(&wanted.tensor)).unwrap()),
            _ => hash(of_part, |wanted| memory.tensor(wanted.source, &wanted.tensor).unwrap()),
        };
        assert_eq!(hash, exported, "{part}");
    }
}

#[test]
fn trained_tensors_stay_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/weights");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    let bytes: u64 = files.sum();
    assert!(bytes < 16_000_000, "{bytes} bytes");
}

#[test]
fn designed_weights_are_not_random() {
    let memory = made_up_in_memory(&documented::tensors(&demo())).unwrap();
    let first = |name: &str| {
        let tensor = memory.tensor(Source::Checkpoint, name).unwrap();
        assert_eq!(tensor.dtype, FileDtype::Bf16, "{name}");
        tensor
            .bytes
            .chunks(2)
            .take(3)
            .map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect::<Vec<f32>>()
    };
    assert_eq!(first("vae.per_channel_statistics.std-of-means"), [1.0; 3]);
    assert_eq!(first("vocoder.vocoder.act_post.upsample.filter"), [0.002_029_419, 0.009399414, -0.025512695]);
    let table = "model.diffusion_model.transformer_blocks.1.scale_shift_table";
    assert_eq!(memory.tensor(Source::Checkpoint, table).unwrap().dtype, FileDtype::F32);
}

#[test]
fn an_unknown_kind_of_tensor_is_an_error() {
    let tensor = "model.diffusion_model.new_thing".to_string();
    let list = [Wanted { source: Source::Checkpoint, tensor, shape: vec![3], kept: None }];
    let error = demo_in_memory(&list).unwrap_err();
    assert!(matches!(error, DemoError::NoRule { .. }));
    assert!(error.to_string().contains("checkpoint:model.diffusion_model.new_thing"), "{error}");
}
