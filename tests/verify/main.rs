//! Model files against what a plan reads: everything wrong is found and said, nothing more.

mod adapters;
mod command;
mod deep;
#[path = "../demo/documented.rs"]
mod documented;
mod files;
mod gguf;
mod kinds;

use std::fs;
use std::path::Path;

use zoetrope::demo::{demo_in_memory, write_demo_model};
use zoetrope::model_check::{EXIT_MODEL_FILES, LanguageModel, Problem, verify};
use zoetrope::model_files::{ModelFiles, ModelPaths, Wanted};
use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::config::Vision;
use zoetrope_model_spec::ltx::demo::{TEXTS, demo};
use zoetrope_runtime::files::{FileDtype, NewTensor, TensorFile, write_tensors};
use zoetrope_runtime::plan::Source;

fn wanted() -> Vec<Wanted> {
    documented::tensors(&demo())
}

fn tensor(source: Source, name: &str, shape: &[usize]) -> Wanted {
    Wanted { source, tensor: name.to_string(), shape: shape.to_vec(), kept: None }
}

/// Files of tensors that are there for their names only.
fn named(source: Source, names: &[(&str, FileDtype, &[usize])]) -> ModelFiles {
    let bytes = vec![0; 1 << 16];
    let tensors: Vec<NewTensor<'_>> = names
        .iter()
        .map(|(name, dtype, shape)| {
            let size = dtype.bytes_of(shape.iter().product()).unwrap();
            NewTensor { name, dtype: *dtype, shape, bytes: &bytes[..size] }
        })
        .collect();
    let file = vec![TensorFile::from_bytes("given.safetensors", write_tensors(&[], &tensors)).unwrap()];
    match source {
        Source::Checkpoint => ModelFiles::of(file, Vec::new(), Vec::new()),
        Source::TextEncoder => ModelFiles::of(Vec::new(), file, Vec::new()),
        upscaler if upscaler.is_upscaler() => ModelFiles::of(Vec::new(), Vec::new(), file),
        _ => ModelFiles::default(),
    }
}

fn on_disk(folder: &Path) -> ModelPaths {
    write_demo_model(folder, &wanted()).unwrap()
}

#[test]
fn the_demo_model_has_what_its_plan_reads() {
    let folder = tempfile::tempdir().unwrap();
    let report = verify(&wanted(), &ModelFiles::open(&on_disk(folder.path())), Some(&demo()));
    assert!(report.is_good(), "{report}");
    assert_eq!(report.exit_code(), 0);
    let n = wanted().len();
    assert_eq!(report.to_string(), format!("the model files have all {n} tensors that this plan reads\n"));
}

#[test]
fn what_a_plan_does_not_read_is_counted_by_component() {
    let mut more = wanted();
    more.push(tensor(Source::Checkpoint, "audio_vae.encoder.conv_in.conv.weight", &[8, 48, 3, 3, 3]));
    more.push(tensor(Source::Checkpoint, "audio_vae.encoder.conv_in.conv.bias", &[8]));
    more.push(tensor(Source::TextEncoder, "vision_tower.vision_model.post_layernorm.weight", &[4]));
    let report = verify(&wanted(), &demo_in_memory(&more).unwrap(), Some(&demo()));
    assert!(report.is_good(), "{report}");
    let text = report.to_string();
    assert!(text.contains("  not needed: audio encoder in the checkpoint, 2 tensors, 20.75 kB\n"), "{text}");
    assert!(text.contains("  not needed: vision tower in the text encoder, 1 tensor, 8 B\n"), "{text}");
}

#[test]
fn every_missing_and_misshapen_tensor_is_listed() {
    let mut want = wanted();
    let missing = want.iter().filter(|w| w.tensor.contains("audio_attn1")).count();
    let files = {
        let there: Vec<Wanted> = want.iter().filter(|w| !w.tensor.contains("audio_attn1")).cloned().collect();
        demo_in_memory(&there).unwrap()
    };
    let patchify = want.iter_mut().find(|w| w.tensor.ends_with(".patchify_proj.weight")).unwrap();
    patchify.shape = vec![256, 64];
    let report = verify(&want, &files, Some(&demo()));
    assert_eq!(report.problems.len(), missing + 1);
    assert_eq!(report.exit_code(), EXIT_MODEL_FILES);
    let (few, all) = (report.text(false), report.text(true));
    assert!(
        few.starts_with(&format!("the model files do not fit this plan: {} problems\n", missing + 1)),
        "{few}"
    );
    assert!(few.contains(&format!("… and {} more missing tensors", missing - 3)), "{few}");
    assert!(few.contains("patchify_proj.weight has shape [256, 128], [256, 64] wanted"), "{few}");
    assert!(few.contains("help: give the whole checkpoint, or every file"), "{few}");
    assert_eq!(all.lines().filter(|line| line.contains("audio_attn1")).count(), missing);
}

