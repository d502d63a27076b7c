//! An output file that appears under its name only when complete.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::MediaError;

/// Where a finished file will appear.
///
/// Nothing lies in the folder until [`complete`](Self::complete), so that a program that is killed while it computes
/// leaves nothing either.
pub(super) struct Target {
    folder: PathBuf,
    path: PathBuf,
}

impl Target {
    /// Checks that `path` can be written, so that an unusable one is refused before the work.
    pub(super) fn new(path: &Path) -> Result<Self, MediaError> {
        if path.is_dir() {
            return Err(MediaError::IsFolder(path.into()));
        }
        if path.file_name().is_none() {
            return Err(MediaError::NoFileName(path.into()));
        }
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            return Err(MediaError::NoFolder(folder.into()));
        }
        let target = Self { folder: folder.into(), path: path.into() };
        // Only creating a file tells whether it may be created. It is removed at once.
        target.temporary()?;
        Ok(target)
    }

    /// A file under a temporary name in the folder. Dropping it removes it.
    fn temporary(&self) -> Result<NamedTempFile, MediaError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".zoetrope-").suffix(".part");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Temporary files are private by default; this one becomes an ordinary file, so the umask decides.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let created = builder.tempfile_in(&self.folder);
        created.map_err(|source| MediaError::Create { folder: self.folder.clone(), source })
    }

    /// Writes with `fill`, flushes to the disk and gives the file its final name, replacing what was there.
    pub(super) fn complete(self, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), MediaError> {
        let mut temporary = self.temporary()?;
        let file = temporary.as_file_mut();
        // Without the sync, a crash after the rename could leave an empty file under the final name.
        let written = fill(file).and_then(|()| file.flush()).and_then(|()| file.sync_all());
        written.map_err(|source| MediaError::Write { path: self.path.clone(), source })?;
        match temporary.persist(&self.path) {
            Ok(_) => Ok(()),
            Err(e) => Err(MediaError::Rename { path: self.path, source: e.error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_failed_write_leaves_nothing_and_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        std::fs::write(&path, "old").unwrap();
        let failed = Target::new(&path).unwrap().complete(|file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(failed, Err(MediaError::Write { .. })));
        assert_eq!(names(folder.path()), ["clip.mp4"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn a_failed_rename_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        let target = Target::new(&path).unwrap();
        assert!(names(folder.path()).is_empty(), "nothing before the end");
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(target.complete(|file| file.write_all(b"x")), Err(MediaError::Rename { .. })));
        assert_eq!(names(folder.path()), ["clip.mp4"]);
    }

    #[cfg(unix)]
    #[test]
    fn the_finished_file_has_ordinary_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, plain) = (folder.path().join("clip.mp4"), folder.path().join("plain"));
        Target::new(&path).unwrap().complete(|file| file.write_all(b"x")).unwrap();
        File::create(&plain).unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }
}
