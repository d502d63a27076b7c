//! Bytes of mapped files that will be wanted soon. A thread of its own waits for the disk, so that no thread that computes
//! has to.
//!
//! It has the system read and map what was asked for, in order and a few pages at a time, which the system does as for a
//! program that reads a file from front to back: the next bytes are on their way. Advice for all of it at once is cut off
//! after what the system would read ahead anyway, and comes page by page.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;

use memmap2::{Advice, Mmap};

/// Bytes that are read at a time: what is no longer wanted delays others by no more.
const STEP: usize = 2 << 20;

/// So much can be asked for; what is beyond it comes when it is read. A step that streams weights allocates nothing.
const MOST: usize = 1024;

/// What was asked for and is not there yet.
static ASKED: Mutex<VecDeque<Asked>> = Mutex::new(VecDeque::new());
static MORE: Condvar = Condvar::new();

struct Asked {
    map: Arc<Mmap>,
    range: Range<usize>,
}

/// Asks for bytes of a mapping, and does not wait for them.
pub fn ask(map: Arc<Mmap>, range: Range<usize>) {
    static READS: OnceLock<bool> = OnceLock::new();
    let reads = || {
        if let Ok(mut asked) = ASKED.lock() {
            asked.reserve(MOST);
        }
        thread::Builder::new().name("read ahead".into()).spawn(read).is_ok()
    };
    if !*READS.get_or_init(reads) {
        return advise(&map, &range);
    }
    if let Ok(mut asked) = ASKED.lock()
        && asked.len() < MOST
    {
        asked.push_back(Asked { map, range });
        MORE.notify_one();
    }
}

/// Takes back what was asked for of some bytes of a mapping.
pub fn forget(map: &Arc<Mmap>, range: &Range<usize>) {
    let within = |asked: &Asked| {
        Arc::ptr_eq(&asked.map, map) && range.start <= asked.range.start && asked.range.end <= range.end
    };
    if let Ok(mut asked) = ASKED.lock() {
        asked.retain(|asked| !within(asked));
    }
}

/// Reads what is asked for, as long as the program runs.
fn read() {
    while let Ok(asked) = ASKED.lock().and_then(|asked| MORE.wait_while(asked, |asked| asked.is_empty())) {
        let Some((map, range)) = step(asked) else { continue };
        if !populated(&map, &range) {
            advise(&map, &range);
        }
    }
}

/// The next bytes that are to be read.
fn step(mut asked: impl std::ops::DerefMut<Target = VecDeque<Asked>>) -> Option<(Arc<Mmap>, Range<usize>)> {
    let first = asked.front_mut()?;
    let end = first.range.end.min(first.range.start + STEP);
    let next = (Arc::clone(&first.map), first.range.start..end);
    first.range.start = end;
    if first.range.is_empty() {
        asked.pop_front();
    }
    Some(next)
}

/// Reads and maps bytes; false where the system cannot do so.
fn populated(map: &Mmap, range: &Range<usize>) -> bool {
    #[cfg(target_os = "linux")]
    let advice = Some(Advice::PopulateRead);
    #[cfg(not(target_os = "linux"))]
    let advice: Option<Advice> = None;
    advice.is_some_and(|advice| map.advise_range(advice, range.start, range.len()).is_ok())
}

/// Tells the system what will be wanted. Advice that is not taken changes nothing.
fn advise(map: &Mmap, range: &Range<usize>) {
    let _ = map.advise_range(Advice::WillNeed, range.start, range.len());
}
