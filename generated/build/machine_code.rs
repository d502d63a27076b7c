//! Code and machine code: the tables of every plan's launches, and every function compiled for every enabled
//! architecture, once per content.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use zoetrope_compiler::emit::emit_code;
use zoetrope_compiler::{Class, select};
use zoetrope_kernels::cuda::{ARCHS, Arch, CompileError, Compiler, Variant};
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
    /// Writes the code of a plan for every class of cards; returns the Rust that includes it.
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
        for name in ["ZOETROPE_CUDA", "CUDA_HOME", "CUDA_PATH", "ZOETROPE_CACHE"] {
            println!("cargo::rerun-if-env-changed={name}");
        }
        let images = match Compiler::find() {
            Ok(compiler) => self.compile(&compiler)?,
            Err(why) => {
                println!("cargo::warning={why}: this build runs on the CPU only (docs/cards.md)");
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
    fn compile(&self, compiler: &Compiler) -> Result<Vec<Image>, String> {
        let enabled = |arch: &&Arch| super::enabled(&format!("sm-{}", arch.name));
        let all = ARCHS.iter().filter(enabled).flat_map(|arch| {
            let own = self.variants.iter().filter(|((name, _), _)| *name == arch.name);
            own.map(move |(_, variant)| (arch, variant))
        });
        let work: Vec<(&Variant, &Arch)> = all.map(|(arch, variant)| (variant, arch)).collect();
        let made = work.iter().zip(compiler.compile_all(&work));
        let images = made.map(|((variant, arch), made)| Ok((arch.name, variant.symbol(), made?.cubin)));
        let mut images: Vec<Image> =
            images.collect::<Result<_, CompileError>>().map_err(|e| e.to_string())?;
        images.sort();
        Ok(images)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))
}
