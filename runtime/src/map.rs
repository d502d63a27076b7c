//! Files mapped into memory. All `unsafe` code that reading model files needs is in this file.
//!
//! A mapped file that another program changes is a changed model, and one that is cut short ends whoever reads the lost
//! pages with the signal SIGBUS. Both are guarded by asking, not prevented: [`Map::unchanged`] compares length and time of
//! the open file with what they were. The CPU executor asks before every launch and behind the last one of a turn, the
//! CUDA executor before every piece of at most 16 MiB that it copies and behind every transfer. So:
//!
//! - a change between two of these moments ends the run with an error that names the file, before anything that was read
//!   afterwards is used;
//! - a file that is replaced under its name (renamed over, deleted) stays what it was: the mapping holds the old one;
//! - a file that is cut short *while* one launch or piece reads the lost pages, or whose disk fails then, still ends in
//!   SIGBUS: [`file_at`] tells a program's handler which file it was, so that it can say so in its last words;
//! - a change that leaves length and time of modification as they were is not seen.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use memmap2::Mmap;

#[cfg(unix)]
use crate::ahead;

/// The addresses of all mappings, each with the name of its file.
static MAPPED: Mutex<Vec<Mapped>> = Mutex::new(Vec::new());

type Mapped = (Range<usize>, String, Arc<Mapping>);

/// A file, and where it is mapped.
#[derive(Debug)]
pub struct Mapping {
    pub file: File,
    pub map: Mmap,
}

/// Calls `tell` with the name of the file that is mapped at an address; false where there is none. For a signal's handler:
/// it allocates nothing, and where the list is in use by another it does not wait.
pub fn file_at(address: usize, tell: impl FnOnce(&str)) -> bool {
    let Ok(mapped) = MAPPED.try_lock() else { return false };
    let found = mapped.iter().find(|(range, ..)| range.contains(&address));
    found.map(|(_, name, _)| tell(name)).is_some()
}

/// Asks for bytes of a mapped file that will be wanted soon, and does not wait for them. Bytes of no mapped file are there
/// already.
pub fn soon(bytes: &[u8]) {
    #[cfg(unix)]
    if let Some((mapping, place)) = mapping(bytes) {
        ahead::ask(mapping, place);
    }
    #[cfg(not(unix))]
    let _ = mapping(bytes);
}

/// Gives back the memory that bytes of a mapped file take in this process, where they will not be read again soon. If they
/// are, they come from the file once more, or from the system's cache of it.
pub fn done(bytes: &[u8]) {
    #[cfg(unix)]
    if let Some((mapping, place)) = mapping(bytes) {
        ahead::forget(&mapping, &place);
        let advice = memmap2::UncheckedAdvice::DontNeed;
        // SAFETY: what this could lose are changes of a private mapping. This one is read-only, so every page of it is
        // one of the file, before and after.
        let _ = unsafe { mapping.map.unchecked_advise_range(advice, place.start, place.len()) };
    }
    #[cfg(not(unix))]
    let _ = mapping(bytes);
}

/// The mapping that bytes are in, and where.
fn mapping(bytes: &[u8]) -> Option<(Arc<Mapping>, Range<usize>)> {
    let at = bytes.as_ptr().addr();
    let mapped = MAPPED.lock().ok()?;
    let (range, _, mapping) = mapped.iter().find(|(range, ..)| range.contains(&at))?;
    let first = at - range.start;
    Some((Arc::clone(mapping), first..first + bytes.len().min(range.len() - first)))
}

/// A file's bytes. The system reads a page when it is first touched, and may drop it again.
#[derive(Debug)]
pub struct Map {
    mapping: Arc<Mapping>,
    state: State,
}

/// What changes when somebody writes to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    bytes: u64,
    /// Nothing where the system does not know it.
    modified: Option<SystemTime>,
}

