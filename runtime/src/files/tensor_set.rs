//! Several tensor files as one, under the names that the model uses.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use super::{FileError, Tensor, TensorFile, tensor_files};

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

/// The union of tensor files. Of a tensor that they hold twice the first counts, and [`TensorSet::doubles`] says so.
#[derive(Debug, Default)]
pub struct TensorSet {
    files: Vec<TensorFile>,
    /// By the model's name: the file's index and the name in it.
    index: BTreeMap<String, (usize, String)>,
    /// By the model's name, as in `index`: what was there already.
    doubles: Vec<(String, usize, String)>,
}

impl TensorSet {
    /// The union of `files`, read with `renames`.
    pub fn new(files: Vec<TensorFile>, renames: &[Rename]) -> TensorSet {
        let mut set = TensorSet::default();
        for (number, file) in files.iter().enumerate() {
            let signed = |rename: &&Rename| file.names().any(|name| name.starts_with(rename.sign));
            let renames: Vec<&Rename> = renames.iter().filter(signed).collect();
            for stored in file.names() {
                let place = (number, stored.to_string());
                match set.index.entry(renamed(stored, &renames)) {
                    Entry::Vacant(vacant) => drop(vacant.insert(place)),
                    Entry::Occupied(there) => set.doubles.push((there.key().clone(), place.0, place.1)),
                }
            }
        }
        set.files = files;
        set
    }

    /// Opens what `paths` stand for ([`tensor_files`]) as one set.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn open<P: AsRef<Path>>(paths: &[P], renames: &[Rename]) -> Result<TensorSet, FileError> {
        let mut files = Vec::new();
        for path in paths {
            for file in tensor_files(path.as_ref())?.open() {
                files.push(file?);
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

    /// The model's name of every tensor that is there a second time, with the one that counts and the other one.
    pub fn doubles(&self) -> impl Iterator<Item = (&str, Tensor<'_>, Tensor<'_>)> {
        self.doubles.iter().filter_map(|(name, file, stored)| {
            Some((name.as_str(), self.get(name)?, self.files[*file].get(stored)?))
        })
    }

    /// As [`TensorFile::unchanged`], of all files.
    ///
    /// # Errors
    /// The first file that was changed.
    pub fn unchanged(&self) -> Result<(), FileError> {
        self.files.iter().try_for_each(TensorFile::unchanged)
    }

    /// A text of the files' metadata, from every file that has it.
    pub fn texts(&self, key: &str) -> impl Iterator<Item = (&Path, &str)> {
        self.files.iter().filter_map(move |file| Some((file.path(), file.metadata().get(key)?.as_str())))
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

#[cfg(test)]
mod tests {
    use super::{Rename, TensorSet};
    use crate::files::{FileDtype, NewTensor, TensorFile, write_tensors};

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
    fn what_stands_there_twice_is_reported() {
        let set =
            TensorSet::new(vec![file("a", &[("x", 1), ("y", 2)]), file("b", &[("y", 3), ("z", 4)])], &[]);
        assert_eq!(["x", "y", "z", "w"].map(|name| value(&set, name)), [Some(1), Some(2), Some(4), None]);
        let doubles: Vec<_> = set.doubles().map(|(name, a, b)| (name, a.bytes[0], b.bytes[0])).collect();
        assert_eq!(doubles, [("y", 2, 3)]);
        assert_eq!(set.texts("from").map(|(_, text)| text).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(
            set.iter().map(|(name, t)| (name, t.bytes[0])).collect::<Vec<_>>(),
            [("x", 1), ("y", 2), ("z", 4)]
        );
        // One name with a prefix and one without.
        let rename = [Rename { sign: "m.", from: "m.", to: "" }];
        let set = TensorSet::new(vec![file("a", &[("m.x", 1), ("x", 2)])], &rename);
        let doubles: Vec<_> = set.doubles().map(|(name, a, b)| (name, a.name, b.name)).collect();
        assert_eq!(doubles, [("x", "m.x", "x")]);
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
}