#[test]
fn a_component_that_has_a_file_of_its_own_is_asked_for() {
    let want = wanted();
    let there: Vec<Wanted> = want.iter().filter(|w| !w.tensor.starts_with("vae.")).cloned().collect();
    let text = verify(&want, &demo_in_memory(&there).unwrap(), Some(&demo())).to_string();
    assert!(
        text.contains("help: other files have what is missing") && text.contains("--model DIR"),
        "{text}"
    );
    assert!(!text.contains("split into"), "{text}");
}

#[test]
fn a_cut_file_is_said_to_be_cut_and_its_tensors_are_not_called_missing() {
    let folder = tempfile::tempdir().unwrap();
    let paths = on_disk(folder.path());
    let checkpoint = fs::read(&paths.checkpoint[0]).unwrap();
    fs::write(&paths.checkpoint[0], &checkpoint[..checkpoint.len() - 1000]).unwrap();
    fs::remove_file(paths.text_encoder.join("tokenizer.json")).unwrap();
    let report = verify(&wanted(), &ModelFiles::open(&paths), Some(&demo()));
    let text = report.to_string();
    assert_eq!(report.problems.len(), 2, "{text}");
    let (have, want) = (checkpoint.len() - 1000, checkpoint.len());
    assert!(text.contains(&format!("truncated: {want} bytes wanted, {have} found")), "{text}");
    assert!(text.contains("tokenizer.json: cannot be read"), "{text}");
}

#[test]
fn an_upscaler_that_is_not_given_is_one_problem() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ModelPaths { upscaler: None, ..on_disk(folder.path()) };
    let report = verify(&wanted(), &ModelFiles::open(&paths), Some(&demo()));
    assert_eq!(report.problems, [Problem::NotGiven { source: Source::SpatialUpscaler }]);
    let single_stage: Vec<Wanted> =
        wanted().into_iter().filter(|w| w.source != Source::SpatialUpscaler).collect();
    assert!(verify(&single_stage, &ModelFiles::open(&paths), Some(&demo())).is_good());
}

#[test]
fn another_size_of_gemma_is_called_by_its_name() {
    let want: Vec<Wanted> =
        documented::tensors(&ltx_2_3_22b()).into_iter().filter(|w| w.source == Source::TextEncoder).collect();
    let files = named(
        Source::TextEncoder,
        &[
            ("model.language_model.embed_tokens.weight", FileDtype::Bf16, &[2, 2560]),
            ("model.language_model.layers.33.input_layernorm.weight", FileDtype::Bf16, &[2560]),
        ],
    );
    let report = verify(&want, &files, None);
    let (found, wanted) =
        (LanguageModel { hidden: 2560, layers: 34 }, LanguageModel { hidden: 3840, layers: 48 });
    assert!(report.problems.contains(&Problem::LanguageModel { found, wanted }));
    let text = report.to_string();
    let said = "the text encoder is Gemma 3 4B (width 2560, 34 layers), this plan is for Gemma 3 12B (width 3840, 48 layers)";
    assert!(text.contains(said), "{text}");
    assert!(text.contains("help: use the folder of google/gemma-3-12b-it-qat-q4_0-unquantized"), "{text}");
}

/// A tensor of each part of a text encoder, as three kinds of files call them.
const PARTS: [[&str; 3]; 3] = [
    [
        "language_model.model.embed_tokens.weight",
        "vision_tower.vision_model.post_layernorm.bias",
        "multi_modal_projector.mm_soft_emb_norm.weight",
    ],
    [
        "model.language_model.embed_tokens.weight",
        "model.vision_tower.vision_model.post_layernorm.bias",
        "model.multi_modal_projector.mm_soft_emb_norm.weight",
    ],
    [
        "model.embed_tokens.weight",
        "vision_model.post_layernorm.bias",
        "multi_modal_projector.mm_soft_emb_norm.weight",
    ],
];

