//! Reading tensor files that somebody else wrote, broke, or cut.

use std::collections::HashMap;
use std::path::Path;

use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use zoetrope_runtime::files::{
    FileDtype, FileError, HeaderError, Index, NewTensor, TensorFile, write_tensors,
};

/// A file of a header text and so many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 7);
    bytes
}

fn problem(bytes: Vec<u8>) -> HeaderError {
    match TensorFile::from_bytes("m.safetensors", bytes) {
        Err(FileError::Header { problem, .. }) => problem,
        Err(other) => panic!("{other}"),
        Ok(file) => panic!("accepted: {:?}", file.iter().collect::<Vec<_>>()),
    }
}

const TWO: &str = r#"{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[3,1],"data_offsets":[8,14]},"s":{"dtype":"F32","shape":[],"data_offsets":[14,18]},"n":{"dtype":"F32","shape":[0,4],"data_offsets":[18,18]}}"#;

#[test]
fn reads_names_types_shapes_and_bytes() {
    let file = TensorFile::from_bytes("m", file(TWO, 18)).unwrap();
    let all: Vec<_> = file.iter().map(|t| (t.name, t.dtype, t.shape.to_vec(), t.bytes.len())).collect();
    assert_eq!(
        all,
        [
            ("a", FileDtype::F32, vec![2], 8),
            ("b", FileDtype::Bf16, vec![3, 1], 6),
            ("n", FileDtype::F32, vec![0, 4], 0),
            ("s", FileDtype::F32, vec![], 4),
        ]
    );
    assert_eq!(file.metadata().get("k").map(String::as_str), Some("v"));
    assert!(file.get("c").is_none());
}

#[test]
fn every_kind_of_damage_has_its_message() {
    let with = |from: &str, to: &str| file(&TWO.replace(from, to), 18);
    let said = |bytes| problem(bytes).to_string();
    assert_eq!(
        said(vec![1, 2]),
        "truncated: 8 bytes wanted for the header, 2 found (download the file again)"
    );
    let cut = file(TWO, 18);
    let whole = cut.len();
    let found = whole - 5;
    let wanted = format!(
        "truncated: {whole} bytes wanted, {found} found, 5 bytes are missing (download the file again)"
    );
    assert_eq!(said(cut[..whole - 5].to_vec()), wanted);
    assert_eq!(
        problem(cut[..40].to_vec()),
        HeaderError::HeaderCut { expected: 8 + TWO.len() as u64, actual: 40 }
    );
    assert!(matches!(problem(file(TWO, 19)), HeaderError::Trailing { .. }));
    assert!(said(u64::MAX.to_le_bytes().to_vec()).starts_with("no safetensors file: its first 8 bytes"));
    assert!(said(Vec::new()).contains("this is an empty file"));
    assert!(said(vec![0; 100]).contains("this is a file that begins with zeros"));
    assert!(said(b"Entry not found".to_vec()).contains("this is the text \"Entry not found\""));
    assert!(said(b"an odd note\n".to_vec()).contains("this is the text \"an odd note\""));
    assert!(said(b"version https://git-lfs.github.com/spec/v1".to_vec()).contains("run `git lfs pull`"));
    assert!(said(b"<!DOCTYPE html><html>".to_vec()).contains("this is a web page"));
    assert_eq!(
        said(with("[3,1]", "[4,1]")),
        "tensor b: BF16 of shape [4, 1] has 8 bytes, but its place is 8..14"
    );
    assert!(said(with("BF16", "BF61")).contains("tensor b: unknown variant `BF61`"));
    assert!(said(with("[3,1]", "[18446744073709551615,2]")).contains("has no size in bytes"));
    assert!(
        said(with("[3,1]", "[18446744073709551616]"))
            .contains("the header is not what safetensors prescribes")
    );
    assert!(said(with("[3,1]", "[-3]")).contains("the header is not what safetensors prescribes"));
    assert!(said(with("[8,14]", "[14,8]")).contains("place is 14..8"));
    assert!(said(with("[8,14]", "[6,12]")).contains("tensors a and b overlap at byte 6"));
    assert!(said(with("[14,18]", "[15,19]")).contains("1 bytes before tensor s belong to no tensor"));
    assert!(said(with("\"b\":", "\"a\":")).contains("a stands there twice"));
    assert!(said(with("{\"k\":\"v\"}", "{\"k\":\"v\",\"k\":\"w\"}")).contains("k stands there twice"));
    assert!(said(with("\"v\"", "1")).contains("the header is not what safetensors prescribes"));
    assert!(said(file("[]", 0)).contains("it does not begin with {"));
    assert!(said(file(&format!("{{\"a\":{}", "[".repeat(100_000)), 0)).len() < 400);
    assert!(!said(with("BF16", "\\u001b[31m")).contains('\u{1b}'));
}

