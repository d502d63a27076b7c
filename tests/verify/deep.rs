//! Weights that cannot be: numbers that are none, and zeros of a download that stopped.

use std::fs;
use std::path::Path;

use zoetrope::model_check::{EXIT_MODEL_FILES, Problem, Sums, compare, deepen, verify};
use zoetrope::model_files::ModelFiles;
use zoetrope_model_spec::ltx::demo::demo;
use zoetrope_runtime::files::{FileDtype, NewTensor, TensorFile, write_tensors};
use zoetrope_runtime::plan::Source;

use crate::kinds::written;
use crate::{on_disk, tensor, wanted};

/// Writes what `change` makes of every tensor's bytes.
pub fn rewrite(from: &Path, to: &Path, change: impl Fn(&str, &mut Vec<u8>)) {
    let whole = TensorFile::open(from).unwrap();
    let bytes: Vec<Vec<u8>> = whole
        .iter()
        .map(|tensor| {
            let mut bytes = tensor.bytes.to_vec();
            change(tensor.name, &mut bytes);
            bytes
        })
        .collect();
    let tensors: Vec<NewTensor<'_>> = whole
        .iter()
        .zip(&bytes)
        .map(|(t, bytes)| NewTensor { name: t.name, dtype: t.dtype, shape: t.shape, bytes })
        .collect();
    let metadata: Vec<(&str, &str)> =
        whole.metadata().iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
    fs::write(to, write_tensors(&metadata, &tensors)).unwrap();
}

#[test]
fn deep_finds_what_headers_do_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let paths = on_disk(folder.path());
    let file = &paths.checkpoint[0];
    let good = fs::read(file).unwrap();
    let deep = || {
        let files = ModelFiles::open(&paths);
        let mut report = verify(&wanted(), &files, Some(&demo()));
        assert!(report.is_good(), "{report}");
        deepen(&mut report, &wanted(), &files);
        report
    };
    let report = deep();
    assert!(report.is_good() && report.read_bytes > 1_000_000, "{report}");
    assert!(report.text(true).contains("mean-of-means is all zeros"), "vectors may be: {report}");

    let (nan, zero, bias) = ("proj_out.weight", "patchify_proj.weight", "patchify_proj.bias");
    let broken = folder.path().join("broken");
    rewrite(file, &broken, |name, bytes| match name.strip_prefix("model.diffusion_model.") {
        Some(part) if part == nan => bytes[..6].copy_from_slice(&[0xc0, 0x7f, 0x80, 0x7f, 0x80, 0xff]),
        Some(part) if part == zero || part == bias => bytes.fill(0),
        _ => {}
    });
    fs::rename(&broken, file).unwrap();
    let report = deep();
    let text = report.text(true);
    assert_eq!((report.problems.len(), report.exit_code()), (2, EXIT_MODEL_FILES), "{text}");
    let words = [
        "proj_out.weight has 1 values that are no numbers and 2 infinite ones",
        "model.diffusion_model.patchify_proj.weight is all zeros",
        "note: checkpoint: ",
        "patchify_proj.bias is all zeros",
    ];
    words.iter().for_each(|words| assert!(text.contains(words), "{words}: {text}"));

    // A download for which space was set aside.
    let half = good.len() / 2;
    fs::write(file, [&good[..half], &vec![0; good.len() - half]].concat()).unwrap();
    let report = deep();
    let text = report.to_string();
    assert!(matches!(report.problems.as_slice(), [Problem::ZeroEnd { .. }]), "{text}");
    assert!(text.contains("are zeros, from ") && text.contains("help: download the file again"), "{text}");
}

#[test]
fn codes_are_decoded_and_sums_compared() {
    let name = "model.diffusion_model.transformer_blocks.0.attn1.to_q.weight";
    let parts = vec![(name.to_string(), FileDtype::F8E4M3, vec![2, 2], vec![0x38, 0x7f, 0xff, 0x38])];
    let files = ModelFiles::of(vec![written(&[], &parts)], Vec::new(), Vec::new());
    let want = [tensor(Source::Checkpoint, name, &[2, 2])];
    let mut report = verify(&want, &files, None);
    assert!(report.is_good(), "{report}");
    deepen(&mut report, &want, &files);
    assert!(report.to_string().contains("to_q.weight has 2 values that are no numbers"), "{report}");

    let compared = |sum: &str| {
        let mut report = verify(&want, &files, None);
        compare(&mut report, &Sums::parse(&format!("{sum}  some/given.safetensors")).unwrap(), &files);
        report
    };
    let other = compared(&"0".repeat(64));
    assert_eq!(other.exit_code(), EXIT_MODEL_FILES);
    let text = other.to_string();
    let (_, sum) = text.split_once("its SHA-256 sum is ").unwrap();
    assert!(compared(&sum[..64]).is_good(), "{text}");
}
