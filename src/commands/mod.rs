//! The commands: arguments in, work done, a failure with its exit code out.

pub mod demo_model;
pub mod eval;
pub mod generate;
mod model;
pub mod plan;
pub mod show;

pub use model::ModelArgs;

use std::fs;
use std::path::Path;

use crate::failure::{Failure, Kind};

/// Writes a file under a temporary name beside it and renames it: nothing partial under the final name.
///
/// # Errors
/// The folder is missing or cannot be written, or the disk is full.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    let failed = |e: std::io::Error| {
        Failure::new(
            Kind::Failure,
            format!(
                "cannot write {}: {e}\n  help  check that the folder is there and has room",
                path.display()
            ),
        )
    };
    if path.is_dir() {
        return Err(Failure::new(Kind::Failure, format!("cannot write {}: it is a folder", path.display())));
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// A whole text file.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))
}
