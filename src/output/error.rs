//! Why a file was not written, in words for its owner.

use std::io;
use std::path::{Path, PathBuf};

use zoetrope_runtime::plan::bytes_text;

/// Why an output cannot be written, or was not. But for [`Write`](Self::Write), it is known before the work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The path names no file.
    #[error("{path:?} does not name a file\n  want  a path such as folder/{example}")]
    NoName { path: PathBuf, example: &'static str },
    /// The path is a folder.
    #[error("{} is a folder\n  want  the path of a file, such as {}", path.display(), path.join(example).display())]
    IsFolder { path: PathBuf, example: &'static str },
    /// The name promises another format than the one that is written.
    #[error("cannot write {}: {format} files are called {want}\n  have  {have}", path.display())]
    Extension { path: PathBuf, format: &'static str, want: String, have: String },
    /// The folder is not there.
    #[error("cannot write {}: there is no folder {}\n  have  {}\n  help  make the folder, or choose another one", path.display(), missing.display(), near.display())]
    NoFolder {
        /// The output.
        path: PathBuf,
        /// The first folder of the path that is not there.
        missing: PathBuf,
        /// The last that is.
        near: PathBuf,
    },
    /// A file stands where the path wants a folder.
    #[error("cannot write {}: {} is not a folder", path.display(), folder.display())]
    NotAFolder { path: PathBuf, folder: PathBuf },
    /// There is something else than a file.
    #[error("{} is {what}, and only plain files are written\n  help  name - instead, and add > {} behind the command", path.display(), path.display())]
    NotPlain { path: PathBuf, what: &'static str },
    /// The system does not let this file be made.
    #[error("cannot write {}: {source}\n  help  choose another name, or a folder that you may write to", path.display())]
    Refused { path: PathBuf, source: io::Error },
    /// What is there cannot be replaced.
    #[error("cannot replace {}: {why}\n  help  choose another name", path.display())]
    Kept { path: PathBuf, why: String },
    /// The output is one of the files that are read.
    #[error("{} is read and cannot be written, too\n  help  choose another name for the output", path.display())]
    IsInput { path: PathBuf },
    /// Two outputs would lie in one file.
    #[error("{} would be written twice\n  help  choose another name for one of the outputs", path.display())]
    Twice { path: PathBuf },
    /// The disk has too little room.
    #[error("too little room in {}\n  want  about {}\n  have  {}\n  help  make room, or choose a folder on another disk", folder.display(), bytes_text(*want), bytes_text(*have))]
    Room { folder: PathBuf, want: u64, have: u64 },
    /// The process may not write files of this size.
    #[error("{} would be larger than a file may be here\n  want  about {}\n  have  {}\n  help  ulimit -f unlimited", path.display(), bytes_text(*want), bytes_text(*have))]
    Limit { path: PathBuf, want: u64, have: u64 },
    /// Standard output is a terminal.
    #[error("standard output is a terminal\n  help  -o - | program, or the name of a file")]
    Terminal,
    /// This output cannot go to standard output.
    #[error("{what} cannot go to standard output\n  want  the path of a file")]
    NoStream { what: &'static str },
    /// Another run writes into the folder.
    #[error("another run writes into {}\n  help  a folder of its own for each run", path.display())]
    InUse { path: PathBuf },
    /// The folder holds files of an earlier run.
    #[error("{} holds files of another run\n  have  {have}\n  help  choose a new folder, or remove them", path.display())]
    Taken { path: PathBuf, have: String },
    /// Writing failed at the end.
    #[error("cannot write {path}: {source}{}", kept(kept_as.as_deref()))]
    Write {
        /// The file's name, or that of standard output.
        path: String,
        source: io::Error,
        /// Where the finished file lies instead.
        kept_as: Option<PathBuf>,
    },
}

fn kept(path: Option<&Path>) -> String {
    path.map_or(String::new(), |path| format!("\n  help  the finished file is {}", path.display()))
}
