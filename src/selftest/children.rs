//! Cases in processes of their own. After an error a card's context is gone, and a kernel that never ends is stopped by
//! ending its process: then the next process goes on behind the case that failed, and nothing that was found is lost.
//!
//! A child says on its standard output, a line each: `begins N`, and `done N ERROR SECONDS`.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::Measured;

/// The line of a case that begins.
pub fn begins(number: usize) -> String {
    format!("begins {number}")
}

/// The line of a case that is done.
pub fn done(number: usize, measured: Measured) -> String {
    format!("done {number} {} {}", measured.error, measured.seconds)
}

/// What a line says.
#[derive(Debug, PartialEq)]
enum Said {
    Begins(usize),
    Done(usize, Measured),
}

impl Said {
    fn parse(line: &str) -> Option<Said> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["begins", number] => Some(Said::Begins(number.parse().ok()?)),
            ["done", number, error, seconds] => {
                let measured = Measured { error: error.parse().ok()?, seconds: seconds.parse().ok()? };
                Some(Said::Done(number.parse().ok()?, measured))
            }
            _ => None,
        }
    }
}

/// Runs cases 0 to `count`; `start` gives the program that runs those from a number on, and `each` gets what every case
/// gave, or why it gave nothing. A case that says nothing for `limit` is ended.
///
/// # Errors
/// A child does not start, or ends before its first case: what it said, for what is wrong then is not the case.
pub fn supervise(
    count: usize,
    limit: Duration,
    mut start: impl FnMut(usize) -> Command,
    mut each: impl FnMut(usize, Result<Measured, String>),
) -> Result<(), String> {
    let mut next = 0;
    while next < count {
        let mut command = start(next);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|e| format!("a process for the cases does not start: {e}"))?;
        let (begun, why) = follow(child, limit, &mut next, &mut each)
            .map_err(|e| format!("a process for the cases cannot be followed: {e}"))?;
        if !begun {
            return Err(why);
        }
        if next < count {
            each(next, Err(why));
            next += 1;
        }
    }
    Ok(())
}

/// Follows a child to its end: whether a case began, and, where one did not end, why.
fn follow(
    mut child: Child,
    limit: Duration,
    next: &mut usize,
    each: &mut impl FnMut(usize, Result<Measured, String>),
) -> io::Result<(bool, String)> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (tell, told) = channel();
    let listeners = thread::Builder::new()
        .spawn(move || {
            let lines = out.into_iter().flat_map(|out| BufReader::new(out).lines()).map_while(Result::ok);
            // Nobody listens any more where the child was ended.
            lines.map_while(|line| tell.send(line).ok()).for_each(drop);
        })
        .and_then(|reader| {
            let complaints = thread::Builder::new().spawn(move || {
                let mut text = String::new();
                err.map(|mut err| err.read_to_string(&mut text));
                text
            })?;
            Ok((reader, complaints))
        });
    let (reader, complaints) = match listeners {
        Ok(listeners) => listeners,
        Err(why) => {
            // Without a listener it would wait for one.
            child.kill().and_then(|()| child.wait())?;
            return Err(why);
        }
    };
    let mut begun = false;
    let silent = listen(&told, limit, |said| match said {
        Said::Begins(_) => begun = true,
        Said::Done(number, measured) if number == *next => {
            each(number, Ok(measured));
            *next += 1;
        }
        Said::Done(..) => {}
    });
    if silent {
        child.kill()?;
    }
    let status = child.wait()?;
    drop(told);
    let _ = reader.join();
    let text = complaints.join().unwrap_or_default();
    let why = match text.trim() {
        _ if silent => format!("said nothing for {} s, and was ended", limit.as_secs()),
        "" => format!("ended without a word: {status}"),
        text => text.strip_prefix("error: ").unwrap_or(text).to_string(),
    };
    Ok((begun, why))
}

/// Passes on what is said until nobody speaks any more; true where somebody could, but did not for `limit`.
fn listen(told: &Receiver<String>, limit: Duration, mut hear: impl FnMut(Said)) -> bool {
    loop {
        match told.recv_timeout(limit) {
            Ok(line) => Said::parse(&line).into_iter().for_each(&mut hear),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Runs a shell script for every child, `$0` being the first case, with a limit of a second.
    fn supervised(count: usize, script: &str) -> (Result<(), String>, Vec<Result<Measured, String>>) {
        let mut all = Vec::new();
        let start = |from: usize| {
            let mut command = Command::new("sh");
            command.args(["-c", script, &from.to_string()]);
            command
        };
        let end = supervise(count, Duration::from_secs(1), start, |number, measured| {
            assert_eq!(number, all.len());
            all.push(measured);
        });
        (end, all)
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        for error in [0.0, 1.25e-3, f64::INFINITY] {
            let measured = Measured { error, seconds: 3.5e-6 };
            assert_eq!(Said::parse(&done(17, measured)), Some(Said::Done(17, measured)));
        }
        assert_eq!(Said::parse(&begins(3)), Some(Said::Begins(3)));
        assert_eq!(Said::parse("done 3 much 1"), None);
    }

    #[test]
    fn cases_go_on_behind_one_that_fails_and_one_that_hangs() {
        // The second fails, the fourth hangs.
        let script = "for i in $(seq $0 4); do echo begins $i; case $i in \
                      1) echo 'error: launch 1 is lost' >&2; exit 4;; 3) exec sleep 100;; esac; echo done $i 0 1e-6; done";
        let (end, all) = supervised(5, script);
        assert_eq!(end, Ok(()));
        let good = Ok(Measured { error: 0.0, seconds: 1e-6 });
        assert_eq!(all[..3], [good.clone(), Err("launch 1 is lost".to_string()), good.clone()]);
        assert!(all[3].as_ref().is_err_and(|why| why.contains("nothing for 1 s")), "{:?}", all[3]);
        assert_eq!((all.len(), &all[4]), (5, &good));
    }

    #[test]
    fn without_a_card_there_is_one_error_and_not_one_for_every_case() {
        let (end, all) = supervised(9, "echo 'error: there is no card' >&2; exit 4");
        assert_eq!((end, all.len()), (Err("there is no card".to_string()), 0));
        let (end, all) = supervised(3, "[ $0 -gt 0 ] && exit 4; echo begins 0; exit 4");
        assert!(end.unwrap_err().contains("without a word"));
        assert!(all.len() == 1 && all[0].is_err());
    }
}