impl State {
    fn of(file: &File) -> io::Result<State> {
        let metadata = file.metadata()?;
        Ok(State { bytes: metadata.len(), modified: metadata.modified().ok() })
    }
}

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
        // Before the mapping: what is changed in between is seen.
        let state = State::of(&file)?;
        // SAFETY: a mapping is unsound only if its bytes change while they are borrowed. It is read-only, so this
        // process cannot change them. Another process that rewrites a model file during a run changes numbers that
        // are read once as plain bytes, of which every pattern is valid; what must hold across two reads (lengths,
        // names, UTF-8) is taken from a private copy of the header. One that cuts the file short ends this process
        // with SIGBUS: it reads no wrong memory.
        let map = unsafe { Mmap::map(&file)? };
        let from = map.as_ptr().addr();
        let range = from..from + map.len();
        let mapping = Arc::new(Mapping { file, map });
        if let Ok(mut mapped) = MAPPED.lock() {
            mapped.push((range, path.display().to_string(), Arc::clone(&mapping)));
        }
        Ok(Map { mapping, state })
    }

    /// Checks that the file has the length and the time of modification that it had when it was opened.
    ///
    /// # Errors
    /// It was changed, or the system does not say.
    pub fn unchanged(&self) -> io::Result<()> {
        let (then, now) = (self.state, State::of(&self.mapping.file)?);
        let why = match then.bytes.cmp(&now.bytes) {
            std::cmp::Ordering::Equal if then == now => return Ok(()),
            std::cmp::Ordering::Equal => "it was written to while it was in use".to_string(),
            _ => format!("it had {} bytes when it was opened, and now has {}", then.bytes, now.bytes),
        };
        let help = "model files must stay as they are until the command ends";
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("{why}\n  help  {help}")))
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        let from = self.as_ptr().addr();
        if let Ok(mut mapped) = MAPPED.lock() {
            mapped.retain(|(range, ..)| range.start != from);
        }
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.mapping.map
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::Map;

    #[test]
    fn maps_files_and_refuses_folders() {
        let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert_eq!(&*Map::open(&manifest).unwrap(), fs::read(&manifest).unwrap());
        let folder = Map::open(manifest.parent().unwrap()).unwrap_err();
        assert_eq!(folder.to_string(), "not a regular file");
    }

    #[test]
    fn a_file_that_changes_is_noticed_and_one_that_is_replaced_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        fs::write(&path, [7; 4096]).unwrap();
        let map = Map::open(&path).unwrap();
        map.unchanged().unwrap();
        let name_at = |address| {
            let mut found = None;
            super::file_at(address, |name| found = Some(name.to_string()));
            found
        };
        let last = map.as_ptr().addr() + 4095;
        assert_eq!(name_at(last).as_deref(), path.to_str());
        assert_eq!(name_at(0), None);
        fs::write(folder.path().join("new"), [8; 10]).unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        map.unchanged().unwrap();
        assert_eq!(*map, [7; 4096]);

        let map = Map::open(&path).unwrap();
        let open = File::options().append(true).open(&path).unwrap();
        open.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
        assert!(map.unchanged().unwrap_err().to_string().starts_with("it was written to"));
        open.set_len(3).unwrap();
        let shorter = map.unchanged().unwrap_err().to_string();
        assert!(shorter.contains("had 10 bytes when it was opened, and now has 3"), "{shorter}");
    }

    /// Bytes that this process has had read from disks, if the system counts them.
    #[cfg(target_os = "linux")]
    fn bytes_from_disk() -> u64 {
        let counted = fs::read_to_string("/proc/self/io").unwrap_or_default();
        let bytes = counted.lines().find_map(|line| line.strip_prefix("read_bytes: "));
        bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
    }

    /// Has the system drop a file from its cache; whether it comes from a disk then.
    #[cfg(target_os = "linux")]
    fn dropped(file: &File) -> bool {
        use std::os::unix::fs::FileExt;
        let drop = || rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        file.sync_all().unwrap();
        drop();
        let before = bytes_from_disk();
        file.read_exact_at(&mut [0], 0).unwrap();
        drop();
        bytes_from_disk() > before
    }

    /// How many KiB of a mapped file are in this process's memory, as Linux says.
    #[cfg(target_os = "linux")]
    fn resident(path: &std::path::Path) -> u64 {
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let (_, map) = maps.split_once(path.to_str().unwrap()).unwrap();
        let line = map.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_wanted_soon_comes_without_being_read_and_goes_when_it_is_done() {
        const BYTES: u64 = 64 << 20;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        fs::write(&path, vec![7; BYTES as usize]).unwrap();
        let file = File::open(&path).unwrap();
        // Where files lie in memory, nothing is waited for.
        if !dropped(&file) {
            return;
        }
        let map = Map::open(&path).unwrap();
        // What a look at the first byte had set on its way counts for that look.
        let looked_at = BYTES / 4;
        let before = bytes_from_disk();
        super::soon(&map);
        let comes = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            bytes_from_disk() - before >= BYTES - looked_at
        });
        assert!(comes, "{} of {BYTES} bytes", bytes_from_disk() - before);
        assert_eq!(map.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 7 * BYTES);
        assert!(resident(&path) > 0);
        super::done(&map);
        assert_eq!(resident(&path), 0);
        // What is done before its turn comes no more: at most what was being read, and what the system reads behind it.
        assert!(dropped(&file));
        let before = bytes_from_disk();
        super::soon(&map);
        super::done(&map);
        std::thread::sleep(Duration::from_millis(100));
        assert!(bytes_from_disk() - before < BYTES / 2, "{} of {BYTES} bytes", bytes_from_disk() - before);
    }
}
