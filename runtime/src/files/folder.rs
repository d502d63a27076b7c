//! Which tensor files a path stands for: a file, a folder of them, or an index that says which tensor is where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::header::shown;
use super::unique::Texts;
use super::{FileError, TensorFile, read_text};

const SUFFIX: &str = ".safetensors";
const GGUF_SUFFIX: &str = ".gguf";
const INDEX_SUFFIX: &str = ".safetensors.index.json";
/// An index of a million tensors is shorter.
const MAX_INDEX_BYTES: u64 = 100_000_000;

/// The tensor files that a path stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The files, in the order of their names.
    pub files: Vec<PathBuf>,
    /// What says which tensor is in which file, where there is such an index.
    pub index: Option<Index>,
    /// Tensor files of the folder that the index does not name: they are not read.
    pub beside: Vec<PathBuf>,
}

/// A `*.safetensors.index.json`: which of the files beside it holds which tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// The index itself.
    pub path: PathBuf,
    /// The file of every tensor, by name; a file's name without a folder.
    pub places: BTreeMap<String, String>,
}

impl Index {
    /// Reads the text of an index; `path` is where it lies.
    ///
    /// # Errors
    /// The text is no index, or names a file outside its folder.
    pub fn parse(path: &Path, text: &str) -> Result<Index, FileError> {
        #[derive(Deserialize)]
        struct Raw {
            weight_map: Texts,
        }
        let refused = |problem: String| FileError::Text { path: path.to_owned(), problem };
        let raw: Raw = serde_json::from_str(text)
            .map_err(|e| refused(format!("this is no index of tensors: {}", shown(&e.to_string()))))?;
        let Raw { weight_map: Texts(places) } = raw;
        let plain = |name: &str| name.ends_with(SUFFIX) && !name.contains(['/', '\\', '\0']);
        if let Some((tensor, name)) = places.iter().find(|(_, name)| !plain(name)) {
            let (tensor, name) = (shown(tensor), shown(name));
            return Err(refused(format!("tensor {tensor} is in {name}, a {SUFFIX} file beside it wanted")));
        }
        if places.is_empty() {
            return Err(refused("it names no tensor".to_string()));
        }
        Ok(Index { path: path.to_owned(), places })
    }

    fn read(path: &Path) -> Result<Index, FileError> {
        Index::parse(path, &read_text(path, MAX_INDEX_BYTES)?)
    }

    /// The files that it names, each once.
    fn files(&self) -> BTreeSet<&str> {
        self.places.values().map(String::as_str).collect()
    }

    fn listing(self, found: Vec<PathBuf>) -> Listing {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let files: Vec<PathBuf> = self.files().into_iter().map(|name| folder.join(name)).collect();
        let beside = found.into_iter().filter(|path| !files.contains(path)).collect();
        Listing { files, beside, index: Some(self) }
    }

    /// Opens a file that it names, and offers the tensors that it says are there.
    fn open(&self, path: &Path) -> Result<TensorFile, FileError> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let split = |problem| FileError::Split { path: self.path.clone(), problem };
        if !path.exists() {
            return Err(split(format!(
                "it names {name}, which is not there (download it, or remove the index)"
            )));
        }
        let mut file = TensorFile::open(path)?;
        let wanted = || self.places.iter().filter(|(_, place)| *place == name).map(|(tensor, _)| tensor);
        let missing: Vec<&String> = wanted().filter(|tensor| file.get(tensor).is_none()).collect();
        if let [first, more @ ..] = missing.as_slice() {
            let first = shown(first);
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            return Err(split(format!(
                "it looks for {first}{more} in {name}, where there is no such tensor"
            )));
        }
        file.retain(|tensor| self.places.get(tensor).is_none_or(|place| place == name));
        Ok(file)
    }
}

impl Listing {
    /// Opens every file, each with its own result.
    pub fn open(&self) -> Vec<Result<TensorFile, FileError>> {
        let open = |path: &PathBuf| match &self.index {
            Some(index) => index.open(path),
            None => TensorFile::open(path),
        };
        self.files.iter().map(open).collect()
    }
}

