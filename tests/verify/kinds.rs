//! Kinds of model files: each way to say how a weight is stored, with codes whose values are known.

use zoetrope::model_files::ModelFiles;
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::{FileDtype, NewTensor, TensorFile, write_tensors};
use zoetrope_runtime::plan::Source;

use FileDtype::{Bf16, F8E4M3, F8E5M2, F8E8M0, F32, I8, U8};

const PREFIX: &str = "model.diffusion_model.";
const MODULE: &str = "transformer_blocks.0.attn1.to_q";
const ROWS: usize = 130;
const COLUMNS: usize = 64;

/// Tensors of a file: name, type, shape, bytes.
pub type Parts = Vec<(String, FileDtype, Vec<usize>, Vec<u8>)>;

pub fn written(metadata: &[(&str, &str)], parts: &Parts) -> TensorFile {
    let tensors: Vec<NewTensor<'_>> = parts
        .iter()
        .map(|(name, dtype, shape, bytes)| NewTensor { name, dtype: *dtype, shape, bytes })
        .collect();
    TensorFile::from_bytes("given.safetensors", write_tensors(metadata, &tensors)).unwrap()
}

fn checkpoint(metadata: &[(&str, &str)], parts: &Parts) -> ModelFiles {
    ModelFiles::of(vec![written(metadata, parts)], Vec::new(), Vec::new())
}

