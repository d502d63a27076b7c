//! Compiles the plan of every enabled `res-*` feature and writes it as Rust into Cargo's output directory, with its code
//! for NVIDIA cards, and the machine code of every enabled `sm-*` feature where NVRTC is found.
//!
//! `ZOETROPE_TARGET` names the target file of `res-custom`; a relative path counts from the repository root.
//! `ZOETROPE_VRAM` is the memory of the card, such as 24GiB, of every target that names none.
//! `ZOETROPE_WEIGHTS` is what matrices stay in, such as q8_0, in every target that says nothing of it.
//! `ZOETROPE_PREVIEW=1` gives all of them previews.
//! `ZOETROPE_KEYFRAMES` gives all of them room for so many keyframes.
//! `ZOETROPE_EMIT_DIR` names a folder that gets a readable copy.

#[cfg(feature = "machine-code")]
mod machine_code;
#[cfg(not(feature = "machine-code"))]
#[path = "no_machine_code.rs"]
mod machine_code;

use std::path::{Path, PathBuf};
use std::{env, fs};

use machine_code::MachineCode;

use zoetrope_compiler::frontend::{compile_target, load_target};
use zoetrope_model_spec::target::{MAX_KEYFRAMES, PRESETS, Target, parse_vram, parse_weights};

fn main() {
    println!("cargo::rerun-if-env-changed=ZOETROPE_TARGET");
    println!("cargo::rerun-if-env-changed=ZOETROPE_VRAM");
    println!("cargo::rerun-if-env-changed=ZOETROPE_WEIGHTS");
    println!("cargo::rerun-if-env-changed=ZOETROPE_PREVIEW");
    println!("cargo::rerun-if-env-changed=ZOETROPE_KEYFRAMES");
    println!("cargo::rerun-if-env-changed=ZOETROPE_EMIT_DIR");
    zoetrope_kernels::threads::start();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    if let Err(message) = run(&out) {
        // Cargo shows these lines and fails the build.
        message.lines().for_each(|line| println!("cargo::error={line}"));
    }
}

fn run(out: &Path) -> Result<(), String> {
    let mut targets: Vec<(Target, PathBuf)> = Vec::new();
    for (name, _) in PRESETS.iter().filter(|(name, _)| enabled(name)) {
        targets.push((Target::preset(name).ok_or("a preset has a row")?, PathBuf::new()));
    }
    if enabled("res-custom") {
        targets.push(custom()?);
    }
    if let Ok(text) = env::var("ZOETROPE_VRAM") {
        let vram = parse_vram(&text).map_err(|problem| format!("ZOETROPE_VRAM: {problem}"))?;
        targets.iter_mut().for_each(|(target, _)| target.vram = target.vram.or(Some(vram)));
    }
    if let Ok(text) = env::var("ZOETROPE_WEIGHTS") {
        let kept = parse_weights(&text).map_err(|problem| format!("ZOETROPE_WEIGHTS: {problem}"))?;
        targets.iter_mut().for_each(|(target, _)| target.weights = target.weights.or(Some(kept)));
    }
    match env::var("ZOETROPE_PREVIEW").as_deref() {
        Ok("1") => targets.iter_mut().for_each(|(target, _)| target.preview = true),
        Ok("" | "0") | Err(_) => {}
        Ok(other) => return Err(format!("ZOETROPE_PREVIEW is {other:?}; wanted 1, or nothing")),
    }
    if let Ok(text) = env::var("ZOETROPE_KEYFRAMES") {
        let count: usize = text.parse().ok().filter(|count| *count <= MAX_KEYFRAMES).ok_or_else(|| {
            format!("ZOETROPE_KEYFRAMES is {text:?}; wanted a number from 0 to {MAX_KEYFRAMES}")
        })?;
        targets.iter_mut().for_each(|(target, _)| target.recipe.with_keyframes(count));
    }
    let mut list = String::new();
    let mut machine_code = MachineCode::default();
    for (target, folder) in &targets {
        let name = target.name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let (module, tables) = (format!("{name}.rs"), format!("{name}.tables"));
        let plan = compile_target(target, folder).map_err(|e| e.to_string())?;
        let emitted = zoetrope_compiler::emit::emit(&plan, &tables).map_err(|e| e.to_string())?;
        for folder in [Some(out.to_path_buf()), env::var_os("ZOETROPE_EMIT_DIR").map(PathBuf::from)]
            .into_iter()
            .flatten()
        {
            let write = |name: &str, bytes: &[u8]| {
                let path = folder.join(name);
                fs::write(&path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))
            };
            write(&module, emitted.rust.as_bytes())?;
            write(&tables, &emitted.tables)?;
        }
        list += &machine_code.add(&plan, &name, out)?;
        let ident = format!("plan_{}", name.to_lowercase());
        list += &format!("mod {ident} {{ include!(concat!(env!(\"OUT_DIR\"), \"/{module}\")); }}\n");
    }
    let plans: Vec<_> = targets
        .iter()
        .map(|(t, _)| {
            format!(
                "&plan_{}::PLAN",
                t.name.replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_lowercase()
            )
        })
        .collect();
    list +=
        &format!("/// The plans in this binary.\npub static PLANS: &[&Plan] = &[{}];\n", plans.join(", "));
    list += &machine_code.write(out)?;
    fs::write(out.join("plans.rs"), list).map_err(|e| e.to_string())
}

fn enabled(feature: &str) -> bool {
    env::var_os(format!("CARGO_FEATURE_{}", feature.to_uppercase().replace('-', "_"))).is_some()
}

fn custom() -> Result<(Target, PathBuf), String> {
    let Some(path) = env::var_os("ZOETROPE_TARGET") else {
        return Err("the feature res-custom wants a target file\n  help  set ZOETROPE_TARGET=my.toml (docs/targets.md)".to_string());
    };
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let root = manifest.parent().unwrap_or(&manifest);
    let path = root.join(path);
    println!("cargo::rerun-if-changed={}", path.display());
    let target = load_target(&path).map_err(|e| e.to_string())?;
    Ok((target, path.parent().unwrap_or(root).to_path_buf()))
}
