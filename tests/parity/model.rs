//! The small model's files, and phases run on them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use zoetrope::device::Device;
use zoetrope::eval::Phase;
use zoetrope::tensors::{Named, Tensor, Values};
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::dimensions;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::{Tensor as FileTensor, TensorSet};
use zoetrope_runtime::plan::Source;
use zoetrope_test_support::golden::Case;
use zoetrope_test_support::tensor;

/// The opened files.
pub struct Model {
    pub checkpoint: TensorSet,
    text_encoder: TensorSet,
    upscaler: TensorSet,
}

pub fn folder() -> PathBuf {
    zoetrope_test_support::recipe::gamma_models_in(env!("CARGO_TARGET_TMPDIR"))
}

/// The upscaler of runs in two stages.
const UPSCALER: &str = "ltx-2.3-tiny-spatial-upscaler-x2.safetensors";

impl Model {
    pub fn open() -> Model {
        Model::with_upscaler(UPSCALER)
    }

    /// With another upscaler.
    pub fn with_upscaler(upscaler: &str) -> Model {
        let open =
            |name: &str| TensorSet::open(&[folder().join(name)], &[]).expect("the recipe's files open");
        Model {
            checkpoint: open("ltx-2.3-tiny.safetensors"),
            text_encoder: open("gemma-3-tiny"),
            upscaler: open(upscaler),
        }
    }
}

impl Weights for Model {
    fn tensor(&self, source: Source, name: &str) -> Option<FileTensor<'_>> {
        match source {
            Source::Checkpoint | Source::Merged(_) => self.checkpoint.get(name),
            Source::TextEncoder => self.text_encoder.get(name),
            upscaler if upscaler.is_upscaler() => self.upscaler.get(name),
            _ => None,
        }
    }
}

/// A target on the small model; `fields` are lines of a target file.
pub fn target(fields: &str) -> Target {
    target_with(fields, UPSCALER)
}

/// A target with another upscaler.
pub fn target_with(fields: &str, upscaler: &str) -> Target {
    let text = format!(
        "{fields}\nmodel = {{ checkpoint = \"ltx-2.3-tiny.safetensors\", text_encoder = \"gemma-3-tiny\", \
         spatial_upscaler = \"{upscaler}\" }}\n"
    );
    Target::parse("gamma", &text).expect("a legal target")
}

/// Runs a phase on named inputs.
pub fn eval(target: &Target, phase: &str, inputs: &Named, taps: &[&str]) -> Named {
    let phase = compiled(target, phase, taps);
    phase.run(Device::Cpu, &Model::open(), inputs, 1).expect("the phase runs").outputs
}

/// A phase with inner values that are asked for.
pub fn compiled(target: &Target, phase: &str, taps: &[&str]) -> Phase {
    let model = dimensions(target, &folder()).expect("the files describe a model");
    let taps: Vec<String> = taps.iter().map(|t| (*t).to_string()).collect();
    Phase::compile(target, &model, phase, &taps, Options::default()).expect("the phase compiles")
}

/// A case's tensor as an input.
pub fn input(case: &Case, name: &str) -> Tensor {
    let t = case.tensor(name);
    let values = match &t.values {
        tensor::Values::F32(v) => Values::Real(v.clone()),
        tensor::Values::I64(v) => Values::Int(v.iter().map(|i| *i as i32).collect()),
    };
    Tensor { shape: t.shape.clone(), values }
}

/// One sample of a batch.
pub fn sample(t: &Tensor, i: usize) -> Tensor {
    let len = t.elements() / t.shape[0];
    Tensor::real(&[&[1], &t.shape[1..]].concat(), t.reals()[i * len..(i + 1) * len].to_vec())
}

/// Outputs under the names of a case.
pub fn renamed(outputs: &Named, names: &[(&str, &str)]) -> BTreeMap<String, tensor::Tensor> {
    names
        .iter()
        .map(|(ours, theirs)| {
            let t = &outputs[*ours];
            ((*theirs).to_string(), tensor::Tensor::f32(&t.shape, t.reals()))
        })
        .collect()
}
