//! The tiny decoders against PyTorch (tests/reference/tiny_decoder.py).

use std::path::Path;

use zoetrope::device::Device;
use zoetrope::eval::Phase;
use zoetrope::model_files::{ModelFiles, tensors_of};
use zoetrope::tensors::{Named, Tensor};
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::dimensions;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::files::{FileDtype, NewTensor, TensorFile, write_tensors};
use zoetrope_test_support::golden::rel_l2;
use zoetrope_test_support::tensor::load_tensors;

/// Numbers in -1..1: SplitMix64 of the FNV-1a hash of the name, and the place.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f32> + use<> {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    (1..=count as u64).map(move |i| {
        let mut z = hash.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 40) as i64 - (1 << 23)) as f32 / (1 << 23) as f32
    })
}

/// A file of the decoder under its published names, with what the phase reads.
fn file(kind: &str, phase: &Phase) -> ModelFiles {
    let wanted = tensors_of(&phase.plan);
    let made: Vec<(String, Vec<usize>, Vec<u8>)> = wanted
        .iter()
        .map(|wanted| {
            let name = wanted.tensor.strip_prefix("tiny_vae.").expect("a tensor of the tiny decoder");
            let count = wanted.shape.iter().product();
            let inputs: usize = wanted.shape[1..].iter().product();
            let (scale, add) = match name {
                "decoder.22.bias" => (0.125, 0.5),
                _ if name.ends_with(".bias") => (0.125, 0.0),
                _ => ((3.0 / inputs as f64).sqrt() as f32, 0.0),
            };
            let values = uniform(&format!("{kind}/{name}"), count).map(|x| x * scale + add);
            (name.to_string(), wanted.shape.clone(), values.flat_map(f32::to_le_bytes).collect())
        })
        .collect();
    let tensors: Vec<NewTensor<'_>> = made
        .iter()
        .map(|(name, shape, bytes)| NewTensor { name, dtype: FileDtype::F32, shape, bytes })
        .collect();
    let file = TensorFile::from_bytes("tiny.safetensors", write_tensors(&[], &tensors)).unwrap();
    ModelFiles::of(vec![file], Vec::new(), Vec::new())
}

fn decodes(kind: &str, dtype: &str, tolerance: f64) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny/tiny_decoders.safetensors");
    let golden = load_tensors(&path).unwrap();
    let text = format!(
        "width = 64\nheight = 32\nframes = 9\nfps = 24\npipeline = \"distilled-single-stage\"\ndtype = \"{dtype}\"\n\
         model = \"ltx-2.3-22b\"\ndecoder = \"{kind}\""
    );
    let target = Target::parse("tiny", &text).unwrap();
    let model = dimensions(&target, Path::new("")).unwrap();
    let phase = Phase::compile(&target, &model, "video-decode", &[], Options::default()).unwrap();
    let files = file(kind, &phase);
    let latent = &golden["in.latent"];
    let inputs =
        Named::from([("v.latent".to_string(), Tensor::real(&latent.shape, latent.as_f32().to_vec()))]);
    let out = phase.run(Device::Cpu, &files, &inputs, 1).unwrap().outputs;
    let want = &golden[&format!("{kind}.video")];
    assert_eq!(out["video"].shape, want.shape);
    let error = rel_l2(&out["video"].reals(), want.as_f32());
    println!("{kind} {dtype}: {error:.1e} ({tolerance:.0e} allowed)");
    assert!(error <= tolerance, "{kind} {dtype}: {error:.1e}");
}

#[test]
fn tiny_decoder() {
    decodes("tiny", "f32", 1e-5);
    decodes("tiny", "bf16", 2.5e-2);
}

/// Ten times the work.
#[test]
fn wide_tiny_decoder() {
    if zoetrope_test_support::asks_for_long("the wide tiny decoder") {
        decodes("tiny-wide", "f32", 1e-5);
        decodes("tiny-wide", "bf16", 2.5e-2);
    }
}
