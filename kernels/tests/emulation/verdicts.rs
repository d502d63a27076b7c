//! Verdicts of launches, kept by all that they depend on: launches are seeded, so the same texts give the same verdict.
//!
//! Only that all is right is kept, in the user's cache (`zoetrope_kernels::cache`). ZOETROPE_CACHE= (empty) asks for
//! launches whatever was kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use zoetrope_kernels::cache::{Cache, Key};

use crate::program::Text;

/// What computes the wanted results, declares cases and compares: files and folders from the workspace's root. Cargo.lock
/// stands for the crates below.
const CHECKED_BY: [&str; 4] = ["Cargo.lock", "kernels/src", "kernels/tests/emulation", "model-spec/src/lang"];

/// A verdict that may have been kept.
pub struct Verdict(Option<(Cache, Key)>);

impl Verdict {
    /// Of launches of a program that `cases` tells apart from all others.
    pub fn of(program: &Text, cases: &str) -> Verdict {
        let key = || program.key("emulation").and(checked_by()).and(cases);
        Verdict(Cache::of_user().map(|cache| (cache, key())))
    }

    /// What is said of launches that were all right.
    pub fn kept(&self) -> Option<String> {
        let (cache, key) = self.0.as_ref()?;
        String::from_utf8(cache.get(key)?).ok()
    }

    /// Keeps that all launches were right, and what is said of them.
    pub fn keep(&self, said: &str) {
        if let Some((cache, key)) = &self.0 {
            cache.put(key, said.as_bytes());
        }
    }
}

/// Names and texts of [`CHECKED_BY`].
fn checked_by() -> &'static str {
    static ALL: OnceLock<String> = OnceLock::new();
    ALL.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's root");
        let mut files = Vec::new();
        CHECKED_BY.iter().for_each(|path| collect(&root.join(path), &mut files));
        files.sort();
        let text =
            |path: &PathBuf| fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let name = |path: &PathBuf| path.strip_prefix(root).unwrap_or(path).display().to_string();
        files.iter().map(|path| format!("{}\n{}\n", name(path), text(path))).collect()
    })
}

/// Rust sources below a folder, or the file itself. What kernels are written in is part of a program.
fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a folder of the workspace can be read");
        entries.flatten().for_each(|entry| collect(&entry.path(), files));
    } else if path.extension().is_some_and(|ending| ending == "rs" || ending == "lock") {
        files.push(path.to_path_buf());
    }
}
