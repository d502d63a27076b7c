//! Several tensor files as one, under the names that the model uses.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::Arc;

use super::decoded::Decoded;
use super::{FileDtype, FileError, Tensor, TensorFile, tensor_files};

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

/// A list of renames as it applies to one file, or to the files that one model was split into.
#[derive(Clone, Debug)]
pub struct Renames(Vec<Rename>);

impl Renames {
    /// Those of `renames` whose sign is among `names`.
    pub fn of<'n>(renames: &[Rename], names: impl Iterator<Item = &'n str> + Clone) -> Renames {
        let signed = |rename: &&Rename| names.clone().any(|name| name.starts_with(rename.sign));
        Renames(renames.iter().filter(signed).copied().collect())
    }

    /// The model's name of a tensor.
    pub fn official(&self, name: &str) -> String {
        for rename in &self.0 {
            if let Some(rest) = name.strip_prefix(rename.from) {
                return format!("{}{rest}", rename.to);
            }
        }
        name.to_string()
    }
}

/// A file under the names that the model uses.
#[derive(Debug)]
pub struct View {
    pub file: Arc<TensorFile>,
    pub tensors: Vec<Viewed>,
}

/// A tensor under the name that the model uses.
#[derive(Debug)]
pub struct Viewed {
    /// The model's name.
    pub name: String,
    /// The name in the file.
    pub stored: String,
    /// What makes its values, where they are not the stored numbers.
    pub decoded: Option<Decoded>,
}

impl View {
    /// All tensors of a file as they are stored, read with `renames`.
    pub fn plain(file: TensorFile, renames: &[Rename]) -> View {
        let renames = Renames::of(renames, file.names());
        let viewed = |stored: &str| Viewed {
            name: renames.official(stored),
            stored: stored.to_string(),
            decoded: None,
        };
        let tensors = file.names().map(viewed).collect();
        View { file: Arc::new(file), tensors }
    }
}

/// The union of tensor files. Of a tensor that they hold twice the first counts, and [`TensorSet::doubles`] says so.
#[derive(Debug, Default)]
pub struct TensorSet {
    files: Vec<Arc<TensorFile>>,
    /// By the model's name.
    index: BTreeMap<String, Place>,
    /// By the model's name, as in `index`: what was there already.
    doubles: Vec<(String, Place)>,
}

/// Where a tensor is.
#[derive(Debug)]
struct Place {
    /// The file's index.
    file: usize,
    stored: String,
    decoded: Option<Decoded>,
}

impl TensorSet {
    /// The union of `files`, read with `renames`.
    pub fn new(files: Vec<TensorFile>, renames: &[Rename]) -> TensorSet {
        TensorSet::of(files.into_iter().map(|file| View::plain(file, renames)).collect())
    }

    /// The union of files that are viewed in whatever way.
    pub fn of(views: Vec<View>) -> TensorSet {
        let mut set = TensorSet::default();
        for (number, View { file, tensors }) in views.into_iter().enumerate() {
            for Viewed { name, stored, decoded } in tensors {
                let place = Place { file: number, stored, decoded };
                match set.index.entry(name) {
                    Entry::Vacant(vacant) => drop(vacant.insert(place)),
                    Entry::Occupied(there) => set.doubles.push((there.key().clone(), place)),
                }
            }
            set.files.push(file);
        }
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

    /// The tensor with this name of the model. [`Tensor::name`] is the name in its file. One that is decoded shows its
    /// stored bytes, and F32 as its type.
    pub fn get(&self, name: &str) -> Option<Tensor<'_>> {
        self.at(self.index.get(name)?)
    }

    fn at<'s>(&'s self, place: &'s Place) -> Option<Tensor<'s>> {
        let tensor = self.files[place.file].get(&place.stored)?;
        Some(match &place.decoded {
            Some(decoded) => {
                Tensor { dtype: FileDtype::F32, shape: decoded.shape(), computed: Some(decoded), ..tensor }
            }
            None => tensor,
        })
    }

    /// What makes the values of a tensor, where they are not the stored numbers.
    pub fn decoded(&self, name: &str) -> Option<&Decoded> {
        self.index.get(name)?.decoded.as_ref()
    }

    /// The same, to be changed.
    pub fn decoded_mut(&mut self, name: &str) -> Option<&mut Decoded> {
        self.index.get_mut(name)?.decoded.as_mut()
    }

    /// All tensors by the model's names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Tensor<'_>)> {
        self.index.iter().filter_map(|(name, place)| Some((name.as_str(), self.at(place)?)))
    }

    /// The files, in the order of the union.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &TensorFile> {
        self.files.iter().map(Arc::as_ref)
    }

    /// The model's name of every tensor that is there a second time, with the one that counts and the other one.
    pub fn doubles(&self) -> impl Iterator<Item = (&str, Tensor<'_>, Tensor<'_>)> {
        self.doubles
            .iter()
            .filter_map(|(name, place)| Some((name.as_str(), self.get(name)?, self.at(place)?)))
    }

    /// As [`TensorFile::unchanged`], of all files.
    ///
    /// # Errors
    /// The first file that was changed.
    pub fn unchanged(&self) -> Result<(), FileError> {
        self.files().try_for_each(TensorFile::unchanged)
    }

    /// A text of the files' metadata, from every file that has it.
    pub fn texts(&self, key: &str) -> impl Iterator<Item = (&Path, &str)> {
        self.files().filter_map(move |file| Some((file.path(), file.metadata().get(key)?.as_str())))
    }
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
