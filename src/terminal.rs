//! All that the commands print. A reader that goes away, or a full disk behind standard error, never ends a run.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Writes to standard output what a command was asked for. A reader that went away, such as `head`, has all it wanted.
///
/// # Errors
/// Standard output cannot be written for another reason.
pub fn result(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e),
        _ => Ok(()),
    }
}

/// One line on standard output beside what a command has written into files. Nobody may be there to read it.
pub fn info(text: &str) {
    let _ = result(format!("{text}\n").as_bytes());
}

/// One line on standard error: progress, errors. Nobody may be there to read it.
pub fn line(text: &str) {
    // One write a line, so that lines of several processes do not mix.
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

thread_local! {
    /// Notes that somebody collects.
    static COLLECTED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// A note: what a user should know about a run that goes on.
pub fn note(text: impl Display) {
    let text = text.to_string();
    let printed = COLLECTED.with_borrow_mut(|collected| match collected {
        Some(notes) => {
            notes.push(text);
            None
        }
        None => Some(text),
    });
    if let Some(text) = printed {
        line(&format!("note: {text}"));
    }
}

/// What `work` leaves, and the notes that it makes in this thread, which are not printed.
pub fn noted<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    let before = COLLECTED.replace(Some(Vec::new()));
    let left = work();
    (left, COLLECTED.replace(before).unwrap_or_default())
}

/// Whether standard error is a terminal that can draw over what it shows, and may.
pub fn draws() -> bool {
    io::stderr().is_terminal() && may_draw(std::env::var_os)
}

fn may_draw(variable: impl Fn(&'static str) -> Option<OsString>) -> bool {
    let dumb = variable("TERM").is_some_and(|term| term == "dumb");
    !dumb && variable("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_handed_back_where_somebody_collects_them() {
        let (inner, notes) = noted(|| {
            note("first");
            let (_, inner) = noted(|| note("inner"));
            note("second");
            inner
        });
        assert_eq!(
            (inner, notes),
            (vec!["inner".to_string()], vec!["first".to_string(), "second".to_string()])
        );
    }

    #[test]
    fn a_dumb_terminal_gets_lines() {
        let draws = |name: &'static str, value: &str| {
            may_draw(|asked| (asked == name).then(|| OsString::from(value)))
        };
        assert!(draws("TERM", "xterm") && draws("NO_COLOR", "") && draws("", ""));
        assert!(!draws("TERM", "dumb") && !draws("NO_COLOR", "1"));
    }
}
