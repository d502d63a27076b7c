//! A quantised transformer gives the bits of one that has the decoded values, whether they are decoded when they are loaded
//! or stay encoded.

use zoetrope::device::Device;
use zoetrope::eval::Phase;
use zoetrope::model_files::ModelFiles;
use zoetrope::tensors::Named;
use zoetrope_model_spec::lang::Kept;
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::{FileDtype, NewTensor, TensorFile, write_tensors};
use zoetrope_runtime::plan::Source;
use zoetrope_test_support::golden::{Case, rel_l2};

use crate::model::{compiled, folder, target};
use crate::transformer::{inputs, size};

const BLOCKS: &str = "model.diffusion_model.transformer_blocks.";

/// The checkpoint with the linear layers of its blocks as int8 with a scale for each row, or as what that means.
fn checkpoint(quantised: bool) -> ModelFiles {
    let whole = TensorFile::open(&folder().join("ltx-2.3-tiny.safetensors")).unwrap();
    let mut parts = Vec::new();
    for tensor in whole.iter() {
        let &[rows, columns] = tensor.shape else {
            parts.push((tensor.name.to_string(), tensor.dtype, tensor.shape.to_vec(), tensor.bytes.to_vec()));
            continue;
        };
        let linear = tensor.name.strip_prefix(BLOCKS).and_then(|name| name.strip_suffix(".weight"));
        let Some(module) = linear else {
            parts.push((tensor.name.to_string(), tensor.dtype, tensor.shape.to_vec(), tensor.bytes.to_vec()));
            continue;
        };
        let mut bytes = vec![0; rows * columns * 4];
        tensor.read_into(FileDtype::F32, &mut bytes).unwrap();
        let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let (mut codes, mut scales, mut meant) = (Vec::new(), Vec::new(), Vec::new());
        for row in values.chunks(columns) {
            let scale = row.iter().fold(1e-30f32, |most, value| most.max(value.abs())) / 127.0;
            scales.extend(scale.to_le_bytes());
            for value in row {
                let code = (value / scale).round() as i8;
                codes.push(code as u8);
                meant.extend((f32::from(code) * scale).to_le_bytes());
            }
        }
        let name = |what: &str| format!("{BLOCKS}{module}.{what}");
        if quantised {
            let marker = br#"{"format": "int8_tensorwise"}"#.to_vec();
            parts.push((name("weight"), FileDtype::I8, vec![rows, columns], codes));
            parts.push((name("weight_scale"), FileDtype::F32, vec![rows, 1], scales));
            parts.push((name("comfy_quant"), FileDtype::U8, vec![marker.len()], marker));
        } else {
            parts.push((name("weight"), FileDtype::F32, vec![rows, columns], meant));
        }
    }
    let tensors: Vec<NewTensor<'_>> = parts
        .iter()
        .map(|(name, dtype, shape, bytes)| NewTensor { name, dtype: *dtype, shape, bytes })
        .collect();
    let file = TensorFile::from_bytes("checkpoint", write_tensors(&[], &tensors)).unwrap();
    ModelFiles::of(vec![file], Vec::new(), Vec::new())
}

#[test]
fn quantised_layers_are_what_they_mean() {
    let case = Case::load("transformer_t2v").unwrap();
    let files = [true, false].map(checkpoint);
    let name = format!("{BLOCKS}0.attn1.to_q.weight");
    let computed = |files: &ModelFiles| files.tensor(Source::Checkpoint, &name).unwrap().computed.is_some();
    assert_eq!([&files[0], &files[1]].map(computed), [true, false]);
    for dtype in ["f32", "bf16"] {
        let phase = compiled(&target(&size(96, 128, 25.0, 37, 1, dtype)), "velocity", &[]);
        let inputs = inputs(&case, None);
        let run = |files: &ModelFiles| -> Named {
            phase.run(Device::Cpu, files, &inputs, 1).expect("the phase runs").outputs
        };
        let [quantised, plain] = [&files[0], &files[1]].map(run);
        for stream in ["v.velocity", "a.velocity"] {
            assert!(quantised[stream].reals() == plain[stream].reals(), "{dtype} {stream}");
        }
    }
}

