//! GGUF files: a transformer's and Gemma's, with blocks whose values are known.

use zoetrope::model_files::{ModelFiles, ModelPaths, Wanted};
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::{FileDtype, TensorFile};
use zoetrope_runtime::plan::Source;

/// A tensor: name, extents with the slowest first, number of its type, bytes.
type Part = (String, Vec<u64>, u32, Vec<u8>);

/// A value of the metadata.
enum Value<'a> {
    Text(&'a str),
    Texts(&'a [&'a str]),
    Floats(Vec<f32>),
    Ints(Vec<i32>),
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn gguf(metadata: &[(&str, Value<'_>)], parts: &[Part]) -> TensorFile {
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend((parts.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    let array = |out: &mut Vec<u8>, kind: u32, count: usize| {
        out.extend(9u32.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend((count as u64).to_le_bytes());
    };
    for (key, value) in metadata {
        text(&mut out, key);
        match value {
            Value::Text(value) => {
                out.extend(8u32.to_le_bytes());
                text(&mut out, value);
            }
            Value::Texts(values) => {
                array(&mut out, 8, values.len());
                values.iter().for_each(|value| text(&mut out, value));
            }
            Value::Floats(values) => {
                array(&mut out, 6, values.len());
                out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
            Value::Ints(values) => {
                array(&mut out, 5, values.len());
                out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
        }
    }
    let mut data = Vec::new();
    for (name, shape, id, bytes) in parts {
        text(&mut out, name);
        out.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(id.to_le_bytes());
        out.extend((data.len() as u64).to_le_bytes());
        data.extend(bytes);
        data.resize(data.len().next_multiple_of(32), 0);
    }
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend(data);
    TensorFile::from_bytes("given.gguf", out).unwrap()
}

fn values(files: &ModelFiles, source: Source, name: &str) -> Vec<f32> {
    let tensor = files.tensor(source, name).unwrap_or_else(|| panic!("{name}: {:?}", files.unreadable));
    let mut bytes = vec![0; tensor.elements() * 4];
    tensor.read_into(FileDtype::F32, &mut bytes).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Q8_0 of 32 counted values, d = 0.5.
fn q8_0(from: i8) -> Vec<u8> {
    let codes = (0..32).map(|i| (from + i) as u8);
    [0x00, 0x38].into_iter().chain(codes).collect()
}

fn counted(from: i8) -> Vec<f32> {
    (0..32).map(|i| f32::from(from + i) * 0.5).collect()
}

#[test]
fn a_transformer_with_a_prefix_or_without() {
    for (prefix, architecture) in [("", Some("ltxv")), ("model.diffusion_model.", Some("pig")), ("", None)] {
        let name = |name: &str| format!("{prefix}transformer_blocks.0.{name}");
        let shape = Value::Ints(vec![4, 16]);
        let key = format!("comfy.gguf.orig_shape.{}", name("folded.weight"));
        let mut metadata = vec![(key.as_str(), shape)];
        metadata.extend(architecture.map(|said| ("general.architecture", Value::Text(said))));
        let parts = [
            (name("a.weight"), vec![2, 32], 8, [q8_0(0), q8_0(-32)].concat()),
            (name("folded.weight"), vec![2, 32], 8, [q8_0(0), q8_0(-32)].concat()),
            (name("bias"), vec![2], 30, vec![0x80, 0x3f, 0, 0x40]),
        ];
        let files = ModelFiles::of(vec![gguf(&metadata, &parts)], Vec::new(), Vec::new());
        assert!(files.unreadable.is_empty(), "{:?}", files.unreadable);
        let official = |name: &str| format!("model.diffusion_model.transformer_blocks.0.{name}");
        let both = [counted(0), counted(-32)].concat();
        assert_eq!(values(&files, Source::Checkpoint, &official("a.weight")), both);
        assert_eq!(values(&files, Source::Checkpoint, &official("bias")), [1.0, 2.0]);
        assert_eq!(values(&files, Source::Checkpoint, &official("folded.weight")), both);
        let folded = files.tensor(Source::Checkpoint, &official("folded.weight"));
        assert_eq!(folded.unwrap().shape, [4, 16]);
    }
}

#[test]
fn another_architecture_is_refused() {
    let said = |architecture, source| {
        let file = vec![gguf(&[("general.architecture", Value::Text(architecture))], &[])];
        let files = match source {
            Source::Checkpoint => ModelFiles::of(file, Vec::new(), Vec::new()),
            _ => ModelFiles::of(Vec::new(), file, Vec::new()),
        };
        files.unreadable.iter().map(|file| file.message.clone()).collect::<String>()
    };
    assert!(said("wan", Source::Checkpoint).contains("general.architecture is wan, ltxv wanted"));
    assert!(said("llama", Source::TextEncoder).contains("general.architecture is llama, gemma3 wanted"));
    assert_eq!(said("gemma3", Source::TextEncoder), "");
}

#[test]
fn gemma_has_its_names_norms_and_tokenizer() {
    let tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "a", "b", "ab", "\u{2581}"];
    let metadata = [
        ("general.architecture", Value::Text("gemma3")),
        ("tokenizer.ggml.model", Value::Text("llama")),
        ("tokenizer.ggml.tokens", Value::Texts(&tokens)),
        ("tokenizer.ggml.scores", Value::Floats((0..8).map(|i| -(i as f32)).collect())),
        ("tokenizer.ggml.token_type", Value::Ints(vec![3, 3, 3, 2, 1, 1, 1, 1])),
    ];
    let ones: Vec<u8> = [1.0f32, 3.5].iter().flat_map(|value| value.to_le_bytes()).collect();
    let parts = [
        ("token_embd.weight".to_string(), vec![8, 32], 8, (0..8).flat_map(q8_0).collect()),
        ("output.weight".to_string(), vec![2], 0, ones.clone()),
        ("blk.0.attn_q_norm.weight".to_string(), vec![2], 0, ones),
        ("blk.0.attn_q.weight".to_string(), vec![1, 32], 8, q8_0(5)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gemma.gguf");
    std::fs::write(&path, gguf(&metadata, &parts).contents()).unwrap();
    let paths = ModelPaths { text_encoder: path, ..ModelPaths::default() };
    let mut files = ModelFiles::open(&paths);
    assert!(files.unreadable.is_empty(), "{:?}", files.unreadable);
    let names: Vec<&str> = files.text_encoder.iter().map(|(name, _)| name).collect();
    let model = "language_model.model.";
    let [table, norm, q] =
        ["embed_tokens.weight", "layers.0.self_attn.q_norm.weight", "layers.0.self_attn.q_proj.weight"]
            .map(|name| format!("{model}{name}"));
    assert_eq!(names, [&table, &norm, &q], "and no output: it is the table");
    assert_eq!(values(&files, Source::TextEncoder, &norm), [0.0, 2.5]);
    assert_eq!(values(&files, Source::TextEncoder, &q), counted(5));
    // Rows behind those of the tokenizer are not stored.
    let rows = |rows| Wanted {
        source: Source::TextEncoder,
        tensor: table.clone(),
        shape: vec![rows, 32],
        kept: None,
    };
    files.fit(&[rows(10)]);
    assert_eq!(files.tensor(Source::TextEncoder, &table).unwrap().shape, [10, 32]);
    let stored: Vec<f32> = (0..8).flat_map(counted).collect();
    assert_eq!(values(&files, Source::TextEncoder, &table), [stored, vec![0.0; 64]].concat());
    let encoded = files.tokenizer().unwrap().encode("a ab").unwrap();
    assert_eq!(encoded.input_ids[1024 - 5..], [0, 2, 4, 7, 6]);
}
