//! All that the commands print. A reader that goes away, or a full disk behind standard error, never ends a run.

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

/// A note: what a user should know about a run that goes on.
pub fn note(text: impl Display) {
    line(&format!("note: {text}"));
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
    fn a_dumb_terminal_gets_lines() {
        let draws = |name: &'static str, value: &str| {
            may_draw(|asked| (asked == name).then(|| OsString::from(value)))
        };
        assert!(draws("TERM", "xterm") && draws("NO_COLOR", "") && draws("", ""));
        assert!(!draws("TERM", "dumb") && !draws("NO_COLOR", "1"));
    }
}
