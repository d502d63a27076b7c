//! The command line: prompts that begin with a dash, and help that nobody waits for.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;
use clap::error::Error;

use super::adapters::ADAPTERS;
use super::images::NUMBERS;
use super::references::REFERENCE;
use crate::failure::{Failure, Kind};
use crate::terminal;

/// What the command line asks for.
///
/// # Errors
/// The exit code, with help or what is wrong printed.
pub fn parse<C: Parser>() -> Result<C, ExitCode> {
    parse_from(std::env::args_os()).map_err(|error| print(&error))
}

/// What these arguments ask for, of which the first one is the program.
///
/// # Errors
/// Help, or what is wrong.
pub fn parse_from<C: Parser>(args: impl Iterator<Item = OsString>) -> Result<C, Error> {
    parsed(&joined(args))
}

/// A prompt may begin with a dash: where the arguments make no sense otherwise, the first that looks like a sentence is
/// taken for one.
fn parsed<C: Parser>(args: &[OsString]) -> Result<C, Error> {
    C::try_parse_from(args).or_else(|error| {
        let divided = args.iter().any(|arg| arg == "--");
        let at = args.iter().position(|arg| is_sentence(&arg.to_string_lossy()));
        let behind = at.filter(|_| !divided).map(|at| {
            let mut args = args.to_vec();
            let sentence = args.remove(at);
            args.extend(["--".into(), sentence]);
            args
        });
        behind.and_then(|args| C::try_parse_from(args).ok()).ok_or(error)
    })
}

/// The official command line gives numbers as values of their own: `--lora PATH STRENGTH` is read as
/// `--lora PATH:STRENGTH`.
fn joined(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut out: Vec<OsString> = Vec::new();
    for arg in args {
        let number = is_number(&arg.to_string_lossy()) && wants_number(&out);
        match out.last_mut().filter(|_| number) {
            Some(path) => {
                path.push(":");
                path.push(arg);
            }
            None => out.push(arg),
        }
    }
    out
}

/// Words such as `nan` and `infinity` are prompts.
fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) && text.parse::<f32>().is_ok()
}

/// How many numbers may follow the value of an option.
fn numbers_behind(option: &str) -> usize {
    match option {
        one if ADAPTERS.contains(&one) || one == REFERENCE => 1,
        image if image == NUMBERS.0 => NUMBERS.1,
        _ => 0,
    }
}

/// True where the last argument is the value of an option behind which another number may follow.
fn wants_number(args: &[OsString]) -> bool {
    let Some(last) = args.last().map(|arg| arg.to_string_lossy()) else { return false };
    let before = args.len().checked_sub(2).map(|at| args[at].to_string_lossy());
    let (value, most) = match (before.as_deref().map(numbers_behind), last.split_once('=')) {
        (Some(most), _) if most > 0 => (&*last, most),
        (_, Some((option, value))) => (value, numbers_behind(option)),
        _ => return false,
    };
    value.rsplit(':').take_while(|part| is_number(part)).count() < most
}

/// Several words behind a dash, and no option with its value.
fn is_sentence(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    text.starts_with('-') && first.len() < text.len() && !first.contains('=')
}

/// Help goes to standard output, where it is what was asked for.
fn print(error: &Error) -> ExitCode {
    match error.print().and_then(|()| terminal::result(&[])) {
        Err(e) if !error.use_stderr() && e.kind() != ErrorKind::BrokenPipe => {
            Failure::new(Kind::Failure, format!("cannot write to standard output: {e}")).report()
        }
        _ => ExitCode::from(error.exit_code() as u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser, Debug)]
    struct Cli {
        #[command(flatten)]
        prompt: super::super::prompt::PromptArgs,
        #[arg(short)]
        output: Option<String>,
        #[arg(short)]
        quiet: bool,
    }

    fn prompt(args: &[&str]) -> Option<String> {
        let args: Vec<OsString> = ["program"].iter().chain(args).map(OsString::from).collect();
        parsed::<Cli>(&args).ok().map(|cli| cli.prompt.text().unwrap())
    }

    #[test]
    fn a_strength_may_stand_apart() {
        let read = |args: &[&str]| -> Vec<String> {
            let read = joined(args.iter().map(OsString::from));
            read.into_iter().map(|arg| arg.into_string().unwrap()).collect()
        };
        assert_eq!(read(&["x", "--lora", "a", "0.5", "5"]), ["x", "--lora", "a:0.5", "5"]);
        assert_eq!(
            read(&["x", "--lora=a", "-1", "--lora", "b", "y"]),
            ["x", "--lora=a:-1", "--lora", "b", "y"]
        );
        for alone in [
            &["--lora", "a:2", "3"][..],
            &["--lora", "a", "infinity"],
            &["--seed", "a", "3"],
            &["a", "3"],
            &["3"],
        ] {
            assert_eq!(read(alone), alone);
        }
    }

    #[test]
    fn a_sentence_behind_a_dash_is_a_prompt() {
        for text in
            ["-5 degrees, snow", "-quick fox", "--a fox", "- a list", "a - b", "-o", "\u{2014} a dash"]
        {
            let said = prompt(&["--prompt", text]);
            assert_eq!(said.as_deref(), Some(text));
            if text != "-o" {
                assert_eq!(prompt(&["-q", text, "-o", "my clip.mp4"]), said);
                assert_eq!(prompt(&["-omy clip.mp4", "--", text]), said);
            }
        }
        for args in
            [&["--sede", "3", "x"][..], &["--sede=3 4", "x"], &["-z", "x"], &["-o", "-my clip.mp4"], &[]]
        {
            assert_eq!(prompt(args), None, "{args:?}");
        }
    }
}
