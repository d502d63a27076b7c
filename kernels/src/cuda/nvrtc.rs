//! NVRTC: machine code of a variant for an architecture, without a card, a driver or a toolkit on the path.
//!
//! The library is looked for in the folder that ZOETROPE_CUDA, CUDA_HOME or CUDA_PATH names, else where the system's
//! loader looks. Sources need no header but their own, so that nothing else of a toolkit is used.

#![allow(unsafe_code)]

use std::ffi::{CString, c_char};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use cudarc::nvrtc::{result, sys};
use libloading::Library;

use super::source::{self, HEADERS};
use super::{Arch, Variant};
use crate::cache::{Cache, Key};
use crate::threads::on_all_cores;

/// Without contraction a sum of products has the same bits here and under emulation.
const OPTIONS: [&str; 4] = ["--std=c++20", "-default-device", "--fmad=false", "--ptxas-options=-v"];

/// Machine code, and what the assembler said of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Compiled {
    pub cubin: Vec<u8>,
    /// Registers, spills and stack frames, as `ptxas` reports them.
    pub report: String,
}

impl Compiled {
    /// As an entry of a cache: the report's length, the report, the machine code.
    fn to_entry(&self) -> Vec<u8> {
        [&(self.report.len() as u64).to_le_bytes(), self.report.as_bytes(), &self.cubin].concat()
    }

    fn from_entry(entry: &[u8]) -> Option<Compiled> {
        let (length, rest) = entry.split_first_chunk()?;
        let (report, cubin) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        Some(Compiled { cubin: cubin.to_vec(), report: String::from_utf8(report.to_vec()).ok()? })
    }
}

/// A variant that does not compile, with the compiler's words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{variant} for sm_{arch}: {log}")]
pub struct CompileError {
    pub variant: String,
    pub arch: &'static str,
    pub log: String,
}

/// The oldest version of NVRTC that knows all architectures, and whose machine code the oldest driver loads that is
/// asked for; later ones with the same first number make such code, too.
const VERSION: (i32, i32) = (13, 0);

/// Why there is no compiler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCompiler {
    #[error("NVRTC was not found")]
    Nowhere,
    #[error(
        "NVRTC {0}.{1} was found before any other by the system's loader; wanted 13.0 or a later 13 (is an older toolkit \
         in LD_LIBRARY_PATH?)"
    )]
    Other(i32, i32),
}

/// NVRTC, found and open.
pub struct Compiler {
    /// Kept open: cudarc's own look-up by name then finds what is already there.
    _libraries: Vec<Library>,
    /// What machine code depends on beside source and architecture: NVRTC's version, the sizes of its files where they
    /// are known, and the options.
    identity: String,
    cache: Option<Cache>,
}

/// What a compilation made.
pub type Made = Result<Compiled, CompileError>;

/// Folders of libraries below the toolkit that the environment names.
fn folders() -> Vec<PathBuf> {
    let roots = ["ZOETROPE_CUDA", "CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os);
    roots.flat_map(|root| ["lib", "lib64", "bin"].map(|folder| Path::new(&root).join(folder))).collect()
}

/// The library in a folder whose name begins so: the first in alphabetical order, so that the same is always taken.
fn library(folder: &Path, name: &str) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|file| file.path());
    files.filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(name))).min()
}

impl Compiler {
    /// The compiler, where there is one.
    ///
    /// # Errors
    /// There is none, or an older one.
    pub fn find() -> Result<Compiler, NoCompiler> {
        let (mut libraries, mut sizes) = (Vec::new(), Vec::new());
        // NVRTC opens its built-in functions by name; they have to be there before it.
        for name in ["libnvrtc-builtins.so.13", "libnvrtc.so.13"] {
            let path = folders().into_iter().find_map(|folder| library(&folder, name));
            sizes.push(path.as_ref().and_then(|path| std::fs::metadata(path).ok()).map(|data| data.len()));
            // SAFETY: NVRTC and its built-ins have no initializers with preconditions.
            libraries.extend(path.and_then(|path| unsafe { Library::new(path) }.ok()));
        }
        // SAFETY: asks the loader for the library, and whether it is there.
        if !unsafe { sys::is_culib_present() } {
            return Err(NoCompiler::Nowhere);
        }
        let (mut major, mut minor) = (0, 0);
        // SAFETY: two numbers are written.
        let asked = unsafe { sys::nvrtcVersion(&mut major, &mut minor) }.result();
        match asked {
            Ok(()) if major == VERSION.0 && minor >= VERSION.1 => {
                let identity = format!("{major}.{minor} {sizes:?} {}", OPTIONS.join(" "));
                Ok(Compiler { _libraries: libraries, identity, cache: Cache::of_user() })
            }
            _ => Err(NoCompiler::Other(major, minor)),
        }
    }