#[test]
fn agrees_with_the_formats_own_library() {
    let data: Vec<u8> = (0..24).collect();
    let views = HashMap::from([
        ("x.weight", TensorView::new(Dtype::BF16, vec![2, 3], &data[..12]).unwrap()),
        ("table", TensorView::new(Dtype::F32, vec![3], &data[12..]).unwrap()),
    ]);
    let metadata = HashMap::from([("config".to_string(), "{\"é\": \"\\n\"}".to_string())]);
    let theirs = safetensors::serialize(views, Some(metadata)).unwrap();
    let read = TensorFile::from_bytes("theirs", theirs).unwrap();
    assert_eq!(read.get("x.weight").unwrap().bytes, &data[..12]);
    assert_eq!(read.get("table").unwrap().shape, [3]);
    assert_eq!(read.metadata()["config"], "{\"é\": \"\\n\"}");

    let tensors = [
        NewTensor { name: "x.weight", dtype: FileDtype::Bf16, shape: &[2, 3], bytes: &data[..12] },
        NewTensor { name: "table", dtype: FileDtype::F32, shape: &[3], bytes: &data[12..] },
    ];
    let ours = write_tensors(&[("config", "{\"é\": \"\\n\"}")], &tensors);
    let read = safetensors::SafeTensors::deserialize(&ours).unwrap();
    assert_eq!(read.tensor("x.weight").unwrap().data(), &data[..12]);
    assert_eq!(read.tensor("table").unwrap().shape(), [3]);
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&ours).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["config"], "{\"é\": \"\\n\"}");
}

/// Reads everything that an accepted file offers; the format's own library accepts it, too.
fn touch(bytes: Vec<u8>) -> bool {
    let accepted = safetensors::SafeTensors::deserialize(&bytes).is_ok();
    let Ok(file) = TensorFile::from_bytes("m", bytes) else { return false };
    assert!(accepted);
    for tensor in file.iter() {
        assert_eq!(tensor.dtype.bytes_of(tensor.elements()), Some(tensor.bytes.len()));
        assert!(tensor.in_place(tensor.dtype, 1).is_some());
        let mut out = vec![0; tensor.bytes.len()];
        tensor.read_into(tensor.dtype, &mut out).unwrap();
    }
    true
}

/// A GGUF file without its magic.
const GGUF: &[u8] = include_bytes!("../../fuzz/seeds/gguf_file/small.bin");

/// Reads everything that an accepted GGUF file offers.
fn touch_gguf(bytes: Vec<u8>) -> bool {
    let Ok(file) = TensorFile::from_bytes("m", bytes) else { return false };
    for tensor in file.iter() {
        assert_eq!(tensor.dtype.bytes_of(tensor.elements()), Some(tensor.bytes.len()));
    }
    let tokens = file.gguf().and_then(|gguf| gguf.value("tokenizer.ggml.tokens")?.array());
    if let Some(tokens) = tokens {
        assert!(tokens.texts(file.contents()).count() <= tokens.len());
        assert!(tokens.integers(file.contents()).count() <= tokens.len());
    }
    true
}

#[test]
fn the_seed_of_gguf_files_is_read() {
    assert!(touch_gguf([b"GGUF", GGUF].concat()));
    let file = TensorFile::from_bytes("m", [b"GGUF", GGUF].concat()).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["t", "u"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_gguf_file_with_changed_bytes(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6), keep in 0usize..600) {
        let mut bytes = [b"GGUF", GGUF].concat();
        let length = bytes.len();
        for (at, value) in changes {
            bytes[4 + at % (length - 4)] = value;
        }
        bytes.truncate(keep.max(4));
        touch_gguf(bytes);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        touch(bytes);
    }

    #[test]
    fn a_valid_file_with_changed_bytes(changes in proptest::collection::vec((0usize..300, any::<u8>()), 1..6), keep in 0usize..400) {
        let mut bytes = file(TWO, 18);
        let length = bytes.len();
        for (at, value) in changes {
            bytes[at % length] = value;
        }
        bytes.truncate(keep);
        touch(bytes);
    }

    #[test]
    fn a_valid_header_with_changed_words(
        words in proptest::collection::vec((0usize..40, prop_oneof![
            Just("18446744073709551615".to_string()), Just("0".to_string()), Just("-1".to_string()), Just("1e3".to_string()),
            Just("null".to_string()), Just("\"a\"".to_string()), Just("[]".to_string()), Just("{".to_string()), any::<u64>().prop_map(|n| n.to_string()),
        ]), 1..4),
        data in 0usize..40,
    ) {
        let mut pieces: Vec<String> = TWO.split_inclusive([',', ':', '[', '{']).map(str::to_string).collect();
        for (at, word) in words {
            let at = at % pieces.len();
            let end = pieces[at].pop().unwrap_or_default();
            pieces[at] = format!("{word}{end}");
        }
        touch(file(&pieces.concat(), data));
    }

    #[test]
    fn a_changed_index_is_read_or_refused(changes in proptest::collection::vec((any::<usize>(), ".{0,3}"), 0..5)) {
        let mut text = r#"{"metadata":{"total_size":9},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}"#.to_string();
        for (at, with) in changes {
            let places: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
            let from = at % places.len();
            let to = (from + at % 3).min(places.len() - 1);
            text.replace_range(places[from]..places[to], &with);
        }
        if let Ok(index) = Index::parse(Path::new("m.safetensors.index.json"), &text) {
            prop_assert!(index.places.values().all(|name| name.ends_with(".safetensors") && !name.contains('/')));
        }
    }
}
