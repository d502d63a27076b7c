//! One tensor file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::computed::Computed;
use super::gguf::{Gguf, MAGIC};
use super::header::{Entry, Header};
use super::text::regular;
use super::{FileDtype, FileError, HeaderError};
use crate::map::{self, Map};

/// An open safetensors or GGUF file whose header passed every check.
pub struct TensorFile {
    path: PathBuf,
    bytes: Bytes,
    format: Format,
}

enum Format {
    Safetensors(Header),
    Gguf(Gguf),
}

impl Format {
    fn names(&self) -> &BTreeSet<String> {
        match self {
            Format::Safetensors(header) => &header.names,
            Format::Gguf(gguf) => &gguf.names,
        }
    }

    fn entry(&self, name: &str) -> Option<(&str, Entry<'_>)> {
        match self {
            Format::Safetensors(header) => header.entry(name),
            Format::Gguf(gguf) => gguf.entry(name),
        }
    }
}

/// The metadata of files that have none as texts.
static NO_TEXTS: BTreeMap<String, String> = BTreeMap::new();

enum Bytes {
    Mapped(Map),
    Owned(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

/// One tensor of a file: what it is, and where its values are.
#[derive(Clone, Copy)]
pub struct Tensor<'a> {
    /// The file that holds it.
    pub file: &'a Path,
    /// Its name in the file.
    pub name: &'a str,
    /// The stored element type.
    pub dtype: FileDtype,
    /// Row-major extents.
    pub shape: &'a [usize],
    /// The stored values, little-endian.
    pub bytes: &'a [u8],
    /// What computes the values, where they are not the stored ones.
    pub computed: Option<&'a dyn Computed>,
}

impl TensorFile {
    /// Maps a file and checks its header.
    ///
    /// # Errors
    /// The file cannot be read, or is not a complete and consistent safetensors or GGUF file.
    pub fn open(path: &Path) -> Result<TensorFile, FileError> {
        regular(path)?;
        let map = Map::open(path).map_err(FileError::io(path))?;
        TensorFile::new(path, Bytes::Mapped(map))
    }

    /// A file that exists in memory only; `path` is what messages call it.
    ///
    /// # Errors
    /// The bytes are not a complete and consistent safetensors or GGUF file.
    pub fn from_bytes(path: impl AsRef<Path>, bytes: Vec<u8>) -> Result<TensorFile, FileError> {
        TensorFile::new(path.as_ref(), Bytes::Owned(bytes))
    }

    fn new(path: &Path, bytes: Bytes) -> Result<TensorFile, FileError> {
        let format = match bytes.starts_with(MAGIC) {
            true => Gguf::parse(&bytes).map(Format::Gguf).map_err(HeaderError::Gguf),
            false => Header::parse(&bytes).map(Format::Safetensors),
        };
        let format = format.map_err(|problem| FileError::Header { path: path.to_owned(), problem })?;
        Ok(TensorFile { path: path.to_owned(), bytes, format })
    }

    /// Checks that a mapped file still has the length and the time of modification that it had when it was opened: it is
    /// read where it is mapped, as long as its tensors are used.
    ///
    /// # Errors
    /// It was changed, or the system does not say.
    pub fn unchanged(&self) -> Result<(), FileError> {
        match &self.bytes {
            Bytes::Mapped(map) => map.unchanged().map_err(FileError::io(&self.path)),
            Bytes::Owned(_) => Ok(()),
        }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The texts that the maker of a safetensors file put beside the tensors.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        match &self.format {
            Format::Safetensors(header) => &header.metadata,
            Format::Gguf(_) => &NO_TEXTS,
        }
    }

    /// The header of a GGUF file.
    pub fn gguf(&self) -> Option<&Gguf> {
        match &self.format {
            Format::Gguf(gguf) => Some(gguf),
            Format::Safetensors(_) => None,
        }
    }

    /// All bytes of the file: arrays of a GGUF header are read out of them.
    pub fn contents(&self) -> &[u8] {
        &self.bytes
    }

    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Option<Tensor<'_>> {
        let (name, entry) = self.format.entry(name)?;
        let bytes = &self.bytes[entry.place];
        Some(Tensor { file: &self.path, name, dtype: entry.dtype, shape: entry.shape, bytes, computed: None })
    }

    /// The names of all tensors, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.format.names().iter().map(String::as_str)
    }

    /// All tensors, by name.
    pub fn iter(&self) -> impl Iterator<Item = Tensor<'_>> {
        self.format.names().iter().filter_map(|name| self.get(name))
    }

    /// Offers only the tensors whose names `keep` accepts, as if the file had no others.
    pub fn retain(&mut self, keep: impl FnMut(&String) -> bool) {
        match &mut self.format {
            Format::Safetensors(header) => header.names.retain(keep),
            Format::Gguf(gguf) => gguf.names.retain(keep),
        }
    }

    /// How many bytes of the file lie behind the last one of a tensor.
    pub fn bytes_behind(&self, name: &str) -> Option<usize> {
        Some(self.bytes.len() - self.format.entry(name)?.1.place.end)
    }

    /// How many bytes of the file lie behind its last byte that is not zero.
    pub fn zeros_at_the_end(&self) -> usize {
        let zeros = |bytes: &&[u8]| bytes.iter().all(|byte| *byte == 0);
        let blocks: usize = self.bytes.rchunks(1 << 16).take_while(zeros).map(<[u8]>::len).sum();
        let before = &self.bytes[..self.bytes.len() - blocks];
        blocks + before.iter().rev().take_while(|byte| **byte == 0).count()
    }
}

impl Tensor<'_> {
    /// Asks the system for the stored bytes, which will be read soon.
    pub fn soon(&self) {
        self.stored().for_each(map::soon);
    }

    /// Gives back the memory that the stored bytes take, as far as the system can read them again.
    pub fn done(&self) {
        self.stored().for_each(map::done);
    }

    /// All bytes that the values are made of, those first that are few.
    fn stored(&self) -> impl Iterator<Item = &[u8]> {
        let beside = self.computed.map(Computed::beside).filter(|bytes| !bytes.is_empty());
        beside.into_iter().chain([self.bytes])
    }
}

impl fmt::Debug for TensorFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tensors = self.format.names().len();
        f.debug_struct("TensorFile")
            .field("path", &self.path)
            .field("tensors", &tensors)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{:?} in {}", self.name, self.dtype, self.shape, self.file.display())
    }
}