    /// Compiles all of `work` on all cores; what was made, in the same order.
    pub fn compile_all(&self, work: &[(&Variant, &Arch)]) -> Vec<Made> {
        let made: Vec<OnceLock<Made>> = work.iter().map(|_| OnceLock::new()).collect();
        let next = AtomicUsize::new(0);
        let compile = || {
            let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            for ((variant, arch), made) in numbers.map_while(|i| Some((work.get(i)?, &made[i]))) {
                made.get_or_init(|| self.compile(variant, arch));
            }
        };
        on_all_cores(compile);
        made.into_iter().filter_map(OnceLock::into_inner).collect()
    }

    /// Compiles a variant to machine code, or takes what was made of the same text before ([`Cache`]).
    ///
    /// # Errors
    /// The source of the variant is wrong.
    pub fn compile(&self, variant: &Variant, arch: &Arch) -> Made {
        let Some(cache) = &self.cache else { return self.compile_anew(variant, arch) };
        let files = HEADERS.into_iter().chain(variant.cuda.source.files());
        let key = Key::of("machine code").and(&self.identity).and(arch.name).and(source::device(variant));
        let key = files.fold(key, |key, (name, text)| key.and(name).and(text));
        if let Some(kept) = cache.get(&key).as_deref().and_then(Compiled::from_entry) {
            return Ok(kept);
        }
        let made = self.compile_anew(variant, arch)?;
        cache.put(&key, &made.to_entry());
        Ok(made)
    }

    fn compile_anew(&self, variant: &Variant, arch: &Arch) -> Made {
        let error = |log: String| CompileError { variant: variant.key(), arch: arch.name, log };
        let text = |text: &str| CString::new(text).map_err(|e| error(e.to_string()));
        let source = text(&source::device(variant))?;
        let name = text(&format!("{}.cu", variant.name))?;
        let headers = HEADERS.into_iter().chain(variant.cuda.source.files());
        let headers: Vec<(CString, CString)> =
            headers.map(|(name, body)| Ok((text(name)?, text(body)?))).collect::<Result<_, _>>()?;
        let names: Vec<*const c_char> = headers.iter().map(|(name, _)| name.as_ptr()).collect();
        let bodies: Vec<*const c_char> = headers.iter().map(|(_, body)| body.as_ptr()).collect();
        let mut program = std::ptr::null_mut();
        // SAFETY: all strings end with zero and live through the call; the lists have the length that is given.
        let made = unsafe {
            sys::nvrtcCreateProgram(
                &mut program,
                source.as_ptr(),
                name.as_ptr(),
                headers.len() as i32,
                bodies.as_ptr(),
                names.as_ptr(),
            )
        };
        made.result().map_err(|e| error(format!("{e:?}")))?;
        let mut options = vec![format!("--gpu-architecture=sm_{}", arch.name)];
        options.extend(OPTIONS.map(String::from));
        // SAFETY: the program was made above and is destroyed below.
        let compiled = unsafe { result::compile_program(program, &options) };
        // SAFETY: as above.
        let log = unsafe { result::get_program_log(program) }.unwrap_or_default();
        let report: String = log
            .iter()
            .map(|c| *c as u8 as char)
            .filter(|c| *c != '\0')
            .collect::<String>()
            .trim()
            .to_string();
        let mut cubin = Vec::new();
        if compiled.is_ok() {
            let mut size = 0;
            // SAFETY: the program is compiled; the buffer has the size that NVRTC asks for.
            unsafe {
                let asked = sys::nvrtcGetCUBINSize(program, &mut size).result();
                cubin.resize(size, 0);
                asked.and_then(|()| sys::nvrtcGetCUBIN(program, cubin.as_mut_ptr().cast()).result())
            }
            .map_err(|e| error(format!("{e:?}")))?;
        }
        // SAFETY: the program was made above and is not used again.
        let destroyed = unsafe { result::destroy_program(program) };
        match compiled.and(destroyed) {
            Ok(()) if !cubin.is_empty() => Ok(Compiled { cubin, report }),
            Ok(()) => Err(error("no machine code came out".to_string())),
            Err(e) => Err(error(format!("{e:?}\n{report}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Compiled;

    #[test]
    fn entries_give_back_what_was_compiled() {
        let made =
            Compiled { cubin: vec![0x7f, b'E', 0xff], report: "ptxas info : 42 registers".to_string() };
        let entry = made.to_entry();
        assert_eq!(Compiled::from_entry(&entry), Some(made));
        for length in 0..33 {
            assert_eq!(Compiled::from_entry(&entry[..length]), None);
        }
    }
}
