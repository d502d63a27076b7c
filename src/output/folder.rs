//! A folder that a command fills: made if it is not there, and held so that no two runs mix in it.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::place::{check_folder, folder_of};
use super::{Format, Inputs, OutputError, OutputFile, stray};

/// A folder for files of one run.
#[derive(Debug)]
pub struct OutputFolder {
    path: PathBuf,
    /// Whether it was not there; then it goes away again if nothing was written.
    made: bool,
    /// Locked for as long as this lives; where that is not possible, nothing is.
    _held: Option<File>,
}

impl OutputFolder {
    /// Makes the folder if it is not there, and tries whether it takes files.
    ///
    /// # Errors
    /// The folder above is not there, this is none, it cannot be written, or another run writes into it.
    pub fn open(path: &Path) -> Result<OutputFolder, OutputError> {
        let refused = |source| OutputError::Refused { path: path.into(), source };
        let made = fs::metadata(path).is_err();
        if made {
            check_folder(path, folder_of(path))?;
            fs::create_dir(path)
                .or_else(|e| if e.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(refused(e)) })?;
        }
        check_folder(path, path)?;
        let held = match File::open(path).map(|folder| (folder.try_lock(), folder)) {
            Ok((Ok(()), folder)) => Some(folder),
            Ok((Err(TryLockError::WouldBlock), _)) => return Err(OutputError::InUse { path: path.into() }),
            // Not every file system has locks, nor every system those of folders.
            _ => None,
        };
        stray::sweep(path);
        stray::temporary(path).and_then(|part| part.close()).map_err(refused)?;
        Ok(OutputFolder { path: path.into(), made, _held: held })
    }

    /// As [`OutputFolder::open`], and without files of this ending, which would be another run's.
    ///
    /// # Errors
    /// As there, and files of another run.
    pub fn open_new(path: &Path, ending: &str) -> Result<OutputFolder, OutputError> {
        let folder = OutputFolder::open(path)?;
        let entries =
            fs::read_dir(path).map_err(|source| OutputError::Refused { path: path.into(), source })?;
        let mut have: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|e| e == ending))
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        have.sort();
        match have.is_empty() {
            true => Ok(folder),
            false => Err(OutputError::Taken { path: path.into(), have: have.join(", ") }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    ///
    /// # Errors
    /// As [`OutputFile::open`].
    pub fn file(&self, name: &str, format: Format) -> Result<OutputFile, OutputError> {
        OutputFile::open_file(&self.path.join(name), format, &Inputs::default())
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        if self.made {
            // Of a folder that holds something, nothing is removed.
            let _ = fs::remove_dir(&self.path);
        }
    }
}
