//! Adapters, merged while weights are loaded.

use std::collections::BTreeMap;

use zoetrope::adapters::{Adapters, Given, Merge};
use zoetrope::device::Device;
use zoetrope::eval::Phase;
use zoetrope::tensors::Named;
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::FileDtype;
use zoetrope_runtime::plan::Source;
use zoetrope_test_support::golden::Case;
use zoetrope_test_support::tensor;

use crate::model::{Model, compiled, folder, renamed, target};
use crate::transformer::{inputs, size};

/// One of the small model's LoRAs at a strength.
pub fn given(name: &str, strength: f32) -> Given {
    Given { path: folder().join(format!("ltx-2.3-tiny-{name}-lora.safetensors")), strength }
}

/// What the reference calls its cases, and the adapters of each.
fn cases() -> [(&'static str, Vec<Given>); 4] {
    [
        ("base", vec![given("distilled", 0.0)]),
        ("distilled_1.0", vec![given("distilled", 1.0)]),
        ("distilled_0.5", vec![given("distilled", 0.5)]),
        ("both", vec![given("distilled", 0.7), given("style", -0.4)]),
    ]
}

pub fn evaluated(phase: &Phase, adapters: &[Given], merge: Merge, inputs: &Named) -> Named {
    let model = Model::open();
    let adapters = Adapters::open(adapters, merge).unwrap();
    let weights = adapters.over(&model, &model.checkpoint, &phase.plan).unwrap();
    phase.run(Device::Cpu, &weights, inputs, 1).unwrap().outputs
}

fn velocities(dtype: &str, scale: f64, merge: Merge) {
    let case = Case::load("lora").unwrap();
    let phase = compiled(&target(&size(96, 128, 25.0, 37, 1, dtype)), "velocity", &[]);
    let inputs = inputs(&case, None);
    let mut all: BTreeMap<String, tensor::Tensor> = BTreeMap::new();
    for (name, adapters) in cases() {
        let out = evaluated(&phase, &adapters, merge, &inputs);
        let exact = if name == "base" || merge == Merge::Official { "" } else { "exact." };
        let [v, a] = ["v", "a"].map(|stream| format!("{name}.{exact}{stream}"));
        all.extend(renamed(&out, &[("v.velocity", &v), ("a.velocity", &a)]));
    }
    println!("{}", case.check(&all, scale).unwrap_or_else(|e| panic!("{e}")));
}

#[test]
fn merged_f32() {
    velocities("f32", 1.0, Merge::Exact);
    velocities("f32", 1.0, Merge::Official);
}

#[test]
fn merged_bf16() {
    velocities("bf16", 500.0, Merge::Exact);
    velocities("bf16", 500.0, Merge::Official);
}

#[test]
fn the_official_merge_has_the_official_bits() {
    let case = Case::load("lora").unwrap();
    let model = Model::open();
    let phase = compiled(&target(&size(96, 128, 25.0, 37, 1, "f32")), "velocity", &[]);
    for (name, adapters) in cases().into_iter().skip(1) {
        let adapters = Adapters::open(&adapters, Merge::Official).unwrap();
        let weights = adapters.over(&model, &model.checkpoint, &phase.plan).unwrap();
        let want = case.tensor(&format!("{name}.to_q")).as_f32();
        let merged = "model.diffusion_model.transformer_blocks.1.attn1.to_q.weight";
        let merged = weights.tensor(Source::Checkpoint, merged).unwrap();
        let read = |first: usize, elements: usize| {
            let mut bytes = vec![0; 4 * elements];
            merged.read_range(FileDtype::F32, first, &mut bytes).unwrap();
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<f32>>()
        };
        let have = read(0, want.len());
        // A sum in another order may fall on the other side of a half.
        let other = have.iter().zip(want).filter(|(have, want)| have != want).count();
        assert!(other * 100 <= want.len(), "{name}: {other} of {} differ", want.len());
        // Any part of it has the same bits.
        assert!(read(130, 300) == have[130..430]);
    }
}
