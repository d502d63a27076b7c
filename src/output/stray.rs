//! Files under temporary names, and those that a program left behind that was killed while it wrote.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;

const PREFIX: &str = ".zoetrope-";
const SUFFIX: &str = ".part";
/// Between the making of a file and its lock, no other process may take it for left behind.
const YOUNG: Duration = Duration::from_secs(60);

/// A file that its process holds a lock on, so that others know that it is being written.
pub(super) fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    ordinary(&mut builder);
    let file = builder.tempfile_in(folder)?;
    // Where a file system has no locks, its age alone must do.
    let _ = file.as_file().try_lock();
    Ok(file)
}

/// Temporary files are private by default; these become ordinary files, so the umask decides.
pub(super) fn ordinary(builder: &mut tempfile::Builder<'_, '_>) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    #[cfg(not(unix))]
    let _ = builder;
}

/// Removes what processes left in a folder that are gone.
pub(super) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let old = || {
            let modified = entry.metadata().and_then(|m| m.modified());
            modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > YOUNG))
        };
        let ours = name.starts_with(PREFIX) && name.ends_with(SUFFIX);
        if ours && old() && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
