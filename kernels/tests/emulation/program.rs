//! Programs that run kernels on the CPU: built with the system's C++ compiler, asked through pipes.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use zoetrope_kernels::cache::Key;
use zoetrope_kernels::catalog;
use zoetrope_kernels::cuda::source::{self, HEADERS, HOST_FILES};
use zoetrope_kernels::cuda::{HostCompiler, HostFolder, Launch, MAP_BYTES, Variant};

use crate::memory::Buffer;
use crate::sanitize::{self, Build, compiler};

/// Replaces a piece of a file that a program includes: a planted fault.
pub struct Edit {
    pub file: &'static str,
    pub from: &'static str,
    pub to: &'static str,
}

impl Edit {
    /// The header as it is.
    pub fn original(&self) -> &'static str {
        HEADERS.iter().find(|(name, _)| *name == self.file).expect("a fault in a header").1
    }

    pub fn apply(&self, text: &str) -> String {
        let Edit { file, from, to } = self;
        assert!(text.contains(from), "{file} no longer has what the fault replaces: {from}");
        text.replace(from, to)
    }
}

/// The argument of a launch with its tensor maps, as `kernels/cuda/host/tensor_map.h` describes them.
fn with_maps(launch: &Launch) -> Vec<u8> {
    const MARK: u64 = 0x7061_6D2D_656E_6F7A;
    let mut argument = launch.argument.clone();
    for map in &launch.maps {
        let mut bytes = argument[map.address_at..][..8].to_vec();
        bytes.extend(map.extents.iter().chain([&map.stride]).flat_map(|n| n.to_le_bytes()));
        bytes.extend(map.tile.iter().flat_map(|n| n.to_le_bytes()));
        bytes.extend(MARK.to_le_bytes());
        bytes.resize(MAP_BYTES, 0);
        argument[map.at..][..MAP_BYTES].copy_from_slice(&bytes);
    }
    argument
}

const PROGRAM_CPP: &str = "program.cpp";
const SHARED: &str = "shared";

/// Where programs that are built so have their folders.
fn folder_of(build: Build) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulation").join(build.name())
}

/// What the compiler is told of all programs, beside [`HOST_FLAGS`](source::HOST_FLAGS).
fn flags(build: Build) -> Vec<&'static str> {
    [build.flags(), &["-O1"]].concat()
}

/// All headers and sources of kernels, and what programs are linked with.
fn shared(compiler: &HostCompiler, build: Build) -> Result<&'static HostFolder, String> {
    static FOLDERS: [OnceLock<Result<HostFolder, String>>; 2] = [OnceLock::new(), OnceLock::new()];
    let folder = FOLDERS[build as usize].get_or_init(|| {
        let sources =
            catalog().into_iter().flat_map(|k| k.cuda.into_iter().chain(k.hopper.map(|hopper| hopper.cuda)));
        let path = folder_of(build).join(SHARED);
        HostFolder::new(compiler, &path, sources.map(|cuda| cuda.source), source::PROGRAM, &flags(build))
            .map_err(|e| e.to_string())
    });
    folder.as_ref().map_err(Clone::clone)
}

/// A program for some variants of one source, as text.
pub struct Text {
    /// Names and texts of all files, `program.cpp` the last.
    files: Vec<(&'static str, String)>,
    /// Whether all files but `program.cpp` are those of all programs.
    original: bool,
    build: Build,
}

impl Text {
    pub fn new(variants: &[&Variant], edit: Option<Edit>, build: Build) -> Text {
        let mut files: Vec<(&str, String)> =
            HEADERS.iter().chain(&HOST_FILES).map(|(name, text)| (*name, (*text).to_string())).collect();
        let sources = variants.first().into_iter().flat_map(|v| v.cuda.source.files());
        files.extend(sources.map(|(name, text)| (name, text.to_string())));
        files.push((PROGRAM_CPP, source::host(variants)));
        let original = edit.is_none();
        if let Some(edit) = edit {
            let file = files.iter_mut().find(|(name, _)| *name == edit.file);
            let (_, text) = file.expect("the file is included");
            *text = edit.apply(text);
        }
        Text { files, original, build }
    }

