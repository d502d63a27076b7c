//! Code and machine code: the tables of every plan's launches, and every function compiled for every enabled
//! architecture, once per content.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha2::{Digest, Sha256};
use zoetrope_compiler::emit::emit_code;
use zoetrope_compiler::{Class, select};
use zoetrope_kernels::cuda::{ARCHS, Arch, Compiler, Variant, source};
use zoetrope_kernels::threads::on_all_cores;
use zoetrope_runtime::plan::Plan;

/// What the functions of all plans are compiled from.
#[derive(Default)]
pub struct MachineCode {
    /// By architecture and symbol.
    variants: BTreeMap<(&'static str, String), Variant>,
    codes: Vec<String>,
}

/// A piece of machine code: architecture, symbol and bytes.
type Image = (&'static str, String, Vec<u8>);

impl MachineCode {
    /// Writes the code of a plan for every class of devices; returns the Rust that includes it.
    pub fn add(&mut self, plan: &Plan, name: &str, out: &Path) -> Result<String, String> {
        Class::ALL.into_iter().map(|class| self.add_class(plan, class, name, out)).collect()
    }

    fn add_class(&mut self, plan: &Plan, class: Class, name: &str, out: &Path) -> Result<String, String> {
        let selected = select(plan, class).map_err(|e| e.to_string())?;
        let name = format!("{name}.{}", class.name());
        let (module, arguments) = (format!("{name}.code.rs"), format!("{name}.arguments"));
        let emitted = emit_code(&selected.code, &arguments).map_err(|e| e.to_string())?;
        write(&out.join(&module), emitted.rust.as_bytes())?;
        write(&out.join(&arguments), &emitted.arguments)?;
        for arch in ARCHS.iter().filter(|arch| arch.class == class) {
            self.variants.extend(selected.variants.iter().map(|v| ((arch.name, v.symbol()), v.clone())));
        }
        let ident = format!("code_{}", name.to_lowercase().replace('.', "_"));
        self.codes.push(format!("&{ident}::CODE"));
        Ok(format!("mod {ident} {{ include!(concat!(env!(\"OUT_DIR\"), \"/{module}\")); }}\n"))
    }

    /// Compiles everything and writes it; returns the Rust of the lists.
    pub fn write(self, out: &Path) -> Result<String, String> {
        for name in ["ZOETROPE_CUDA", "CUDA_HOME", "CUDA_PATH"] {
            println!("cargo::rerun-if-env-changed={name}");
        }
        let images = match Compiler::find() {
            Ok(compiler) => self.compile(&compiler, &cache(out)?)?,
            Err(why) => {
                println!("cargo::warning={why}: this build runs on the CPU only (README.md, \"On a card\")");
                Vec::new()
            }
        };
        let mut blob = Vec::new();
        let mut rows = String::new();
        for (arch, symbol, cubin) in &images {
            let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
            let packed = packed.write_all(cubin).and_then(|()| packed.finish()).map_err(|e| e.to_string())?;
            let (offset, stored, bytes) = (blob.len(), packed.len(), cubin.len());
            let _ = writeln!(rows, "    image({arch:?}, {symbol:?}, {offset}, {stored}, {bytes}),");
            blob.extend(packed);
        }
        write(&out.join("machine-code"), &blob)?;
        Ok(format!(
            "/// The code of the plans in this binary.\npub static CODES: &[&Code] = &[{}];\n\
             /// Machine code, by architecture and symbol.\npub static IMAGES: &[Image] = &[\n{rows}];\n\
             static MACHINE_CODE: &[u8] = include_bytes!(concat!(env!(\"OUT_DIR\"), \"/machine-code\"));\n",
            self.codes.join(", ")
        ))
    }

    /// In order of architecture and symbol.
    fn compile(&self, compiler: &Compiler, cache: &Path) -> Result<Vec<Image>, String> {
        let enabled = |arch: &&Arch| super::enabled(&format!("sm-{}", arch.name));
        let all = ARCHS.iter().filter(enabled).flat_map(|arch| {
            let own = self.variants.iter().filter(|((name, _), _)| *name == arch.name);
            own.map(move |(_, variant)| (arch, variant))
        });
        let work = Mutex::new(all.collect::<Vec<_>>());
        let done = Mutex::new((BTreeSet::<Image>::new(), String::new()));
        let next = || work.lock().ok()?.pop();
        let turn = || {
            while let Some((arch, variant)) = next() {
                let made = one(compiler, variant, arch, cache);
                let Ok(mut done) = done.lock() else { return };
                match made {
                    Ok(cubin) => drop(done.0.insert((arch.name, variant.symbol(), cubin))),
                    Err(problem) => done.1 = problem,
                }
            }
        };
        on_all_cores(turn);
        let (images, problem) = done.into_inner().map_err(|e| e.to_string())?;
        if problem.is_empty() { Ok(images.into_iter().collect()) } else { Err(problem) }
    }
}

/// A function's machine code: from the cache where the same text was compiled before.
fn one(compiler: &Compiler, variant: &Variant, arch: &Arch, cache: &Path) -> Result<Vec<u8>, String> {
    let mut text = Sha256::new();
    text.update(compiler.identity());
    text.update(arch.name);
    text.update(source::device(variant));
    source::HEADERS.into_iter().chain(variant.cuda.source.files()).for_each(|(_, body)| text.update(body));
    let name: String = text.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let path = cache.join(name);
    if let Ok(cubin) = fs::read(&path) {
        return Ok(cubin);
    }
    let cubin = compiler.compile(variant, arch).map_err(|e| e.to_string())?.cubin;
    // Under another name first: a build that is stopped leaves no half file.
    let partial = path.with_extension(format!("{}", std::process::id()));
    write(&partial, &cubin)?;
    fs::rename(&partial, &path).map_err(|e| format!("cannot rename {}: {e}", partial.display()))?;
    Ok(cubin)
}

/// A folder of the target folder, the same for all profiles and features.
fn cache(out: &Path) -> Result<PathBuf, String> {
    let target = out.ancestors().nth(4).unwrap_or(out);
    let cache = target.join("machine-code");
    fs::create_dir_all(&cache).map_err(|e| format!("cannot make {}: {e}", cache.display()))?;
    Ok(cache)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))
}