/// The tensor files that a path stands for: itself, those that an index names, or all `*.safetensors` of a folder in
/// the order of their names; if there are none, all `*.gguf`. A folder's index is obeyed. Files whose names begin with a
/// dot are none of the user's.
///
/// # Errors
/// The path cannot be read, or is a folder without weights, with two indices, or with a file of a split model missing.
pub fn tensor_files(path: &Path) -> Result<Listing, FileError> {
    if !path.metadata().map_err(FileError::io(path))?.is_dir() {
        let is_index = path.to_str().is_some_and(|name| name.ends_with(INDEX_SUFFIX));
        return match is_index {
            true => Ok(Index::read(path)?.listing(Vec::new())),
            false => Ok(Listing { files: vec![path.to_owned()], ..Listing::default() }),
        };
    }
    let (mut files, mut ggufs, mut indices) = (Vec::new(), Vec::new(), Vec::new());
    for entry in path.read_dir().map_err(FileError::io(path))? {
        let entry = entry.map_err(FileError::io(path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match name.as_str() {
            hidden if hidden.starts_with('.') => {}
            index if index.ends_with(INDEX_SUFFIX) => indices.push(entry.path()),
            file if file.ends_with(SUFFIX) => files.push(entry.path()),
            file if file.ends_with(GGUF_SUFFIX) => ggufs.push(entry.path()),
            _ => {}
        }
    }
    files.sort();
    ggufs.sort();
    indices.sort();
    let files = if files.is_empty() { ggufs } else { files };
    let split = |problem| FileError::Split { path: path.to_owned(), problem };
    match indices.as_slice() {
        [first, second, ..] => {
            let [first, second] = [first, second].map(|path| name_of(path));
            Err(split(format!("two indices, {first} and {second}; remove the one that is not meant")))
        }
        [index] => Ok(Index::read(index)?.listing(files)),
        [] if files.is_empty() => Err(FileError::EmptyFolder { path: path.to_owned() }),
        [] => match missing_file(&files) {
            Some(missing) => {
                Err(split(format!("{missing} is missing, a file of a split model (download it)")))
            }
            None => Ok(Listing { files, ..Listing::default() }),
        },
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The first file that is not there of a model whose files are called `NAME-00001-of-00005.safetensors`.
fn missing_file(files: &[PathBuf]) -> Option<String> {
    let names: BTreeSet<String> = files.iter().map(|path| name_of(path)).collect();
    for name in &names {
        let Some((stem, total)) = numbered(name) else { continue };
        let file = |number: usize| format!("{stem}-{number:05}-of-{total:05}{SUFFIX}");
        if let Some(missing) = (1..=total).map(file).find(|file| !names.contains(file)) {
            return Some(missing);
        }
    }
    None
}

/// What stands before the number of a file, and how many files there are.
fn numbered(name: &str) -> Option<(&str, usize)> {
    let number = |text: &str| (text.len() == 5).then(|| text.parse::<usize>().ok()).flatten();
    let (rest, total) = name.strip_suffix(SUFFIX)?.rsplit_once("-of-")?;
    let (stem, this) = rest.rsplit_once('-')?;
    number(this)?;
    Some((stem, number(total)?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::tensor_files;
    use crate::files::{FileDtype, NewTensor, TensorSet, write_tensors};

    fn write(folder: &Path, name: &str, tensors: &[(&str, u8)]) {
        let values: Vec<[u8; 1]> = tensors.iter().map(|&(_, value)| [value]).collect();
        let tensors: Vec<NewTensor<'_>> = tensors
            .iter()
            .zip(&values)
            .map(|(&(name, _), bytes)| NewTensor { name, dtype: FileDtype::U8, shape: &[1], bytes })
            .collect();
        fs::write(folder.join(name), write_tensors(&[], &tensors)).unwrap();
    }

    fn index(folder: &Path, name: &str, places: &str) {
        fs::write(folder.join(name), format!("\u{feff}{{\"weight_map\": {{{places}}}}}")).unwrap();
    }

    fn names(paths: &[std::path::PathBuf]) -> Vec<String> {
        paths.iter().map(|path| super::name_of(path)).collect()
    }

    fn refused(path: &Path) -> String {
        TensorSet::open(&[path], &[]).unwrap_err().to_string()
    }

    #[test]
    fn a_folder_is_its_weights_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(refused(folder).contains("no *.safetensors file in this folder"));
        write(folder, "b.safetensors", &[("b", 2)]);
        write(folder, "a.safetensors", &[("a", 1)]);
        for other in ["config.json", "._a.safetensors", ".hidden.safetensors"] {
            fs::write(folder.join(other), b"{}").unwrap();
        }
        assert_eq!(names(&tensor_files(folder).unwrap().files), ["a.safetensors", "b.safetensors"]);
        let set = TensorSet::open(&[folder], &[]).unwrap();
        assert_eq!(set.iter().map(|(name, t)| (name, t.bytes[0])).collect::<Vec<_>>(), [("a", 1), ("b", 2)]);
        assert!(refused(&folder.join("none.safetensors")).contains("none.safetensors: cannot be read"));
        fs::write(folder.join("d.gguf"), b"").unwrap();
        assert_eq!(tensor_files(folder).unwrap().files.len(), 2, "of both kinds, one counts");
        fs::write(folder.join("c.safetensors"), b"").unwrap();
        assert!(refused(folder).contains("this is an empty file"), "{}", refused(folder));
        let ggufs = tempfile::tempdir().unwrap();
        fs::write(ggufs.path().join("d.gguf"), b"GGUF").unwrap();
        assert_eq!(names(&tensor_files(ggufs.path()).unwrap().files), ["d.gguf"]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["m-00001-of-00003", "m-00003-of-00003", "other"] {
            write(folder.path(), &format!("{name}.safetensors"), &[(name, 0)]);
        }
        assert!(refused(folder.path()).contains("m-00002-of-00003.safetensors is missing"));
        write(folder.path(), "m-00002-of-00003.safetensors", &[]);
        assert_eq!(tensor_files(folder.path()).unwrap().files.len(), 4);
    }

    #[test]
    fn an_index_is_obeyed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write(folder, "new-1.safetensors", &[("a", 1), ("b", 1), ("loose", 1)]);
        write(folder, "new-2.safetensors", &[("b", 2)]);
        write(folder, "model.safetensors", &[("a", 9), ("b", 9)]);
        let places = |b: &str| format!(r#""a": "new-1.safetensors", "b": "{b}""#);
        index(folder, "new.safetensors.index.json", &places("new-2.safetensors"));
        let listing = tensor_files(folder).unwrap();
        assert_eq!(names(&listing.files), ["new-1.safetensors", "new-2.safetensors"]);
        assert_eq!(names(&listing.beside), ["model.safetensors"]);
        for path in [folder.to_owned(), folder.join("new.safetensors.index.json")] {
            let set = TensorSet::open(&[path], &[]).unwrap();
            let all: Vec<_> = set.iter().map(|(name, tensor)| (name, tensor.bytes[0])).collect();
            assert_eq!(all, [("a", 1), ("b", 2), ("loose", 1)]);
            assert_eq!(set.doubles().count(), 0);
        }
        let says = |b: &str, words: &str| {
            index(folder, "new.safetensors.index.json", &places(b));
            assert!(refused(folder).contains(words), "{}", refused(folder));
        };
        says("new-3.safetensors", "it names new-3.safetensors, which is not there");
        says("../m.safetensors", "tensor b is in ../m.safetensors, a .safetensors file beside it wanted");
        says("new-2.safetensors\", \"a\": \"new-2.safetensors", "a stands there twice");
        says(
            "new-2.safetensors\", \"c\": \"new-2.safetensors",
            "it looks for c in new-2.safetensors, where there is no such tensor",
        );
        index(folder, "old.safetensors.index.json", &places("new-2.safetensors"));
        assert!(
            refused(folder)
                .contains("two indices, new.safetensors.index.json and old.safetensors.index.json")
        );
    }
}