fn values(files: &ModelFiles, source: Source, name: &str) -> Vec<f32> {
    let tensor = files.tensor(source, name).unwrap_or_else(|| panic!("{name}: {:?}", files.unreadable));
    let mut bytes = vec![0; tensor.elements() * 4];
    tensor.read_into(F32, &mut bytes).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// E4M3 codes of 1, 1.5, 2, … and what they are.
const CODES: [(u8, f32); 5] = [(0x38, 1.0), (0x3c, 1.5), (0x40, 2.0), (0xc0, -2.0), (0x01, 0.001_953_125)];

fn code(i: usize) -> (u8, f32) {
    CODES[i % 5]
}

fn codes() -> Vec<u8> {
    (0..ROWS * COLUMNS).map(|i| code(i).0).collect()
}

/// A quantised weight and what stands beside it, under a prefix.
fn layer(
    prefix: &str,
    dtype: FileDtype,
    codes: Vec<u8>,
    beside: Vec<(&str, FileDtype, Vec<usize>, Vec<u8>)>,
) -> Parts {
    let columns = codes.len() / ROWS;
    let mut parts = vec![(format!("{prefix}{MODULE}.weight"), dtype, vec![ROWS, columns], codes)];
    for (what, dtype, shape, bytes) in beside {
        parts.push((format!("{prefix}{MODULE}.{what}"), dtype, shape, bytes));
    }
    parts
}

fn marker(text: &str) -> (&'static str, FileDtype, Vec<usize>, Vec<u8>) {
    ("comfy_quant", U8, vec![text.len()], text.as_bytes().to_vec())
}

fn scalar(what: &'static str, value: f32) -> (&'static str, FileDtype, Vec<usize>, Vec<u8>) {
    (what, F32, Vec::new(), floats(&[value]))
}

#[track_caller]
fn weight_is(files: &ModelFiles, want: impl Fn(usize, usize) -> f32) {
    assert!(files.unreadable.is_empty(), "{:?}", files.unreadable);
    let got = values(files, Source::Checkpoint, &format!("{PREFIX}{MODULE}.weight"));
    for (i, got) in got.iter().enumerate() {
        assert_eq!(*got, want(i / COLUMNS, i % COLUMNS), "element {i}");
    }
    let names: Vec<&str> = files.checkpoint.iter().map(|(name, _)| name).collect();
    assert_eq!(names, [format!("{PREFIX}{MODULE}.weight")], "scales and markers are no weights");
}

#[test]
fn fp8_says_so_in_five_ways() {
    let e4m3 = |row: usize, column: usize| code(row * COLUMNS + column).1;
    for prefix in ["", PREFIX] {
        let scaled = |beside| layer(prefix, F8E4M3, codes(), beside);
        // In a tensor beside it, with a scale of one element.
        let one = ("weight_scale", F32, vec![1], floats(&[0.5]));
        let parts = scaled(vec![one, marker(r#"{"format": "float8_e4m3fn", "per_row": 1}"#)]);
        weight_is(&checkpoint(&[], &parts), |r, c| e4m3(r, c) * 0.5);
        // In the metadata, with the prefix or without, whatever the names have.
        for listed in [MODULE.to_string(), format!("{PREFIX}{MODULE}")] {
            for value in [r#"{"format": "float8_e4m3fn"}"#, r#""float8_e4m3fn""#] {
                let text = format!(r#"{{"format_version": "1.0", "layers": {{"{listed}": {value}}}}}"#);
                let parts = scaled(vec![scalar("weight_scale", 0.25), scalar("input_scale", 2.0)]);
                let files = checkpoint(&[("_quantization_metadata", &text)], &parts);
                weight_is(&files, |r, c| e4m3(r, c) * 0.25);
                assert!(files.notes[0].contains("1 scales of inputs (input_scale) are not used"));
            }
        }
        // By older names, with a mark for the whole file.
        let mut parts = scaled(vec![scalar("scale_weight", 3.0), scalar("scale_input", 1.0)]);
        parts.push((format!("{prefix}scaled_fp8"), F8E4M3, vec![2], vec![0, 0]));
        weight_is(&checkpoint(&[], &parts), |r, c| e4m3(r, c) * 3.0);
        // By what is there, and by nothing.
        weight_is(&checkpoint(&[], &scaled(vec![scalar("weight_scale", 0.5)])), |r, c| e4m3(r, c) * 0.5);
        weight_is(&checkpoint(&[], &scaled(Vec::new())), e4m3);
        // For each row, and for blocks of 65 x 32.
        let rows: Vec<f32> = (0..ROWS).map(|row| 1.0 + row as f32).collect();
        let parts = scaled(vec![("weight_scale", F32, vec![ROWS, 1], floats(&rows))]);
        weight_is(&checkpoint(&[], &parts), |r, c| e4m3(r, c) * rows[r]);
        let parts = scaled(vec![("weight_scale", F32, vec![2, 2], floats(&[1.0, 2.0, 4.0, 8.0]))]);
        weight_is(&checkpoint(&[], &parts), |r, c| e4m3(r, c) * [[1.0, 2.0], [4.0, 8.0]][r / 65][c / 32]);
    }
    let parts = layer("", F8E5M2, vec![0x3e; ROWS * COLUMNS], vec![scalar("weight_scale", 2.0)]);
    weight_is(&checkpoint(&[], &parts), |_, _| 3.0);
}

#[test]
fn a_bias_and_a_table_may_be_fp8_too() {
    let name = "transformer_blocks.0.attn1.to_q.bias";
    let parts = vec![(name.to_string(), F8E4M3, vec![2], vec![0x38, 0xc0])];
    assert_eq!(values(&checkpoint(&[], &parts), Source::Checkpoint, &format!("{PREFIX}{name}")), [1.0, -2.0]);
    let table = "model.embed_tokens";
    let mut parts = vec![(format!("{table}.weight"), F8E4M3, vec![2, 1], vec![0x38, 0x40])];
    let encoder = |parts: &Parts| ModelFiles::of(Vec::new(), vec![written(&[], parts)], Vec::new());
    let official = "language_model.model.embed_tokens.weight";
    assert_eq!(values(&encoder(&parts), Source::TextEncoder, official), [1.0, 2.0]);
    let text = r#"{"format": "float8_e4m3fn"}"#;
    parts.push((format!("{table}.comfy_quant"), U8, vec![text.len()], text.as_bytes().to_vec()));
    assert_eq!(values(&encoder(&parts), Source::TextEncoder, official), [1.0, 2.0]);
    parts.push((format!("{table}.weight_scale"), F32, vec![1], floats(&[4.0])));
    assert_eq!(values(&encoder(&parts), Source::TextEncoder, official), [4.0, 8.0]);
}

#[test]
fn int8_has_a_scale_for_the_tensor_or_for_rows_and_may_be_rotated() {
    let codes: Vec<u8> = (0..ROWS * COLUMNS).map(|i| (i % 11) as u8).collect();
    let value = |r: usize, c: usize| ((r * COLUMNS + c) % 11) as f32;
    let int8 = |text: &str, scale| layer("", I8, codes.clone(), vec![marker(text), scale]);
    let plain = r#"{"format": "int8_tensorwise"}"#;
    weight_is(&checkpoint(&[], &int8(plain, scalar("weight_scale", 0.5))), |r, c| value(r, c) * 0.5);
    let rows: Vec<f32> = (0..ROWS).map(|row| 1.0 + row as f32).collect();
    for shape in [vec![ROWS], vec![ROWS, 1]] {
        let parts = int8(plain, ("weight_scale", F32, shape, floats(&rows)));
        weight_is(&checkpoint(&[], &parts), |r, c| value(r, c) * rows[r]);
    }
    // Four columns together: each becomes half of the sum of all, less the opposite one.
    let four = |r: usize, c: usize| {
        let first = c / 4 * 4;
        let sum: f32 = (0..4).map(|i| value(r, first + i)).sum();
        (sum - 2.0 * value(r, first + 3 - c % 4)) / 2.0
    };
    for text in [
        r#"{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 4}"#,
        r#"{"format": "int8_tensorwise", "params": {"convrot": true, "convrot_groupsize": 4}}"#,
    ] {
        weight_is(&checkpoint(&[], &int8(text, scalar("weight_scale", 1.0))), four);
    }
}

/// Where the scale of a block lies, written as the document has it.
fn tile(r: usize, c: usize, columns: usize) -> usize {
    let padded = columns.div_ceil(4) * 4;
    ((r / 128) * (padded / 4) + c / 4) * 512 + (r % 32) * 16 + (r % 128) / 32 * 4 + c % 4
}

fn tiles(columns: usize, scale: impl Fn(usize, usize) -> u8) -> (Vec<usize>, Vec<u8>) {
    let shape = vec![ROWS.div_ceil(128) * 128, columns.div_ceil(4) * 4];
    let mut bytes = vec![0; shape[0] * shape[1]];
    (0..ROWS).for_each(|r| (0..columns).for_each(|c| bytes[tile(r, c, columns)] = scale(r, c)));
    (shape, bytes)
}

#[test]
fn mxfp8_and_nvfp4_have_scales_in_tiles() {
    let power = |r: usize, c: usize| 120 + ((r + 3 * c) % 10) as u8;
    for dtype in [F8E8M0, U8] {
        let (shape, bytes) = tiles(COLUMNS / 32, power);
        let beside = vec![("weight_scale", dtype, shape, bytes), marker(r#"{"format": "mxfp8"}"#)];
        let parts = layer(PREFIX, F8E4M3, codes(), beside);
        weight_is(&checkpoint(&[], &parts), |r, c| {
            code(r * COLUMNS + c).1 * 2f32.powi(i32::from(power(r, c / 32)) - 127)
        });
    }
    const E2M1: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    let nibble = |i: usize| i % 16;
    let pairs: Vec<u8> =
        (0..ROWS * COLUMNS / 2).map(|j| (nibble(2 * j) << 4 | nibble(2 * j + 1)) as u8).collect();
    let scale = |r: usize, c: usize| code(r + c);
    let (shape, bytes) = tiles(COLUMNS / 16, |r, c| scale(r, c).0);
    let factors: Vec<u8> =
        (0..COLUMNS).flat_map(|c| if c == 5 { [0x40, 0x40] } else { [0x80, 0x3f] }).collect();
    for (dtype, marked, pre) in [(F8E4M3, false, false), (U8, true, false), (F8E4M3, true, true)] {
        let mut beside =
            vec![("weight_scale", dtype, shape.clone(), bytes.clone()), scalar("weight_scale_2", 0.5)];
        beside.extend(marked.then(|| marker(r#"{"format": "nvfp4"}"#)));
        beside.extend(pre.then(|| ("pre_quant_scale", Bf16, vec![COLUMNS], factors.clone())));
        let files = checkpoint(&[], &layer(PREFIX, U8, pairs.clone(), beside));
        weight_is(&files, |r, c| {
            let i = nibble(r * COLUMNS + c);
            let sign = if i < 8 { 1.0 } else { -1.0 };
            let factor = if pre && c == 5 { 3.0 } else { 1.0 };
            sign * E2M1[i % 8] * (0.5 * scale(r, c / 16).1) * factor
        });
    }
}

/// What the error of a broken layer names.
#[test]
fn broken_layers_are_named() {
    let said = |parts: &Parts, words: &[&str]| {
        let files = checkpoint(&[], parts);
        let text: Vec<&str> = files.unreadable.iter().map(|file| file.message.as_str()).collect();
        assert_eq!(text.len(), 1, "{text:?}");
        for word in words {
            assert!(text[0].contains(word), "{word}: {text:?}");
        }
    };
    let scale = format!("{PREFIX}{MODULE}.weight_scale");
    let fp8 = |beside| layer(PREFIX, F8E4M3, codes(), beside);
    let e4m3 = || marker(r#"{"format": "float8_e4m3fn"}"#);
    said(&fp8(vec![e4m3()]), &[&scale, "missing", "float8_e4m3fn"]);
    let three = ("weight_scale", F32, vec![3], floats(&[1.0; 3]));
    said(&fp8(vec![e4m3(), three]), &[&scale, "[3]", "one value"]);
    for (value, word) in [(f32::NAN, "nan"), (f32::INFINITY, "inf"), (0.0, "0.0"), (-0.01, "-0.01")] {
        said(&fp8(vec![e4m3(), scalar("weight_scale", value)]), &[&scale, word]);
    }
    let other = vec![marker(r#"{"format": "int8_tensorwise"}"#), scalar("weight_scale", 1.0)];
    said(&fp8(other), &["int8_tensorwise", "I8", "F8_E4M3"]);
    said(&fp8(vec![marker(r#"{"format": "float3_dream"}"#)]), &["float3_dream", "known formats"]);
    said(&fp8(vec![marker("no")]), &["comfy_quant", "JSON"]);
    said(&fp8(vec![marker(r#"{"format": "awq_w4a16"}"#)]), &["awq_w4a16", "not read"]);
    let lonely = vec![(format!("{MODULE}.comfy_quant"), U8, vec![2], b"{}".to_vec())];
    said(&lonely, &[".weight is missing"]);
    let (shape, bytes) = tiles(2, |_, _| 127);
    let mxfp8 = |dtype, shape, bytes| {
        fp8(vec![marker(r#"{"format": "mxfp8"}"#), ("weight_scale", dtype, shape, bytes)])
    };
    said(&mxfp8(I8, shape, bytes), &[&scale, "I8", "F8_E8M0"]);
    said(&mxfp8(U8, vec![256, 1], vec![0; 256]), &[&scale, "[256, 1]", "[256, 4]"]);
    let int8 = |text: &str, beside| layer("", I8, vec![1; ROWS * COLUMNS], vec![marker(text), beside]);
    for (group, word) in [("96", "power of 4"), ("256", "64")] {
        let text =
            format!(r#"{{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": {group}}}"#);
        said(&int8(&text, scalar("weight_scale", 1.0)), &["convrot_groupsize", group, word]);
    }
    let half = layer("", U8, vec![0; ROWS * COLUMNS / 2], vec![scalar("weight_scale_2", 1.0)]);
    said(&half, &["weight_scale is missing", "nvfp4"]);
    let torchao = vec![("a.weight.torchao_nvfp4".to_string(), U8, vec![1], vec![0])];
    said(&torchao, &["torchao", "not read"]);
    // A scale of zero is right where all codes are zero.
    let zero = layer("", F8E4M3, vec![0x80; ROWS * COLUMNS], vec![scalar("weight_scale", 0.0)]);
    weight_is(&checkpoint(&[], &zero), |_, _| 0.0);
}

/// Any change of a file with quantised layers is refused in words, or read.
#[test]
fn changed_bytes_are_no_panic() {
    let seed = include_bytes!("../../fuzz/seeds/quantised/small.safetensors");
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut read = 0;
    for round in 0..500 {
        let mut bytes = seed.to_vec();
        for _ in 0..round % 4 {
            let at = random(bytes.len());
            bytes[at] = random(256) as u8;
        }
        let Ok(file) = TensorFile::from_bytes("m", bytes) else { continue };
        let files = ModelFiles::of(vec![file], Vec::new(), Vec::new());
        for (_, tensor) in files.checkpoint.iter().filter(|(_, tensor)| tensor.reads_as(F32)) {
            read += usize::from(tensor.read_into(F32, &mut vec![0; tensor.elements() * 4]).is_ok());
        }
    }
    assert!(read > 500, "{read}");
}
