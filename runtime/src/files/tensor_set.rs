//! Several tensor files as one, under the names that the model uses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{FileError, Tensor, TensorFile};

/// How a file that was written with other names is read: in a file that has a tensor whose name begins with `sign`,
/// names that begin with `from` count as if they began with `to`.
///
/// Of a list of these, the first that applies to a name decides. One with equal `from` and `to` keeps names as they
/// are, whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rename {
    /// How some name in the file begins.
    pub sign: &'static str,
    /// How the names begin that change.
    pub from: &'static str,
    /// How they begin after it.
    pub to: &'static str,
}

/// The union of tensor files. A tensor that two files hold is taken from the later one.
#[derive(Debug, Default)]
pub struct TensorSet {
    files: Vec<TensorFile>,
    /// By the model's name: the file's index and the name in it.
    index: BTreeMap<String, (usize, String)>,
    replaced: Vec<String>,
}

impl TensorSet {
    /// The union of `files`, read with `renames`.
    pub fn new(files: Vec<TensorFile>, renames: &[Rename]) -> TensorSet {
        let mut set = TensorSet::default();
        for (number, file) in files.iter().enumerate() {
            let signed = |rename: &&Rename| file.iter().any(|tensor| tensor.name.starts_with(rename.sign));
            let renames: Vec<&Rename> = renames.iter().filter(signed).collect();
            for tensor in file.iter() {
                let name = renamed(tensor.name, &renames);
                let place = (number, tensor.name.to_string());
                if set.index.insert(name.clone(), place).is_some() {
                    set.replaced.push(name);
                }
            }
        }
        set.files = files;
        set
    }

    /// Opens `paths` (files, or folders of which every `*.safetensors` counts) as one set.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn open<P: AsRef<Path>>(paths: &[P], renames: &[Rename]) -> Result<TensorSet, FileError> {
        let mut files = Vec::new();
        for path in paths {
            for path in tensor_files(path.as_ref())? {
                files.push(TensorFile::open(&path)?);
            }
        }
        Ok(TensorSet::new(files, renames))
    }

    /// The tensor with this name of the model. [`Tensor::name`] is the name in its file.
    pub fn get(&self, name: &str) -> Option<Tensor<'_>> {
        let (file, stored) = self.index.get(name)?;
        self.files[*file].get(stored)
    }

    /// All tensors by the model's names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Tensor<'_>)> {
        self.index
            .iter()
            .filter_map(|(name, (file, stored))| Some((name.as_str(), self.files[*file].get(stored)?)))
    }

    /// The files, in the order of the union.
    pub fn files(&self) -> &[TensorFile] {
        &self.files
    }

    /// As [`TensorFile::unchanged`], of all files.
    ///
    /// # Errors
    /// The first file that was changed.
    pub fn unchanged(&self) -> Result<(), FileError> {
        self.files.iter().try_for_each(TensorFile::unchanged)
    }

    /// The names that more than one file holds, once for every file that lost.
    pub fn replaced(&self) -> &[String] {
        &self.replaced
    }

    /// A text of the files' metadata, from the last file that has it.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.files.iter().rev().find_map(|file| file.metadata().get(key)).map(String::as_str)
    }
}

fn renamed(name: &str, renames: &[&Rename]) -> String {
    for rename in renames {
        if let Some(rest) = name.strip_prefix(rename.from) {
            return format!("{}{rest}", rename.to);
        }
    }
    name.to_string()
}

/// The tensor files that a path stands for: itself, or all `*.safetensors` of a folder in the order of their names.
///
/// # Errors
/// The path cannot be read, or is a folder without weights.
pub fn tensor_files(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    if !path.metadata().map_err(FileError::io(path))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(FileError::io(path))? {
        let file = entry.map_err(FileError::io(path))?.path();
        if file.extension().is_some_and(|extension| extension == "safetensors") {
            files.push(file);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(FileError::EmptyFolder { path: path.to_owned() }),
        false => Ok(files),
    }
}

#[cfg(test)]
mod tests {
    use super::{Rename, TensorSet, tensor_files};
    use crate::files::{FileDtype, FileError, NewTensor, TensorFile, write_tensors};

    fn bytes(names: &[(&str, u8)], metadata: &[(&str, &str)]) -> Vec<u8> {
        let values: Vec<[u8; 1]> = names.iter().map(|&(_, value)| [value]).collect();
        let tensors: Vec<NewTensor<'_>> = names
            .iter()
            .zip(&values)
            .map(|(&(name, _), bytes)| NewTensor { name, dtype: FileDtype::U8, shape: &[1], bytes })
            .collect();
        write_tensors(metadata, &tensors)
    }

    fn file(path: &str, names: &[(&str, u8)]) -> TensorFile {
        TensorFile::from_bytes(path, bytes(names, &[("from", path)])).unwrap()
    }

    fn value(set: &TensorSet, name: &str) -> Option<u8> {
        set.get(name).map(|tensor| tensor.bytes[0])
    }

    #[test]
    fn later_files_win_and_that_is_reported() {
        let set =
            TensorSet::new(vec![file("a", &[("x", 1), ("y", 2)]), file("b", &[("y", 3), ("z", 4)])], &[]);
        assert_eq!(["x", "y", "z", "w"].map(|name| value(&set, name)), [Some(1), Some(3), Some(4), None]);
        assert_eq!(set.replaced(), ["y"]);
        assert_eq!(set.metadata("from"), Some("b"));
        assert_eq!(
            set.iter().map(|(name, t)| (name, t.bytes[0])).collect::<Vec<_>>(),
            [("x", 1), ("y", 3), ("z", 4)]
        );
    }

    #[test]
    fn names_change_only_in_files_with_the_sign() {
        let renames = [
            Rename { sign: "keep.", from: "keep.", to: "keep." },
            Rename { sign: "blocks.", from: "", to: "model." },
        ];
        let bare = file("bare", &[("blocks.0", 1), ("proj", 2), ("keep.x", 3)]);
        let full = file("full", &[("model.other", 4), ("proj", 5)]);
        let set = TensorSet::new(vec![bare, full], &renames);
        let names: Vec<&str> = set.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["keep.x", "model.blocks.0", "model.other", "model.proj", "proj"]);
        assert_eq!(set.get("model.proj").unwrap().name, "proj");
        assert_eq!(value(&set, "proj"), Some(5));
    }

    #[test]
    fn a_folder_is_its_weights_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        assert!(matches!(tensor_files(folder.path()), Err(FileError::EmptyFolder { .. })));
        write("model-2.safetensors", &bytes(&[("b", 2), ("c", 3)], &[]));
        write("model-1.safetensors", &bytes(&[("a", 1), ("b", 1)], &[]));
        write("config.json", b"{}");
        let set = TensorSet::open(&[folder.path()], &[]).unwrap();
        assert_eq!(["a", "b", "c"].map(|name| value(&set, name)), [Some(1), Some(2), Some(3)]);
        let missing = TensorSet::open(&[folder.path().join("none.safetensors")], &[]).unwrap_err();
        assert!(missing.to_string().contains("none.safetensors: cannot be read"), "{missing}");
        write("model-3.safetensors", b"");
        let broken = TensorSet::open(&[folder.path()], &[]).unwrap_err();
        assert!(broken.to_string().contains("truncated: 8 bytes wanted, 0 found"), "{broken}");
    }
}
