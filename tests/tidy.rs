//! The rules of the house, checked: what imports what, how long files are, where unsafe code lives.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The only files with unsafe code, each with the reason for every block.
const UNSAFE: [&str; 12] = [
    "runtime/src/map.rs",
    "runtime/src/cuda/driver/mod.rs",
    "runtime/src/cuda/driver/memory.rs",
    "runtime/src/cuda/driver/stream.rs",
    "runtime/src/cuda/driver/graph.rs",
    "runtime/src/cuda/driver/tensor_map.rs",
    "kernels/src/eval/product/gemm.rs",
    "kernels/src/cuda/nvrtc.rs",
    "kernels/examples/cpu_speed.rs",
    "src/lost_pages.rs",
    "src/media/quiet.rs",
    "tests/cuda/standin.rs",
];

/// Which of our crates a crate may name in its sources.
const IMPORTS: [(&str, &[&str]); 5] = [
    ("encodings/src", &[]),
    ("model-spec/src", &["zoetrope_encodings", "zoetrope_model_spec"]),
    ("kernels/src", &["zoetrope_encodings", "zoetrope_model_spec::lang"]),
    ("runtime/src", &["zoetrope_encodings", "zoetrope_kernels", "zoetrope_model_spec::lang"]),
    ("compiler/src", &["zoetrope_kernels", "zoetrope_model_spec", "zoetrope_runtime"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if entry.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&entry, out);
        } else if [".rs", ".cu", ".cuh", ".h"].iter().any(|ending| name.ends_with(ending)) {
            out.push(entry);
        }
    }
}

/// All sources: path from the root, and text.
fn all() -> Vec<(String, String)> {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
        (name, fs::read_to_string(&path).unwrap())
    };
    files.into_iter().map(read).collect()
}

#[test]
fn files_hold_one_thing() {
    for (name, text) in all() {
        let lines = text.lines().count();
        assert!(lines <= 450, "{name} has {lines} lines; a file holds one thing and stays under about 400");
        let rust = name.ends_with(".rs");
        let documented =
            if rust { text.starts_with("//!") || text.starts_with("#![") } else { text.starts_with("// ") };
        assert!(documented, "{name} does not begin by saying what lives there");
    }
}

#[test]
fn unsafe_code_lives_in_few_files() {
    for (name, text) in all().into_iter().filter(|(name, _)| name.ends_with(".rs")) {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let block = ["unsafe {", "unsafe impl", "unsafe fn"].iter().any(|word| code.contains(word));
            if block && !name.starts_with("tests/tidy") {
                assert!(UNSAFE.contains(&name.as_str()), "{name}:{} has unsafe code", i + 1);
                let reason = lines[i.saturating_sub(12)..=i]
                    .iter()
                    .any(|l| l.contains("SAFETY") || l.contains("# Safety"));
                assert!(reason, "{name}:{} has an unsafe block without a reason", i + 1);
            }
        }
    }
}

#[test]
fn crates_import_in_one_direction() {
    for (name, text) in all() {
        let Some((_, allowed)) = IMPORTS.iter().find(|(folder, _)| name.starts_with(folder)) else {
            continue;
        };
        for (i, line) in text.lines().enumerate().filter(|_| name.ends_with(".rs")) {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(at) = code.find("zoetrope_") {
                let fine = allowed.iter().any(|a| code[at..].starts_with(a));
                assert!(fine, "{name}:{} imports what its crate must not: {}", i + 1, line.trim());
            }
        }
    }
}

#[test]
fn every_preset_is_a_feature_of_both_manifests() {
    let manifests =
        ["Cargo.toml", "generated/Cargo.toml"].map(|m| fs::read_to_string(root().join(m)).unwrap());
    for (name, _) in zoetrope_model_spec::target::PRESETS {
        for manifest in &manifests {
            assert!(manifest.lines().any(|l| l.starts_with(&format!("{name} = "))), "{name} is no feature");
        }
    }
}

/// Macros that print panic where nobody can read, and a panic loses the run.
#[test]
fn one_file_prints() {
    for (name, text) in all().into_iter().filter(|(name, _)| name.starts_with("src/")) {
        for word in ["print!(", "println!(", "dbg!("] {
            assert!(!text.contains(word), "{name} has {word}: use src/terminal.rs");
        }
        let streams = ["io::stdout()", "io::stderr()"].iter().any(|stream| text.contains(stream));
        let may = ["src/terminal.rs", "src/output/mod.rs"].contains(&name.as_str());
        assert!(may || !streams, "{name} writes to a stream: use src/terminal.rs");
    }
}

#[test]
fn nothing_is_left_unfinished() {
    let words = ["todo!(", "unimplemented!(", "TODO", "FIXME", "XXX"];
    for (name, text) in all().into_iter().filter(|(name, _)| name != "tests/tidy.rs") {
        for word in words {
            assert!(!text.contains(word), "{name} has {word}");
        }
    }
}

/// Build scripts and the program share most crates: with other features or settings on either side they would be compiled
/// twice.
#[test]
fn crates_are_compiled_once() {
    for profile in ["dev", "release"] {
        let args = ["build", "-p", "zoetrope", "--offline", "--locked", "--profile", profile];
        // What Cargo is going to compile it tells as an unstable feature alone.
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(args).args(["--unit-graph", "-Zunstable-options"]).env("RUSTC_BOOTSTRAP", "1");
        let output = cargo.current_dir(root()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let graph: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut seen = BTreeMap::new();
        for unit in graph["units"].as_array().unwrap() {
            let library = unit["target"]["kind"][0].as_str().is_some_and(|kind| kind.contains("lib"));
            if unit["mode"] == "build" && library {
                let (id, how) = (&unit["pkg_id"], (&unit["features"], &unit["profile"]));
                let other = seen.insert(id.to_string(), how);
                assert!(
                    other.is_none(),
                    "{profile}: {id} is compiled as {how:?} and as {other:?}: Cargo.toml"
                );
            }
        }
        assert!(seen.len() > 50);
    }
}
