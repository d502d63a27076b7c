//! AddressSanitizer and UndefinedBehaviorSanitizer: with ZOETROPE_SANITIZE=1 programs are built with both, too.
//!
//! Operands and shared memory are then allocations of exactly their size. The first error ends the program; its report
//! names the line of the source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use zoetrope_kernels::cuda::HostCompiler;

/// The compiler of all programs.
pub fn compiler() -> Option<&'static HostCompiler> {
    static FOUND: OnceLock<Option<HostCompiler>> = OnceLock::new();
    FOUND.get_or_init(HostCompiler::find).as_ref()
}

/// True where the sanitizers are asked for.
pub fn asked() -> bool {
    std::env::var("ZOETROPE_SANITIZE").is_ok_and(|value| value == "1")
}

/// How a program is built.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Build {
    Plain,
    Sanitized,
}

impl Build {
    pub fn name(self) -> &'static str {
        match self {
            Build::Plain => "plain",
            Build::Sanitized => "sanitized",
        }
    }

    /// Bytes of NaN before and behind every operand; a multiple of the alignment that kernels may count on. None where
    /// AddressSanitizer knows where an operand ends.
    pub fn guard(self) -> usize {
        match self {
            Build::Plain => 512,
            Build::Sanitized => 0,
        }
    }

    /// What the compiler is told.
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Build::Plain => &[],
            Build::Sanitized => &FLAGS,
        }
    }

    /// What the programs are told, as variables.
    pub fn options(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Build::Plain => &[],
            Build::Sanitized => &OPTIONS,
        }
    }

    /// Why programs cannot be built so here, with what helps.
    pub fn missing(self) -> Option<&'static str> {
        static MISSING: [OnceLock<Option<String>>; 2] = [OnceLock::new(), OnceLock::new()];
        let missing = MISSING[self as usize].get_or_init(|| {
            let Some(compiler) = compiler() else {
                let help = "install a C++ compiler (c++, g++ or clang++, or name one in CXX)";
                return Some(help.to_string());
            };
            let failed = if self == Build::Sanitized { probe(compiler).err() } else { None };
            failed.map(|e| {
                format!("{} has no AddressSanitizer or no UndefinedBehaviorSanitizer: {e}", compiler.name())
            })
        });
        missing.as_deref()
    }
}

/// Conversions of floats are checked because a CPU and a card differ in what they make of a number that does not fit.
const FLAGS: [&str; 6] = [
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize=vptr",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-g1",
    "-DZOETROPE_SANITIZED",
];

/// Red zones are as wide as they can be; leaks are none of the kernels'.
const OPTIONS: [(&str, &str); 2] = [
    (
        "ASAN_OPTIONS",
        "redzone=2048:detect_leaks=0:detect_stack_use_after_return=0:print_legend=0:color=never",
    ),
    ("UBSAN_OPTIONS", "print_stacktrace=1:color=never"),
];

const PROBE: &str = "int main(int count, char**) { return count + 1 == 2 ? 0 : 1; }\n";

/// Builds and runs a program with the sanitizers.
fn probe(compiler: &HostCompiler) -> Result<(), String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulation").join("sanitizers");
    fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("probe.cpp"), PROBE)).map_err(text)?;
    let args = [&FLAGS[..], &["probe.cpp", "-o", "probe"]].concat();
    done(compiler.run(&folder, &args).map_err(text)?)?;
    done(Command::new(folder.join("probe")).envs(OPTIONS).output().map_err(text)?)
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

fn done(output: Output) -> Result<(), String> {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(stderr.lines().next().unwrap_or("it fails").to_string())
    }
}

/// Of a sanitizer's report what is wrong, the lines of the sources that did it, innermost first, and where the memory
/// is; other texts as they are. Paths begin in the folders.
pub fn shorten(stderr: &str, folders: &[PathBuf]) -> String {
    let begins = |line: &&str| line.contains("ERROR: AddressSanitizer") || line.contains("runtime error:");
    let strip = |text: String, folder: &PathBuf| text.replace(&format!("{}/", folder.display()), "");
    let stderr = folders.iter().fold(stderr.to_string(), strip);
    let report: Vec<&str> = stderr.lines().skip_while(|line| !begins(line)).take(100).collect();
    let Some((error, rest)) = report.split_first() else { return stderr.trim_end().to_string() };
    let frames = rest.iter().skip_while(|line| !is_frame(line)).take_while(|line| is_frame(line));
    // Behind this frame is what starts kernels.
    let frames =
        frames.map_while(|line| line.split(' ').next_back().filter(|at| !at.starts_with("program.cpp")));
    let at: Vec<&str> = frames.take(12).collect();
    let memory =
        rest.iter().find(|line| line.contains("is located")).map_or(String::new(), |l| format!("; {l}"));
    format!("{error}{memory}; at {}", at.join(", "))
}

fn is_frame(line: &str) -> bool {
    line.trim_start().starts_with('#')
}
