//! The commands: arguments in, work done, a failure with its exit code out.

#[cfg(feature = "cuda")]
pub mod bench;
pub mod budgets;
mod choose;
pub mod demo_model;
pub mod eval;
pub mod generate;
mod guidance;
mod model;
pub mod plan;
mod previews;
#[cfg(feature = "cuda")]
pub mod selftest;
pub mod show;
pub mod verify;

pub use choose::PlanArgs;
pub use model::ModelArgs;

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
    let mut builder = tempfile::Builder::new();
    builder.prefix(".zoetrope-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private by default; this one becomes an ordinary file, so the umask decides.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// Prints a text; a reader that went away, such as `head`, is no failure.
///
/// # Errors
/// Standard output cannot be written for another reason.
pub fn say(text: &str) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write};
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Kind::Failure, format!("cannot write to standard output: {e}")))
        }
        _ => Ok(()),
    }
}
