//! A folder in which kernels are compiled for a CPU.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::thread;

use super::source::{HEADERS, HOST_FILES, Harness};
use super::{HostCompiler, Source};

/// A folder with all headers and the sources of kernels. What does not depend on kernels is compiled there once: the
/// header that texts begin with, and what they are linked with. For a few small kernels that is most of the time.
#[derive(Debug)]
pub struct HostFolder {
    path: PathBuf,
    objects: Vec<PathBuf>,
    made_of: String,
}

impl HostFolder {
    /// Writes and compiles what is not there from the same texts. A text that is compiled with the same `flags` takes the
    /// header compiled; a compiler that does so in another way reads it.
    ///
    /// # Errors
    /// A file cannot be written, or the compiler cannot be started or refuses one.
    pub fn new(
        compiler: &HostCompiler,
        path: &Path,
        sources: impl IntoIterator<Item = Source>,
        harness: Harness,
        flags: &[&str],
    ) -> Result<HostFolder> {
        let sources: Vec<Source> = sources.into_iter().collect();
        let headers = HEADERS.into_iter().chain(HOST_FILES);
        let files: BTreeMap<&str, &str> = headers.chain(sources.iter().flat_map(Source::files)).collect();
        let identity = format!("{}\n{}\n{harness:?}\n", compiler.identity(), flags.join(" "));
        let texts = files.iter().map(|(name, text)| format!("{name}\n{text}\n"));
        let made_of: String = [identity].into_iter().chain(texts).collect();
        let objects = harness.with.iter().map(|name| path.join(format!("{name}.o"))).collect();
        let stamp = path.join("harness.stamp");
        if !fs::read_to_string(&stamp).is_ok_and(|old| old == made_of) {
            // What is stopped in between leaves no stamp.
            let _ = fs::remove_file(&stamp);
            for (name, text) in &files {
                write(&path.join(name), text)?;
            }
            compile(compiler, path, harness, flags)?;
            write(&stamp, &made_of)?;
        }
        Ok(HostFolder { path: path.into(), objects, made_of })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What texts are linked with.
    pub fn objects(&self) -> impl Iterator<Item = &str> {
        self.objects.iter().filter_map(|path| path.to_str())
    }

    /// Names and texts of all files, the compiler and its flags.
    pub fn made_of(&self) -> &str {
        &self.made_of
    }
}

/// Compiles the header of a harness beside its sources.
fn compile(compiler: &HostCompiler, folder: &Path, harness: Harness, flags: &[&str]) -> Result<()> {
    let run = |name: &str, ending: &str, kind: &[&str]| {
        let to = format!("{name}.{ending}");
        let output = compiler.run(folder, &[flags, kind, &[name, "-o", &to]].concat())?;
        let refused = || Error::other(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
        output.status.success().then_some(()).ok_or_else(refused)
    };
    thread::scope(|scope| {
        let header = scope.spawn(|| run(harness.begin, "gch", &["-x", "c++-header"]));
        let sources = harness.with.iter().try_for_each(|name| run(name, "o", &["-O2", "-c"]));
        sources.and(header.join().expect("it does not panic"))
    })
}

/// Writes a file, and the folders that it lies in.
fn write(path: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, text)
}
