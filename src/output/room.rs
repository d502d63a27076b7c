//! Whether there is room for what will be written.

use std::path::Path;

use super::OutputError;

/// Refuses what does not fit: `folders` with the bytes that will be written into each, of which several may be on one
/// disk.
///
/// # Errors
/// The first folder whose disk has too little room for all that will lie there.
#[cfg(unix)]
pub fn check_room(folders: &[(&Path, u64)]) -> Result<(), OutputError> {
    use std::os::unix::fs::MetadataExt;
    let disk = |folder: &Path| std::fs::metadata(folder).map(|m| m.dev()).ok();
    for (folder, _) in folders {
        let beside = folders.iter().filter(|(other, _)| disk(other) == disk(folder));
        let want = beside.map(|(_, bytes)| bytes).sum();
        // File systems that do not know their size say 0.
        let Ok(have) =
            rustix::fs::statvfs(*folder).map(|s| (s.f_blocks, s.f_bavail.saturating_mul(s.f_frsize)))
        else {
            continue;
        };
        if have.0 > 0 && have.1 < want {
            return Err(OutputError::Room { folder: folder.to_path_buf(), want, have: have.1 });
        }
    }
    Ok(())
}

/// Where free room cannot be found out, writing will show.
#[cfg(not(unix))]
pub fn check_room(_folders: &[(&Path, u64)]) -> Result<(), OutputError> {
    Ok(())
}

/// Refuses a file that is larger than the process may write: the system would end the process in the middle of it.
#[cfg(unix)]
pub(super) fn check_limit(path: &Path, want: u64) -> Result<(), OutputError> {
    match rustix::process::getrlimit(rustix::process::Resource::Fsize).current {
        Some(have) if have < want => Err(OutputError::Limit { path: path.into(), want, have }),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
pub(super) fn check_limit(_path: &Path, _want: u64) -> Result<(), OutputError> {
    Ok(())
}

/// Whether a stream goes into a file.
#[cfg(unix)]
pub(super) fn is_file(stream: &impl std::os::fd::AsFd) -> bool {
    use rustix::fs::{FileType, fstat};
    fstat(stream).is_ok_and(|s| FileType::from_raw_mode(s.st_mode).is_file())
}

#[cfg(not(unix))]
pub(super) fn is_file<T>(_stream: &T) -> bool {
    false
}
