//! Instructions of a cubin, as `nvdisasm` prints them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use zoetrope_kernels::cache::{Cache, Key};
use zoetrope_kernels::cuda::Class;

/// What multiplies matrices in kernels of a class: a warp's instruction, or that of four warps.
fn matrix(class: Class) -> &'static str {
    match class {
        Class::Portable => "HMMA",
        Class::Hopper => "HGMMA",
    }
}

/// `nvdisasm`, and a file of its own for what it reads.
pub struct Disassembler {
    binary: PathBuf,
    version: Vec<u8>,
    file: PathBuf,
}

impl Disassembler {
    /// Looked for where NVRTC is, and on the path. `worker` tells those that run at the same time apart.
    pub fn find(worker: usize) -> Option<Disassembler> {
        let roots = ["ZOETROPE_CUDA", "CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(env::var_os);
        let folders = roots.map(|root| Path::new(&root).join("bin"));
        let path = env::var_os("PATH").unwrap_or_default();
        let mut binaries = folders.chain(env::split_paths(&path)).map(|folder| folder.join("nvdisasm"));
        let binary = binaries.find(|binary| binary.is_file())?;
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{worker}.cubin"));
        let version = Command::new(&binary).arg("--version").output().ok()?.stdout;
        Some(Disassembler { binary, version, file })
    }

    /// What is wrong with a variant of a class that is meant to multiply matrices. That nothing is wrong is kept in the
    /// user's cache, by all that it depends on: disassembling takes a fifth of a second.
    pub fn complaint(&self, cubin: &[u8], class: Class) -> Option<String> {
        let key = || {
            let key = Key::of("matrix instructions").and(include_str!("assembly.rs")).and(&self.version);
            key.and(matrix(class)).and(cubin)
        };
        let cache = Cache::of_user().map(|cache| (cache, key()));
        if cache.as_ref().is_some_and(|(cache, key)| cache.get(key).is_some()) {
            return None;
        }
        match self.has(cubin, matrix(class)) {
            Ok(true) => {
                cache.iter().for_each(|(cache, key)| cache.put(key, &[]));
                None
            }
            Ok(false) => Some(format!("has no {}", matrix(class))),
            Err(e) => Some(format!("cannot be disassembled: {e}")),
        }
    }

    fn has(&self, cubin: &[u8], wanted: &str) -> Result<bool, String> {
        fs::write(&self.file, cubin).map_err(|e| e.to_string())?;
        let mut command = Command::new(&self.binary);
        // Code only, without an analysis of branches.
        command.args(["--print-code", "--no-dataflow"]).arg(&self.file);
        let output = command.output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim_end().to_string());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let mut opcodes = text.lines().filter_map(opcode).peekable();
        opcodes.peek().ok_or("no instructions")?;
        Ok(opcodes.any(|opcode| opcode == wanted))
    }
}

/// Of a line like `/*27c0*/  @P0 HMMA.16816.F32.BF16 R16, R8, R64, RZ ;` the instruction without its forms.
fn opcode(line: &str) -> Option<&str> {
    let behind = line.trim_start().strip_prefix("/*")?.split_once("*/")?.1;
    let word = behind.split_whitespace().find(|word| !word.starts_with(['@', '{']))?;
    word.split(['.', ';']).next()
}
