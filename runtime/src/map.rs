//! Files mapped into memory. All `unsafe` code that reading model files needs is in this file.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

/// A file's bytes. The system reads a page when it is first touched, and may drop it again.
#[derive(Debug)]
pub struct Map(Mmap);

impl Map {
    /// Maps the whole file for reading.
    ///
    /// # Errors
    /// What the system says; also when `path` is a folder or a device.
    pub fn open(path: &Path) -> io::Result<Map> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        // SAFETY: a mapping is unsound only if its bytes change while they are borrowed. It is read-only, so this
        // process cannot change them. Another process that rewrites a model file during a run changes numbers that
        // are read once as plain bytes, of which every pattern is valid; what must hold across two reads (lengths,
        // names, UTF-8) is taken from a private copy of the header. One that cuts the file short ends this process
        // with SIGBUS: it reads no wrong memory.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Map(map))
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Map;

    #[test]
    fn maps_files_and_refuses_folders() {
        let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert_eq!(&*Map::open(&manifest).unwrap(), std::fs::read(&manifest).unwrap());
        let folder = Map::open(manifest.parent().unwrap()).unwrap_err();
        assert_eq!(folder.to_string(), "not a regular file");
    }
}
