//! Bytes of mapped files that will be wanted soon. A thread of its own waits for the disk, so that no thread that computes
//! has to.
//!
//! It has the system read what was asked for, in order and as for a program that reads a file from front to back: the next
//! bytes are on their way, and pages are in memory before they are first touched. Two other ways are slower. Advice for all of
//! it at once is cut off after what the system would read ahead anyway. Mapping the pages here waits for each of them, and
//! where all cores compute, the disk waits for this thread.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;

use memmap2::Advice;

use crate::map::Mapping;

/// Bytes that are read at a time: what is no longer wanted delays others by no more.
const STEP: usize = 2 << 20;

/// So much can be asked for; what is beyond it comes when it is read. A step that streams weights allocates nothing.
const MOST: usize = 1024;

/// What was asked for and is not there yet.
static ASKED: Mutex<VecDeque<Asked>> = Mutex::new(VecDeque::new());
static MORE: Condvar = Condvar::new();

struct Asked {
    mapping: Arc<Mapping>,
    range: Range<usize>,
}

/// Asks for bytes of a mapping, and does not wait for them.
pub fn ask(mapping: Arc<Mapping>, range: Range<usize>) {
    static READS: OnceLock<bool> = OnceLock::new();
    let reads = || {
        if let Ok(mut asked) = ASKED.lock() {
            asked.reserve(MOST);
        }
        thread::Builder::new().name("read ahead".into()).spawn(read).is_ok()
    };
    if !*READS.get_or_init(reads) {
        return advise(&mapping, &range);
    }
    if let Ok(mut asked) = ASKED.lock()
        && asked.len() < MOST
    {
        asked.push_back(Asked { mapping, range });
        MORE.notify_one();
    }
}

/// Takes back what was asked for of some bytes of a mapping.
pub fn forget(mapping: &Arc<Mapping>, range: &Range<usize>) {
    let within = |asked: &Asked| {
        Arc::ptr_eq(&asked.mapping, mapping)
            && range.start <= asked.range.start
            && asked.range.end <= range.end
    };
    if let Ok(mut asked) = ASKED.lock() {
        asked.retain(|asked| !within(asked));
    }
}

/// Reads what is asked for, as long as the program runs.
fn read() {
    while let Ok(asked) = ASKED.lock().and_then(|asked| MORE.wait_while(asked, |asked| asked.is_empty())) {
        let Some((mapping, range)) = step(asked) else { continue };
        if !passed(&mapping, &range) {
            advise(&mapping, &range);
        }
    }
}

/// The next bytes that are to be read.
fn step(
    mut asked: impl std::ops::DerefMut<Target = VecDeque<Asked>>,
) -> Option<(Arc<Mapping>, Range<usize>)> {
    let first = asked.front_mut()?;
    let end = first.range.end.min(first.range.start + STEP);
    let next = (Arc::clone(&first.mapping), first.range.start..end);
    first.range.start = end;
    if first.range.is_empty() {
        asked.pop_front();
    }
    Some(next)
}

/// Passes bytes to a device that takes them without looking, so that the system has read them and nothing is copied; false
/// where the system cannot do so, or the file is shorter now.
#[cfg(target_os = "linux")]
fn passed(mapping: &Mapping, range: &Range<usize>) -> bool {
    static NOWHERE: OnceLock<Option<std::fs::File>> = OnceLock::new();
    let nowhere = NOWHERE.get_or_init(|| std::fs::File::options().write(true).open("/dev/null").ok());
    let Some(nowhere) = nowhere else { return false };
    let mut left = range.clone();
    while !left.is_empty() {
        let mut from = left.start as u64;
        match rustix::fs::sendfile(nowhere, &mapping.file, Some(&mut from), left.len()) {
            Ok(bytes @ 1..) => left.start += bytes,
            Err(rustix::io::Errno::INTR) => {}
            _ => return false,
        }
    }
    true
}

#[cfg(not(target_os = "linux"))]
fn passed(_: &Mapping, _: &Range<usize>) -> bool {
    false
}

/// Tells the system what will be wanted. Advice that is not taken changes nothing.
fn advise(mapping: &Mapping, range: &Range<usize>) {
    let _ = mapping.map.advise_range(Advice::WillNeed, range.start, range.len());
}
