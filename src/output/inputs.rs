//! The files that a command reads: none of them may be an output.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

/// Files by what they are, whatever they are called.
#[derive(Clone, Debug, Default)]
pub struct Inputs(BTreeSet<Identity>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    /// The number of the disk, and that of the file on it.
    #[cfg_attr(not(unix), expect(dead_code, reason = "paths must do there"))]
    Numbers(u64, u64),
    #[cfg_attr(unix, expect(dead_code, reason = "numbers know links, too"))]
    Path(PathBuf),
}

impl Inputs {
    /// Files, and those that lie in folders among `paths`; what is not there is none.
    pub fn of<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Inputs {
        let mut inputs = BTreeSet::new();
        for path in paths {
            inputs.extend(identity(path));
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                inputs.extend(identity(&entry.path()));
            }
        }
        Inputs(inputs)
    }

    pub(super) fn contain(&self, path: &Path, there: &Metadata) -> bool {
        self.0.contains(&identity_of(path, there))
    }
}

fn identity(path: &Path) -> Option<Identity> {
    Some(identity_of(path, &fs::metadata(path).ok()?))
}

#[cfg(unix)]
fn identity_of(_path: &Path, there: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    Identity::Numbers(there.dev(), there.ino())
}

#[cfg(not(unix))]
fn identity_of(path: &Path, _there: &Metadata) -> Identity {
    Identity::Path(fs::canonicalize(path).unwrap_or(path.into()))
}
