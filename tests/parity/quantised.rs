//! A quantised transformer gives the bits of one that has the decoded values.

use zoetrope::device::Device;
use zoetrope::model_files::ModelFiles;
use zoetrope::tensors::Named;
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::{FileDtype, NewTensor, TensorFile, write_tensors};
use zoetrope_runtime::plan::Source;
use zoetrope_test_support::golden::Case;

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
