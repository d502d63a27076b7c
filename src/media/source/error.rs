//! What can be wrong with a file of sound or video that a user gives.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A file that cannot be used: which, for what, and why. It is the request that is wrong.
#[derive(Debug)]
pub struct SourceError {
    path: PathBuf,
    kind: Kind,
    problem: Problem,
}

/// What is looked for in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sound,
    Video,
}

/// Why.
#[derive(Debug)]
pub(super) enum Problem {
    Read(io::Error),
    Empty,
    /// It has nothing of that kind.
    Missing,
    /// It is of a form that only other programs read.
    Foreign(String),
    Damaged(String),
    /// As `Foreign`, and there is no other program.
    Alone(String),
    /// As `Foreign`, and what the other program said.
    Ffmpeg {
        why: String,
        said: String,
    },
}

impl SourceError {
    pub(super) fn new(path: &Path, kind: Kind, problem: Problem) -> SourceError {
        SourceError { path: path.to_path_buf(), kind, problem }
    }

    /// Whether the file is fine, but has nothing of what was looked for.
    pub fn is_missing(&self) -> bool {
        matches!(self.problem, Problem::Missing)
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let (kind, known) = match self.kind {
            Kind::Sound => ("sound", "WAV, FLAC, MP3, or AAC in an MP4 file"),
            Kind::Video => ("video", "H.264 in an MP4 file"),
        };
        match &self.problem {
            Problem::Read(error) => write!(f, "cannot read {path}: {error}"),
            Problem::Empty => write!(f, "{path} is an empty file"),
            Problem::Missing => write!(f, "{path} has no {kind}"),
            Problem::Damaged(reason) => write!(f, "the {kind} of {path} is damaged: {reason}"),
            Problem::Foreign(why) | Problem::Alone(why) => write!(
                f,
                "the {kind} of {path} cannot be read: {why}\n  want  {known}\n  \
                 help  with ffmpeg on the PATH everything that it knows is read, too"
            ),
            Problem::Ffmpeg { why, said } => write!(
                f,
                "the {kind} of {path} cannot be read\n  want  {known}\n  have  {why}; and ffmpeg: {said}"
            ),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Read(error) => Some(error),
            _ => None,
        }
    }
}
