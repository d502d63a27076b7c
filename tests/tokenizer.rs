//! The tokenizer against token numbers that the official code made, and against files that somebody broke.

use std::collections::BTreeMap;
use std::mem::discriminant;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use zoetrope::demo::TOKENIZER;
use zoetrope::tokenize::Tokenizer;
use zoetrope_runtime::files::{FileDtype, TensorFile};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gamma").join(name)
}

fn fixture_json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

/// The official code's tokens of every prompt.
fn gives_the_official_tokens(tokenizer: &Tokenizer) {
    let golden = TensorFile::open(&fixture("tokenizer.safetensors")).unwrap();
    let integers = |name: &str| {
        let tensor = golden.get(name).unwrap();
        assert_eq!(tensor.dtype, FileDtype::I32);
        tensor
            .bytes
            .chunks_exact(4)
            .map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect::<Vec<i32>>()
    };
    let prompts = fixture_json("prompts.json");
    let prompts = prompts.as_array().unwrap();
    for (i, prompt) in prompts.iter().enumerate() {
        let encoded = tokenizer.encode(prompt.as_str().unwrap()).unwrap();
        assert_eq!(encoded.input_ids.to_vec(), integers(&format!("p{i}.input_ids")), "prompt {i}");
        assert_eq!(encoded.attention_mask.to_vec(), integers(&format!("p{i}.attention_mask")), "prompt {i}");
    }
    assert_eq!(prompts.len(), 7);
}

/// The text of the small model's `tokenizer.json`.
fn small() -> String {
    fixture_json("weights.json")["texts"]["gemma-3-tiny/tokenizer.json"].as_str().unwrap().to_string()
}

#[test]
fn prompts_become_the_official_tokens() {
    gives_the_official_tokens(&Tokenizer::from_bytes(small().as_bytes()).unwrap());
}

/// A field of protocol buffers whose value is bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = [bytes.len() as u8 & 0x7f | 0x80, (bytes.len() >> 7) as u8];
    [&[number << 3 | 2], &length[..], bytes].concat()
}

/// The same tokenizer as a list of pieces with scores: what is joined first scores highest.
#[test]
fn a_model_file_of_sentencepiece_gives_the_same() {
    let json: Value = serde_json::from_str(&small()).unwrap();
    let mut pieces: BTreeMap<u64, String> = json["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(t, id)| (id.as_u64().unwrap(), t.clone()))
        .collect();
    let mut kinds = BTreeMap::new();
    for token in json["added_tokens"].as_array().unwrap() {
        let text = token["content"].as_str().unwrap().to_string();
        // Runs of spaces are made by joining.
        if !text.chars().all(|c| c == '\u{2581}') {
            kinds.insert(text.clone(), if token["special"] == true { 3 } else { 4 });
        }
        pieces.insert(token["id"].as_u64().unwrap(), text);
    }
    let mut scores = BTreeMap::new();
    for (rank, pair) in json["model"]["merges"].as_array().unwrap().iter().enumerate() {
        let joined = format!("{}{}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
        scores.entry(joined).or_insert(-(rank as f32));
    }
    let mut bytes = Vec::new();
    for text in pieces.values() {
        let byte = text.len() == 6 && text.starts_with("<0x");
        let kind = if text == "<unk>" { 2 } else { *kinds.get(text).unwrap_or(&if byte { 6 } else { 1 }) };
        let score = scores.get(text).copied().unwrap_or(-1e6f32);
        let piece = [&field(1, text.as_bytes())[..], &[0x15], &score.to_le_bytes(), &[0x18, kind]].concat();
        bytes.extend(field(1, &piece));
    }
    let tokenizer = Tokenizer::from_model_file("spiece_model", &bytes).unwrap();
    assert_eq!(u64::from(tokenizer.largest_id()), *pieces.keys().last().unwrap());
    gives_the_official_tokens(&tokenizer);
    let error = Tokenizer::from_model_file("spiece_model", &bytes[..100]).unwrap_err().to_string();
    assert!(error.contains("the tokenizer in spiece_model is not readable"), "{error}");
}

/// Small random numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

/// Every pointer into a document, but for one entry in hundred of the long lists.
fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(map) => {
            map.iter().map(|(key, inner)| (key.replace('~', "~0").replace('/', "~1"), inner)).collect()
        }
        Value::Array(list) => list.iter().enumerate().map(|(i, inner)| (i.to_string(), inner)).collect(),
        _ => Vec::new(),
    };
    let step = if inner.len() > 50 { 100 } else { 1 };
    inner.into_iter().step_by(step).for_each(|(key, inner)| pointers(inner, format!("{at}/{key}"), all));
    all.push(at);
}

#[test]
fn broken_tokenizers_are_read_or_refused() {
    let original: Value = serde_json::from_str(TOKENIZER).unwrap();
    let mut all = Vec::new();
    pointers(&original, String::new(), &mut all);
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1e300),
        json!(4294967296u64),
        json!(""),
        json!("a"),
        json!("\u{2581}"),
        json!([]),
        json!({}),
        json!([[]]),
        json!({ "type": "Sequence" }),
        json!({ "String": "" }),
        json!({ "Regex": "(" }),
        json!({ "Regex": "(a*)*$" }),
        json!({ "type": "Precompiled", "precompiled_charsmap": "AA" }),
        json!({ "type": "Sequence", "normalizers": [{ "type": "Replace", "pattern": { "Regex": "" }, "content": "" }] }),
        json!({ "type": "ByteLevel" }),
        json!({ "type": "Unigram", "vocab": [] }),
        json!({ "Sequence": { "id": "B", "type_id": 0 } }),
        json!({ "SpecialToken": { "id": "<none>", "type_id": 0 } }),
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    for case in 0..400 {
        let mut changed = original.clone();
        let place = changed.pointer_mut(&all[random.below(all.len())]).unwrap();
        // Half of them keep the kind, so that the library gets to see some.
        let same = |value: &&Value| case % 2 == 1 || discriminant(*value) == discriminant(place);
        let fitting: Vec<&Value> = values.iter().filter(same).collect();
        *place = fitting.get(random.below(fitting.len())).map_or(Value::Null, |value| (*value).clone());
        let mut bytes = changed.to_string().into_bytes();
        // And the text itself: a bracket, a quote, a comma more or less.
        for _ in 0..case % 5 / 3 {
            let at = random.below(bytes.len());
            let marks: Vec<usize> =
                (at..bytes.len()).filter(|i| b"[]{}\",:".contains(&bytes[*i])).take(1).collect();
            match (marks.first(), random.below(2)) {
                (Some(&mark), 0) => drop(bytes.remove(mark)),
                _ => bytes.insert(at, b"[]{}\",:"[random.below(7)]),
            }
        }
        if let Ok(tokenizer) = Tokenizer::from_bytes(&bytes) {
            accepted += 1;
            // A text or an error, and every number has its row.
            if let Ok(encoded) = tokenizer.encode("a red  ball, \u{e9}\u{1f600}") {
                let largest = tokenizer.largest_id() as i32;
                assert!(encoded.input_ids.iter().all(|id| (0..=largest).contains(id)));
            }
        }
    }
    assert!(accepted > 20, "only {accepted} were read");
}