    /// The key of what depends on the program and its compiler.
    pub fn key(&self, kind: &str) -> Key {
        let compiler = compiler().map(|compiler| compiler.identity()).unwrap_or_default();
        let key = Key::of(kind).and(compiler).and(self.build.flags().join(" "));
        self.files.iter().fold(key, |key, (name, text)| key.and(name).and(text))
    }

    /// Writes, compiles and links in a folder `name` of the target folder.
    pub fn build(&self, name: &str) -> Result<Program, String> {
        let compiler = compiler().ok_or("no C++ compiler")?;
        // Where a file is changed, all files are the program's own; in another folder, as files in its own are found first.
        let kind = if self.original { "original" } else { "changed" };
        let folder = folder_of(self.build).join(kind).join(name);
        let shared = shared(compiler, self.build)?;
        let include = if self.original { format!("-I{}", shared.path().display()) } else { "-I.".into() };
        for (name, text) in self.files.iter().filter(|(name, _)| !self.original || *name == PROGRAM_CPP) {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("a file has a folder")).map_err(|e| e.to_string())?;
            fs::write(&path, text).map_err(|e| e.to_string())?;
        }
        let objects: Vec<&str> = shared.objects().collect();
        let args = [&flags(self.build)[..], &[&include, PROGRAM_CPP], &objects, &["-o", "program"]].concat();
        let output = compiler.run(&folder, &args).map_err(|e| e.to_string())?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(text.lines().take(40).collect::<Vec<_>>().join("\n"));
        }
        Ok(Program { binary: folder.join("program"), folder, build: self.build })
    }
}

/// A built program.
pub struct Program {
    folder: PathBuf,
    binary: PathBuf,
    build: Build,
}

impl Program {
    pub fn start(&self) -> Running {
        let mut command = Command::new(&self.binary);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(self.build.options().iter().copied());
        let child = command.spawn().expect("the program that was built can be started");
        Running { child, folders: [self.folder.clone(), folder_of(self.build).join(SHARED)] }
    }
}

/// A program that waits for launches.
pub struct Running {
    child: Child,
    /// Where the files lie that its reports name.
    folders: [PathBuf; 2],
}

impl Running {
    /// Runs a launch of variant number `variant`, whose addresses are `buffer << 40 | offset`, on `buffers`. Threads run
    /// in order where `seed` is 0.
    pub fn launch(
        &mut self,
        variant: usize,
        launch: &Launch,
        seed: u64,
        buffers: &mut [Buffer],
    ) -> Result<(), String> {
        let mut request = Vec::new();
        for number in [variant, launch.threads, launch.shared, launch.blocks, buffers.len()] {
            request.extend((number as u32).to_le_bytes());
        }
        request.extend(seed.to_le_bytes());
        for Buffer { bytes, pieces, apart } in buffers.iter() {
            for number in [bytes.len(), *pieces, *apart] {
                request.extend((number as u64).to_le_bytes());
            }
            request.extend(bytes);
        }
        let argument = with_maps(launch);
        request.extend((argument.len() as u64).to_le_bytes());
        request.extend(argument);
        let (stdin, stdout) = (self.child.stdin.as_mut(), self.child.stdout.as_mut());
        let (stdin, stdout) = (stdin.expect("piped"), stdout.expect("piped"));
        let mut asked = stdin.write_all(&request).and_then(|()| stdin.flush());
        for buffer in buffers {
            asked = asked.and_then(|()| stdout.read_exact(&mut buffer.bytes));
        }
        asked.map_err(|error| {
            let mut text = String::new();
            let stderr = self.child.stderr.as_mut().expect("piped");
            let _ = stderr.read_to_string(&mut text);
            format!("{error}: {}", sanitize::shorten(&text, &self.folders))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its end of the pipe closes, and it stops by itself; after a failure it already has.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
