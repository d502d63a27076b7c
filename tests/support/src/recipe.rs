//! The small model files, built bit for bit from a recipe.
//!
//! The recipe (`weights.json`) lists every tensor's name, shape, element type and the rule of its
//! values. Random values are integer arithmetic and cosines are rounded to where every `cos` agrees,
//! so each machine writes the same bytes; the recipe holds the sha256 of every file.

mod values;

use crate::tensor::{Dtype, TensorBytes, hex, write_safetensors};
use crate::{Error, gamma_dir, read};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use values::Rule;

#[derive(Deserialize)]
struct Recipe {
    /// Hash of the recipe's file.
    #[serde(skip)]
    id: String,
    seed: String,
    literals: BTreeMap<String, Vec<f64>>,
    texts: BTreeMap<String, String>,
    sha256: BTreeMap<String, String>,
    files: BTreeMap<String, ModelFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)] // a field that was skipped would change the file
struct ModelFile {
    metadata: serde_json::Map<String, serde_json::Value>,
    tensors: Vec<(String, Dtype, Vec<usize>, Rule)>,
}

/// Writes every file of the recipe `profile_dir/weights.json` under `out` and returns each file's
/// path below `out` with its sha256. A file that is not the recipe's is an error.
pub fn build_models(profile_dir: &Path, out: &Path) -> Result<BTreeMap<String, String>, Error> {
    Recipe::load(profile_dir)?.build(out)
}

/// The folder with the model files of `tests/fixtures/gamma`, under the folder that
/// `CARGO_TARGET_TMPDIR` names at run time or else the system's temporary folder.
/// See [`gamma_models_in`].
pub fn gamma_models() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_TMPDIR").map(PathBuf::from);
    gamma_models_in(target.unwrap_or_else(std::env::temp_dir))
}

/// The folder with the model files of `tests/fixtures/gamma` below `folder`. Integration tests pass
/// `env!("CARGO_TARGET_TMPDIR")`.
///
/// The first caller builds the files; later ones, in this and other processes, find them by their
/// hashes. Processes that start together may each build: files are renamed into place, and all builds
/// are equal. Panics when the files cannot be built.
pub fn gamma_models_in(folder: impl AsRef<Path>) -> PathBuf {
    static READY: Mutex<BTreeMap<PathBuf, PathBuf>> = Mutex::new(BTreeMap::new());
    // A panic of an earlier caller leaves the map as it was, so its poison says nothing.
    let mut ready = READY.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder.as_ref();
    if let Some(models) = ready.get(folder) {
        return models.clone();
    }
    let models = install(folder).unwrap_or_else(|error| panic!("the model files of the tests: {error}"));
    ready.insert(folder.to_owned(), models.clone());
    models
}

fn install(folder: &Path) -> Result<PathBuf, Error> {
    static BUILDS: AtomicU64 = AtomicU64::new(0);
    let recipe = Recipe::load(&gamma_dir())?;
    // Checkouts with different recipes may share the folder.
    let name = format!("zoetrope-gamma-{}", &recipe.id[..16]);
    let models = folder.join(&name);
    if recipe.is_built(&models) {
        return Ok(models);
    }
    let clock = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos());
    let build = BUILDS.fetch_add(1, Ordering::Relaxed);
    let private = folder.join(format!("{name}.{}-{build}-{clock}", std::process::id()));
    let result = recipe.build(&private).and_then(|files| {
        for file in files.keys() {
            let (from, to) = (private.join(file), models.join(file));
            let parent = to.parent().unwrap_or(&models);
            std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
            std::fs::rename(&from, &to).map_err(Error::io(&to))?;
        }
        Ok(())
    });
    // Whatever happened, nothing under the private name is of use to anyone.
    let removed = std::fs::remove_dir_all(&private).map_err(Error::io(&private));
    result.and(removed).map(|()| models)
}

impl Recipe {
    fn load(profile_dir: &Path) -> Result<Recipe, Error> {
        let path = profile_dir.join("weights.json");
        let raw = read(&path)?;
        let recipe: Recipe = serde_json::from_slice(&raw).map_err(|e| Error::format(&path, e))?;
        let files = recipe.files.keys().chain(recipe.texts.keys());
        if !files.collect::<BTreeSet<_>>().into_iter().eq(recipe.sha256.keys()) {
            return Err(Error::format(&path, "the files with a sha256 are not those with a recipe"));
        }
        Ok(Recipe { id: hex(&Sha256::digest(&raw)), ..recipe })
    }

    fn is_built(&self, out: &Path) -> bool {
        let hash = |file: &String| std::fs::read(out.join(file)).map(|raw| hex(&Sha256::digest(raw)));
        self.sha256.iter().all(|(file, expected)| hash(file).is_ok_and(|found| found == *expected))
    }

    fn build(&self, out: &Path) -> Result<BTreeMap<String, String>, Error> {
        for (file, expected) in &self.sha256 {
            let path = out.join(file);
            let found = match self.texts.get(file) {
                Some(text) => write_text(&path, text)?,
                None => self.build_file(&path, &self.files[file])?,
            };
            if found != *expected {
                return Err(Error::Sha256 { file: file.clone(), found, expected: expected.clone() });
            }
        }
        Ok(self.sha256.clone())
    }

    fn build_file(&self, path: &Path, file: &ModelFile) -> Result<String, Error> {
        let bytes = file.tensors.iter().map(|(name, dtype, shape, rule)| {
            let values = rule.values(name, shape.iter().product(), &self.seed, &self.literals);
            values.and_then(|values| values::encode(&values, *dtype)).map_err(|e| {
                let reason = format!("{name}: {e}");
                Error::format(path, reason)
            })
        });
        let bytes = bytes.collect::<Result<Vec<_>, Error>>()?;
        let tensors = file.tensors.iter().zip(&bytes);
        let tensors: Vec<TensorBytes<'_>> = tensors
            .map(|((name, dtype, shape, _), bytes)| (&name[..], *dtype, &shape[..], &bytes[..]))
            .collect();
        let metadata = file.metadata.iter().map(|(key, value)| {
            let text = value.as_str().ok_or_else(|| Error::format(path, format!("{key} is not a string")))?;
            Ok((&key[..], text))
        });
        write_safetensors(path, &metadata.collect::<Result<Vec<_>, Error>>()?, &tensors)
    }
}

fn write_text(path: &Path, text: &str) -> Result<String, Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    std::fs::write(path, text).map_err(Error::io(path))?;
    Ok(hex(&Sha256::digest(text)))
}
