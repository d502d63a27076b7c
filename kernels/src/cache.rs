//! A folder of the user for what takes long to make and depends on known texts alone: machine code, verdicts of tests.
//!
//! ZOETROPE_CACHE names the folder; where it is empty, nothing is kept. Without it the platform's convention decides
//! (`~/.cache/zoetrope` on Linux). All builds and clones of a user share it: an entry is written under another name first
//! and then renamed. It holds its key and a hash of its content, and without both it is not trusted. The folder stays
//! below a limit; what was not used for longest goes first. A cache never makes anything fail: what cannot be read or
//! written is made again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// Bytes that all entries together may take.
const LIMIT_BYTES: u64 = 1 << 30;

/// Bytes that a process writes before it looks at the limit again.
const BETWEEN_SWEEPS_BYTES: u64 = 64 << 20;

/// Everything that an entry depends on.
#[derive(Clone)]
pub struct Key(Sha256);

impl Key {
    /// `kind` tells what is kept apart from all other kinds.
    pub fn of(kind: &str) -> Key {
        Key(Sha256::new()).and(kind)
    }

    /// The key of what depends on `text`, too.
    #[must_use]
    pub fn and(mut self, text: impl AsRef<[u8]>) -> Key {
        let text = text.as_ref();
        // With its length, so that two texts never run into each other.
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
        self
    }

    fn bytes(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}

/// Entries by key.
pub struct Cache {
    folder: PathBuf,
    limit: u64,
    /// What was written since the limit was last looked at.
    written: AtomicU64,
}

impl Cache {
    /// The user's, if there is to be one.
    pub fn of_user() -> Option<Cache> {
        Some(Cache::at(folder(|name| std::env::var_os(name).map(PathBuf::from))?, LIMIT_BYTES))
    }

    /// A cache in a folder, which is made when something is kept.
    pub fn at(folder: PathBuf, limit: u64) -> Cache {
        // So that the first entry of a process sweeps.
        Cache { folder, limit, written: AtomicU64::new(BETWEEN_SWEEPS_BYTES) }
    }

    fn path(&self, key: &[u8; 32]) -> PathBuf {
        self.folder.join(key.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    /// What was kept under a key, if it is there and whole.
    pub fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let key = key.bytes();
        let path = self.path(&key);
        let mut bytes = fs::read(&path).ok()?;
        let content = bytes.split_off(bytes.len().min(2 * key.len()));
        if bytes != head(&key, &content) {
            return None;
        }
        // It counts as used now. Where that cannot be written, it only goes earlier.
        let _ = File::options().append(true).open(&path).and_then(|f| f.set_modified(SystemTime::now()));
        Some(content)
    }

    /// Keeps `content` under a key, if the folder can be written.
    pub fn put(&self, key: &Key, content: &[u8]) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let key = key.bytes();
        let (path, number) = (self.path(&key), NUMBER.fetch_add(1, Ordering::Relaxed));
        let partial = path.with_extension(format!("{}-{number}", std::process::id()));
        let entry = [head(&key, content).as_slice(), content].concat();
        let written = fs::create_dir_all(&self.folder).and_then(|()| fs::write(&partial, &entry));
        if written.and_then(|()| fs::rename(&partial, &path)).is_err() {
            let _ = fs::remove_file(&partial);
            return;
        }
        let bytes = entry.len() as u64;
        if self.written.fetch_add(bytes, Ordering::Relaxed) + bytes > BETWEEN_SWEEPS_BYTES {
            self.written.store(0, Ordering::Relaxed);
            self.sweep();
        }
    }

    /// Removes what was not used for longest, down to three quarters of the limit, where there is more than the limit.
    fn sweep(&self) {
        let mut files = files(&self.folder);
        let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        if bytes <= self.limit {
            return;
        }
        files.sort();
        for (_, size, path) in files {
            if bytes <= self.limit / 4 * 3 {
                break;
            }
            if fs::remove_file(path).is_ok() {
                bytes -= size;
            }
        }
    }
}

/// What an entry begins with: its key, and a hash of it and the content.
fn head(key: &[u8; 32], content: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(key);
    hash.update(content);
    key.iter().copied().chain(hash.finalize()).collect()
}

/// When a file was last used, its bytes, and its path.
type Used = (SystemTime, u64, PathBuf);

fn files(folder: &Path) -> Vec<Used> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let used = entries.filter_map(|entry| {
        let data = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some((data.modified().ok()?, data.len(), entry.path()))
    });
    used.collect()
}