#[test]
fn a_text_encoder_that_sees_nothing_is_one_problem() {
    let want = PARTS[0].map(|name| tensor(Source::TextEncoder, name, &[2, 2]));
    for names in PARTS {
        let there = names.map(|name| (name, FileDtype::Bf16, [2usize, 2]));
        let of = |count: usize| {
            let there: Vec<_> =
                there[..count].iter().map(|(name, dtype, shape)| (*name, *dtype, &shape[..])).collect();
            verify(&want, &named(Source::TextEncoder, &there), None)
        };
        assert!(of(3).is_good(), "{names:?}: {}", of(3));
        let report = of(1);
        assert_eq!(report.problems, [Problem::NoVision], "{names:?}");
        let text = report.to_string();
        assert!(
            text.contains("the text encoder has no vision tower, and this plan shows it images"),
            "{text}"
        );
        assert!(text.contains("help: give Gemma's folder as it was published"), "{text}");
        // A part of it is a broken download.
        assert!(matches!(of(2).problems[..], [Problem::Missing { .. }]), "{}", of(2));
    }
}

/// What a config says of images is a matter of plans that show some.
#[test]
fn the_vision_towers_settings_count_where_it_is_read() {
    let mut other = demo();
    other.gemma.vision = demo().gemma.vision.map(|vision| Vision { norm_eps: 0.5, ..vision });
    let tower = tensor(Source::TextEncoder, "vision_tower.vision_model.post_layernorm.bias", &[144]);
    let seeing = [wanted(), vec![tower]].concat();
    let files = demo_in_memory(&seeing).unwrap();
    assert!(verify(&wanted(), &files, Some(&other)).is_good());
    let message =
        "Gemma's config.json: vision_config.layer_norm_eps is 1e-6, 0.5 wanted (this plan is for demo)";
    assert_eq!(
        verify(&seeing, &files, Some(&other)).problems,
        [Problem::Config { message: message.to_string() }]
    );
}

#[test]
fn another_generation_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let paths = on_disk(folder.path());
    let metadata = [("model_version", "2.5.0"), ("config", TEXTS.checkpoint.unwrap())];
    fs::write(&paths.checkpoint[0], write_tensors(&metadata, &[])).unwrap();
    let text = verify(&wanted(), &ModelFiles::open(&paths), Some(&demo())).to_string();
    assert!(text.contains("model_version is 2.5.0: this checkpoint is LTX-2.5, LTX-2.3 wanted"), "{text}");
}

#[test]
fn settings_that_no_shape_shows_count_too() {
    let mut other = demo();
    other.transformer.theta = 500.0;
    other.gemma.rope_factor = 4.0;
    let report = verify(&wanted(), &demo_in_memory(&wanted()).unwrap(), Some(&other));
    let lines = [
        "transformer.positional_embedding_theta is 10000.0, 500.0 wanted (this plan is for demo)",
        "Gemma's config.json: text_config.rope_scaling.factor is 8.0, 4.0 wanted (this plan is for demo)",
    ];
    let config = |message: &str| Problem::Config { message: message.to_string() };
    assert_eq!(report.problems, lines.map(config));
}

#[test]
fn what_a_file_is_instead_is_said() {
    let name = "model.diffusion_model.transformer_blocks.0.attn1.to_q.weight";
    let want = [tensor(Source::Checkpoint, name, &[2, 2])];
    let said = |name, dtype, shape| {
        let files = named(Source::Checkpoint, &[(name, dtype, shape)]);
        verify(&want, &files, None).to_string()
    };
    let bytes = said(name, FileDtype::I8, &[2, 2]);
    assert!(
        bytes.contains("given.safetensors: ") && bytes.contains("is I8, BF16, F16 or F32 wanted"),
        "{bytes}"
    );
    let lora =
        said("diffusion_model.transformer_blocks.0.attn1.to_q.lora_A.weight", FileDtype::Bf16, &[2, 2]);
    assert!(lora.contains("help: this is a LoRA"), "{lora}");
}
