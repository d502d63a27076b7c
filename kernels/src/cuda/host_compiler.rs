//! The system's C++ compiler, which builds kernels for the emulation.

use std::path::Path;
use std::process::{Command, Output};

use super::source::HOST_FLAGS;

/// A C++ compiler that answers.
#[derive(Clone, Debug)]
pub struct HostCompiler {
    /// The program and its first arguments: `ccache c++` is two words.
    words: Vec<String>,
    /// What it says of its version.
    version: String,
}

impl HostCompiler {
    /// The one that CXX names, else the first of the usual ones.
    pub fn find() -> Option<HostCompiler> {
        let named = std::env::var("CXX").ok();
        named.into_iter().chain(["c++", "g++", "clang++"].map(String::from)).find_map(|name| {
            let words: Vec<String> = name.split_whitespace().map(String::from).collect();
            let asked = command(&words)?.arg("--version").output().ok().filter(|o| o.status.success())?;
            Some(HostCompiler { words, version: String::from_utf8_lossy(&asked.stdout).into_owned() })
        })
    }

    /// The compiler's name, for messages.
    pub fn name(&self) -> String {
        self.words.join(" ")
    }

    /// What a program depends on beside its text and flags: the compiler, and the machine that it compiles for.
    pub fn identity(&self) -> String {
        format!("{}\n{}", self.version, HOST_FLAGS.join(" "))
    }

    /// Runs the compiler in `folder` with [`HOST_FLAGS`] and `args`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, folder: &Path, args: &[&str]) -> std::io::Result<Output> {
        let mut command = command(&self.words).expect("a compiler has a name");
        command.args(HOST_FLAGS).args(args).current_dir(folder).output()
    }
}

fn command(words: &[String]) -> Option<Command> {
    let (program, args) = words.split_first()?;
    let mut command = Command::new(program);
    command.args(args);
    Some(command)
}
