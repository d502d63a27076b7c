//! Which folders a path stands for: those of a model in the diffusers format, a snapshot in a download cache.

use std::fs;
use std::path::{Path, PathBuf};

use zoetrope_runtime::plan::Source;

use super::diffusers::{FOLDERS, MODEL_INDEX};

/// A longer name of a revision is none.
const LONGEST_REVISION: usize = 128;

/// The files or folders with the weights of one source that a path stands for: the path itself, unless it is the folder of
/// a whole model.
pub fn places(source: Source, path: &Path) -> Vec<PathBuf> {
    let path = snapshot(path).unwrap_or_else(|| path.to_owned());
    if !path.join(MODEL_INDEX).is_file() {
        return vec![path];
    }
    let folders: &[&str] = match source.file() {
        Source::TextEncoder => &["text_encoder"],
        source if source.is_upscaler() => &["latent_upsampler"],
        _ => &FOLDERS,
    };
    folders.iter().map(|folder| path.join(folder)).filter(|folder| folder.is_dir()).collect()
}

/// The snapshot of a model in the cache of a Hugging Face download: that of `refs/main`, or the only one.
fn snapshot(path: &Path) -> Option<PathBuf> {
    let snapshots = path.join("snapshots");
    let mut all: Vec<PathBuf> =
        snapshots.read_dir().ok()?.map_while(|entry| Some(entry.ok()?.path())).collect();
    let main = fs::read_to_string(path.join("refs/main")).unwrap_or_default();
    let plain =
        main.trim().len() <= LONGEST_REVISION && main.trim().chars().all(|c| c.is_ascii_alphanumeric());
    let named = snapshots.join(main.trim());
    match () {
        () if plain && !main.trim().is_empty() && named.is_dir() => Some(named),
        () if all.len() == 1 => all.pop(),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Source, places};

    #[test]
    fn folders_of_whole_models_and_of_caches() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["transformer", "vae", "text_encoder", "cache/snapshots/one", "cache/refs"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        assert_eq!(places(Source::Checkpoint, folder.path()), [folder.path()]);
        fs::write(at("model_index.json"), "{}").unwrap();
        assert_eq!(places(Source::Checkpoint, folder.path()), [at("transformer"), at("vae")]);
        assert_eq!(places(Source::TextEncoder, folder.path()), [at("text_encoder")]);
        assert_eq!(places(Source::TextEncoder, &at("cache")), [at("cache/snapshots/one")]);
        fs::create_dir_all(at("cache/snapshots/two")).unwrap();
        assert_eq!(places(Source::TextEncoder, &at("cache")), [at("cache")], "which is meant?");
        fs::write(at("cache/refs/main"), "two\n").unwrap();
        assert_eq!(places(Source::TextEncoder, &at("cache")), [at("cache/snapshots/two")]);
        fs::write(at("cache/refs/main"), "../../vae").unwrap();
        assert_eq!(places(Source::TextEncoder, &at("cache")), [at("cache")]);
    }
}