/// The checkpoint with the matrices of its blocks as what they mean once they were encoded, and how many were.
fn as_kept(kept: Kept) -> (ModelFiles, usize) {
    let whole = TensorFile::open(&folder().join("ltx-2.3-tiny.safetensors")).unwrap();
    let mut encoded = 0;
    let mut parts = Vec::new();
    for tensor in whole.iter() {
        let (mut dtype, mut bytes) = (tensor.dtype, tensor.bytes.to_vec());
        let matrix = tensor.name.starts_with(BLOCKS) && tensor.name.ends_with(".weight");
        if let (true, &[rows, columns]) = (matrix, tensor.shape)
            && let Some(row) = kept.row_bytes(columns)
        {
            (dtype, bytes) = (FileDtype::F32, vec![0; rows * columns * 4]);
            tensor.read_into(FileDtype::F32, &mut bytes).unwrap();
            for values in bytes.as_chunks_mut::<4>().0.chunks_exact_mut(columns) {
                let mut row = vec![0; row];
                let mut numbers: Vec<f32> = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
                kept.encode(&numbers, &mut row);
                kept.decode(&row, &mut numbers);
                values.iter_mut().zip(numbers).for_each(|(bytes, number)| *bytes = number.to_le_bytes());
            }
            encoded += 1;
        }
        parts.push((tensor.name.to_string(), dtype, tensor.shape.to_vec(), bytes));
    }
    let tensors: Vec<NewTensor<'_>> = parts
        .iter()
        .map(|(name, dtype, shape, bytes)| NewTensor { name, dtype: *dtype, shape, bytes })
        .collect();
    let file = TensorFile::from_bytes("checkpoint", write_tensors(&[], &tensors)).unwrap();
    (ModelFiles::of(vec![file], Vec::new(), Vec::new()), encoded)
}

/// In f32 not one bit differs. A bf16 plan with plain weights rounds them once more, which one that decodes does not; the
/// plain model is as far away as codes are coarse.
#[test]
fn weights_that_stay_encoded_are_what_they_mean() {
    let case = Case::load("transformer_t2v").unwrap();
    let whole = TensorFile::open(&folder().join("ltx-2.3-tiny.safetensors")).unwrap();
    let original = ModelFiles::of(vec![whole], Vec::new(), Vec::new());
    let inputs = inputs(&case, None);
    for (kept, matrices, farthest) in [(Kept::Fp8, 68, 0.1), (Kept::Q8_0, 68, 0.02), (Kept::Q4_K, 4, 0.2)] {
        let (meant, encoded) = as_kept(kept);
        assert!(encoded >= matrices, "{kept}: {encoded}");
        for (dtype, near) in [("f32", 0.0), ("bf16", 0.03)] {
            let fields = size(96, 128, 25.0, 37, 1, dtype);
            let keeping = format!("{fields}\nweights = \"{kept}\"");
            let [keeping, plain] =
                [&keeping, &fields].map(|fields| compiled(&target(fields), "velocity", &[]));
            assert_eq!(keeping.plan.kept().into_iter().collect::<Vec<_>>(), [kept]);
            let run = |phase: &Phase, files: &ModelFiles| -> Named {
                phase.run(Device::Cpu, files, &inputs, 1).expect("the phase runs").outputs
            };
            let (kept_in, means, exact) =
                (run(&keeping, &original), run(&plain, &meant), run(&plain, &original));
            for stream in ["v.velocity", "a.velocity"] {
                let [kept_in, means, exact] = [&kept_in, &means, &exact].map(|named| named[stream].reals());
                let off = rel_l2(&kept_in, &means);
                assert!(off <= near, "{kept} {dtype} {stream}: {off}");
                let off = rel_l2(&kept_in, &exact);
                println!("{kept} {dtype} {stream}: {off:.5} from the plain model");
                assert!(off > 0.0 && off < farthest, "{kept} {dtype} {stream}: {off}");
            }
        }
    }
}
