//! Compiles the plan of every enabled `res-*` feature and writes it as Rust into Cargo's output directory, with its code
//! for NVIDIA cards, and the machine code of every enabled `sm-*` feature where NVRTC is found.
//!
//! `ZOETROPE_TARGET` names the target file of `res-custom`, or a folder of such files; a relative path counts from the
//! repository root.
//! `ZOETROPE_VRAM` is the memory of the card, such as 24GiB, of every target that names none.
//! `ZOETROPE_TOGETHER` is the memory of the card that all plans of a model share in one run.
//! `ZOETROPE_WEIGHTS` is what matrices stay in, such as q8_0, in every target that says nothing of it.
//! `ZOETROPE_PREVIEW=1` gives all of them previews.
//! `ZOETROPE_ENHANCE=1` gives all of them room to enhance a prompt, `ZOETROPE_ENHANCE=image` one that has an image, too.
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

use zoetrope_compiler::frontend::{compile_target, footprints, load_target};
use zoetrope_model_spec::ltx::decode::VideoDecoder;
use zoetrope_model_spec::ltx::enhance::Enhance;
use zoetrope_model_spec::target::{MAX_KEYFRAMES, PRESETS, Target, parse_vram, parse_weights};
use zoetrope_runtime::plan::Plan;

/// The memory of a small card, in bytes: 12 GiB.
const SMALL_CARD: u64 = 12 << 30;

fn main() {
    println!("cargo::rerun-if-env-changed=ZOETROPE_TARGET");
    println!("cargo::rerun-if-env-changed=ZOETROPE_VRAM");
    println!("cargo::rerun-if-env-changed=ZOETROPE_TOGETHER");
    println!("cargo::rerun-if-env-changed=ZOETROPE_WEIGHTS");
    println!("cargo::rerun-if-env-changed=ZOETROPE_PREVIEW");
    println!("cargo::rerun-if-env-changed=ZOETROPE_ENHANCE");
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
        targets.extend(custom()?);
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
        Ok("" | "0") | Err(_) => {}
        Ok(text) => {
            let decoder = if text == "1" { Some(VideoDecoder::Vae) } else { VideoDecoder::named(text) };
            let decoder = decoder.ok_or_else(|| {
                let names: Vec<_> = VideoDecoder::all().map(VideoDecoder::name).collect();
                format!("ZOETROPE_PREVIEW is {text:?}; wanted 1, one of {}, or nothing", names.join(", "))
            })?;
            targets.iter_mut().for_each(|(target, _)| target.preview = Some(decoder));
        }
    }
    match env::var("ZOETROPE_ENHANCE").as_deref() {
        Ok("" | "0") | Err(_) => {}
        Ok(text @ ("1" | "image")) => {
            for (target, _) in &mut targets {
                let room = target.enhance.unwrap_or_default();
                target.enhance = Some(Enhance { image: room.image || text == "image", ..room });
            }
        }
        Ok(other) => return Err(format!("ZOETROPE_ENHANCE is {other:?}; wanted 1, image, or nothing")),
    }
    if let Ok(text) = env::var("ZOETROPE_KEYFRAMES") {
        let count: usize = text.parse().ok().filter(|count| *count <= MAX_KEYFRAMES).ok_or_else(|| {
            format!("ZOETROPE_KEYFRAMES is {text:?}; wanted a number from 0 to {MAX_KEYFRAMES}")
        })?;
        targets.iter_mut().for_each(|(target, _)| target.recipe.with_keyframes(count));
    }
    let mut list = String::new();
    let mut compiled = Vec::with_capacity(targets.len());
    let mut machine_code = MachineCode::default();
    for (target, folder) in &targets {
        let name = target.name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let (module, tables) = (format!("{name}.rs"), format!("{name}.tables"));
        let mut plan = compile_target(target, folder).map_err(|e| e.to_string())?;
        // Where all of it fits on the smallest cards, nobody asks what weights in another encoding would take.
        if plan.peak_bytes + plan.facts.reserve_bytes > SMALL_CARD {
            plan.facts.footprints = footprints(target, folder).map_err(|e| e.to_string())?.into();
        }
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
        compiled.push(plan);
    }
    let together = match env::var("ZOETROPE_TOGETHER") {
        Ok(text) => Some(parse_vram(&text).map_err(|problem| format!("ZOETROPE_TOGETHER: {problem}"))?),
        Err(_) => None,
    };
    list += &suites(&compiled, together, out)?;
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

/// Writes the suites of the plans; returns the Rust that includes them.
fn suites(plans: &[Plan], vram: Option<u64>, out: &Path) -> Result<String, String> {
    let plans: Vec<&Plan> = plans.iter().collect();
    let (mut list, mut names) = (String::new(), Vec::new());
    for (i, suite) in zoetrope_compiler::suites(&plans, vram).map_err(|e| e.to_string())?.iter().enumerate() {
        let rust = zoetrope_compiler::emit::emit_suite(suite).map_err(|e| e.to_string())?;
        let module = format!("suite-{i}.rs");
        fs::write(out.join(&module), rust).map_err(|e| format!("cannot write {module}: {e}"))?;
        list += &format!("mod suite_{i} {{ include!(concat!(env!(\"OUT_DIR\"), \"/{module}\")); }}\n");
        names.push(format!("&suite_{i}::SUITE"));
    }
    let doc = "/// The suites of the plans in this binary: those of one model that are not alone with it.";
    Ok(format!("{list}{doc}\npub static SUITES: &[&Suite] = &[{}];\n", names.join(", ")))
}

/// Whether a variable of the environment is 1.
fn enabled(feature: &str) -> bool {
    env::var_os(format!("CARGO_FEATURE_{}", feature.to_uppercase().replace('-', "_"))).is_some()
}

/// The targets of a file, or of all files in a folder, each with the folder that its paths count from.
fn custom() -> Result<Vec<(Target, PathBuf)>, String> {
    let Some(path) = env::var_os("ZOETROPE_TARGET") else {
        return Err("the feature res-custom wants a target file\n  help  set ZOETROPE_TARGET=my.toml (docs/targets.md)".to_string());
    };
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let root = manifest.parent().unwrap_or(&manifest);
    let path = root.join(path);
    println!("cargo::rerun-if-changed={}", path.display());
    let mut files = vec![path.clone()];
    if path.is_dir() {
        let unread = |e: std::io::Error| format!("cannot read {}: {e}", path.display());
        let entries = fs::read_dir(&path).map_err(unread)?.map(|entry| entry.map(|entry| entry.path()));
        files = entries.collect::<Result<_, _>>().map_err(unread)?;
        files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
        files.sort();
        if files.is_empty() {
            return Err(format!("{} holds no target file\n  want  files that end in .toml", path.display()));
        }
    }
    let load = |file: &PathBuf| {
        println!("cargo::rerun-if-changed={}", file.display());
        let target = load_target(file).map_err(|e| e.to_string())?;
        Ok((target, file.parent().unwrap_or(root).to_path_buf()))
    };
    files.iter().map(load).collect()
}
