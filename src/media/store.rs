//! The encoded frames of a track: in memory while they are few, then in a file.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::SpooledTempFile;

/// How many bytes of a track stay in memory: a minute and more of most clips.
pub const IN_MEMORY: usize = 64 << 20;

/// Bytes that are appended, and copied at the end. A file of them has no name, so it is gone when the program is.
pub(super) struct Store {
    bytes: u64,
    file: RefCell<SpooledTempFile>,
}

impl Store {
    /// Makes its file in a folder, or in the system's for such.
    pub(super) fn new(folder: Option<&Path>) -> Store {
        Store::keeping(IN_MEMORY, folder)
    }

    fn keeping(in_memory: usize, folder: Option<&Path>) -> Store {
        let file = match folder {
            Some(folder) => SpooledTempFile::new_in(in_memory, folder),
            None => SpooledTempFile::new(in_memory),
        };
        Store { bytes: 0, file: RefCell::new(file) }
    }

    /// How many bytes it holds.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends bytes; nothing was copied before.
    ///
    /// # Errors
    /// No room for the file.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.get_mut().write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Copies so many bytes from a place on.
    ///
    /// # Errors
    /// Whatever `out` says, or the file.
    pub(super) fn copy(&self, from: u64, bytes: u64, out: &mut dyn Write) -> io::Result<()> {
        let mut file = self.file.borrow_mut();
        file.seek(SeekFrom::Start(from))?;
        match io::copy(&mut (&mut *file).take(bytes), out)? {
            copied if copied == bytes => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_memory_and_what_is_in_a_file_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        for in_memory in [0, 10, 1000] {
            let mut store = Store::keeping(in_memory, Some(folder.path()));
            (0..100u8).for_each(|i| store.append(&[i, i]).unwrap());
            assert_eq!(store.file.get_mut().is_rolled(), in_memory < 200);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
            for _ in 0..2 {
                let mut copied = Vec::new();
                store.copy(20, 4, &mut copied).unwrap();
                store.copy(196, 4, &mut copied).unwrap();
                assert_eq!(copied, [10, 10, 11, 11, 98, 98, 99, 99]);
            }
            assert!(store.copy(199, 2, &mut Vec::new()).is_err() && store.bytes() == 200);
        }
    }
}