/// The folder that the environment asks for.
fn folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    if variable("ZOETROPE_CACHE").is_some() {
        return set("ZOETROPE_CACHE").map(|folder| folder.join("made"));
    }
    let caches = if cfg!(windows) {
        set("LOCALAPPDATA")?
    } else if cfg!(target_os = "macos") {
        set("HOME")?.join("Library/Caches")
    } else {
        set("XDG_CACHE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| Some(set("HOME")?.join(".cache")))?
    };
    Some(caches.join("zoetrope").join("made"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(name: &str, limit: u64) -> Cache {
        let folder = std::env::temp_dir().join(format!("zoetrope-cache-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Cache::at(folder, limit)
    }

    #[test]
    fn keys_are_lists_of_texts() {
        let bytes = |kind, texts: &[&str]| texts.iter().fold(Key::of(kind), |key, t| key.and(t)).bytes();
        assert_eq!(bytes("a", &["b", "c"]), bytes("a", &["b", "c"]));
        let others =
            [bytes("a", &["bc"]), bytes("a", &["", "bc"]), bytes("ab", &["c"]), bytes("a", &["c", "b"])];
        assert!(others.iter().all(|other| *other != bytes("a", &["b", "c"])));
    }

    #[test]
    fn only_whole_entries_of_the_key_are_trusted() {
        let cache = fresh("trust", 1 << 20);
        let (one, other) = (Key::of("test").and("1"), Key::of("test").and("2"));
        assert_eq!(cache.get(&one), None);
        cache.put(&one, b"content");
        cache.put(&one, b"content of the one");
        assert_eq!(cache.get(&one).as_deref(), Some(&b"content of the one"[..]));
        assert_eq!(cache.get(&other), None);
        // Another key's entry, a short one, and one with a changed bit under the right name.
        let path = cache.path(&one.bytes());
        let whole = fs::read(&path).unwrap();
        fs::copy(&path, cache.path(&other.bytes())).unwrap();
        assert_eq!(cache.get(&other), None);
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(cache.get(&one), None, "{length} bytes");
        }
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        fs::write(&path, changed).unwrap();
        assert_eq!(cache.get(&one), None);
        fs::write(&path, whole).unwrap();
        assert!(cache.get(&one).is_some());
        fs::remove_dir_all(&cache.folder).unwrap();
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let cache = fresh("limit", 1000);
        let key = |i: u32| Key::of("test").and(i.to_le_bytes());
        (0..8).for_each(|i| cache.put(&key(i), &[0; 100]));
        // Entries of 164 bytes, used in the order of their numbers, but for the first, which is used last.
        let ages = (1..8)
            .chain([0])
            .zip(0..)
            .map(|(i, age)| (i, SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age)));
        for (i, time) in ages {
            File::options()
                .append(true)
                .open(cache.path(&key(i).bytes()))
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
        cache.sweep();
        let left: Vec<u32> = (0..8).filter(|i| cache.path(&key(*i).bytes()).exists()).collect();
        assert_eq!(left, [0, 5, 6, 7]);
        fs::remove_dir_all(&cache.folder).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_keeps_nothing() {
        let cache = Cache::at(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"), 1000);
        cache.put(&Key::of("test"), b"content");
        assert_eq!(cache.get(&Key::of("test")), None);
    }

    #[test]
    fn the_environment_says_where() {
        let with = |set: &'static [(&str, &str)]| {
            folder(move |name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| PathBuf::from(value)))
        };
        assert_eq!(with(&[("ZOETROPE_CACHE", "/c"), ("HOME", "/h")]), Some("/c/made".into()));
        assert_eq!(with(&[("ZOETROPE_CACHE", ""), ("HOME", "/h")]), None);
        assert_eq!(with(&[]), None);
        if cfg!(target_os = "linux") {
            assert_eq!(with(&[("HOME", "/h")]), Some("/h/.cache/zoetrope/made".into()));
            assert_eq!(with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Some("/x/zoetrope/made".into()));
        }
    }
}
