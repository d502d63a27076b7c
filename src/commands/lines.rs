//! The lines of a batch: each asks for a clip as the words behind `zoetrope generate` do.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::order::OrderArgs;
use super::parse::parse_from;
use super::prompt::text_of;
use crate::failure::Failure;
use crate::terminal::{self, noted};

/// A batch of a hundred thousand clips is shorter.
const MAX_BYTES: u64 = 64 << 20;

/// What a line that is not one should have been.
const HELP: &str = "a line is what stands behind zoetrope generate, without model files, --device and --quiet, which are \
    given once (docs/batch.md)";

/// A line that asks for a clip.
#[derive(Debug)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    pub order: OrderArgs,
}

#[derive(Parser)]
#[command(disable_help_flag = true)]
struct Words {
    #[command(flatten)]
    order: OrderArgs,
}

/// A file of lines, by its path.
pub struct Lines<'f>(pub &'f Path);

impl Lines<'_> {
    /// A failure that says which line it is of.
    pub fn at(&self, number: usize, failure: Failure) -> Failure {
        Failure::new(failure.kind, format!("{}:{number}: {}", self.0.display(), failure.message))
    }

    /// Looks at what stands in lines, all of it, and says what a user should know, each thing once.
    ///
    /// # Errors
    /// All failures as one, of the kind of the first.
    pub fn each<I, T>(
        &self,
        items: impl IntoIterator<Item = (usize, I)>,
        mut look: impl FnMut(I) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let (mut good, mut failures, mut known) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (number, item) in items {
            let (found, notes) = noted(|| look(item));
            for note in notes.into_iter().filter(|note| known.insert(note.clone())) {
                terminal::note(format_args!("{}:{number}: {note}", self.0.display()));
            }
            match found {
                Ok(found) => good.push(found),
                Err(failure) => failures.push(self.at(number, failure)),
            }
        }
        let Some(Failure { kind, .. }) = failures.first() else { return Ok(good) };
        let messages: Vec<&str> = failures.iter().map(|failure| failure.message.as_str()).collect();
        Err(Failure::new(*kind, messages.join("\n")))
    }

    /// Reads the file. Empty lines do not count, nor those that begin with `#`.
    ///
    /// # Errors
    /// A file that cannot be read or asks for nothing, and every line that makes no sense.
    pub fn read(&self) -> Result<Vec<Line>, Failure> {
        let shown = self.0.display();
        let text = text_of(self.0, MAX_BYTES)
            .map_err(|e| Failure::usage(format!("cannot read the batch from {shown}: {e}")))?;
        let lines = text.lines().zip(1..).map(|(line, number)| (number, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let lines = self.each(lines.map(|(number, line)| (number, (number, line))), |(number, line)| {
            parsed(number, line)
        })?;
        match lines.is_empty() {
            true => Err(Failure::usage(format!("{shown} asks for no clip\n  help  {HELP}"))),
            false => Ok(lines),
        }
    }
}

fn parsed(number: usize, line: &str) -> Result<Line, Failure> {
    let refused = |why: &str| Failure::usage(format!("{why}\n  help  {HELP}"));
    let words =
        shlex::split(line).ok_or_else(|| refused("a quote or a backslash at the end is not closed"))?;
    let words = ["generate".to_string()].into_iter().chain(words).map(OsString::from);
    let order = parse_from::<Words>(words).map_err(|error| {
        let said = error.to_string();
        let said = said.split("\n\n").next().unwrap_or_default();
        refused(said.strip_prefix("error: ").unwrap_or(said))
    })?;
    let order = order.order;
    match order.stream() {
        None => Ok(Line { number, order }),
        Some(stream) => Err(Failure::usage(format!(
            "a line of a batch has no {stream} of its own\n  want  the path of a file"
        ))),
    }
}

/// Refuses lines that write into one place; `written` are the paths of each line.
///
/// # Errors
/// The first path that two of them write.
pub fn apart(file: &Path, written: &[(usize, Vec<PathBuf>)]) -> Result<(), Failure> {
    let mut by: BTreeMap<&Path, usize> = BTreeMap::new();
    for (number, path) in
        written.iter().flat_map(|(number, paths)| paths.iter().map(move |path| (number, path)))
    {
        if let Some(other) = by.insert(path, *number).filter(|other| other != number) {
            return Err(Failure::usage(format!(
                "{}:{number}: {} would be written twice\n  have  line {other} writes it, too\n  help  choose another name \
                 for one of the outputs",
                file.display(),
                path.display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Line>, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clips.txt");
        std::fs::write(&path, text).unwrap();
        Lines(&path).read()
    }

    #[test]
    fn a_line_is_what_stands_behind_generate() {
        let text = "\u{feff}# two clips\r\n\r\n  \"a red ball, -5 degrees\" -o 'my clip.mp4' --seed 3\n\
                    --prompt-file words.txt -o b.mp4 --lora a 0.5 # words behind\n";
        let lines = read(text).unwrap();
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [3, 4]);
        let said = format!("{:?}", lines[0].order);
        for words in ["a red ball, -5 degrees", "my clip.mp4", "seed: 3"] {
            assert!(said.contains(words), "{words:?} is not in {said}");
        }
        assert_eq!(lines[1].order.paths().count(), 2, "a text and an adapter");
    }

    #[test]
    fn every_line_that_makes_no_sense_is_named() {
        let text =
            "x -o a.mp4\n\"x -o b.mp4\nx -o c.mp4 --device cpu\nx\nx -o -\n--prompt-file - -o d.mp4\n--help";
        let failure = read(text).unwrap_err();
        let said = &failure.message;
        assert_eq!(failure.kind as u8, 2);
        assert!(!said.contains("clips.txt:1:"), "{said}");
        for words in [
            "clips.txt:2: a quote",
            "clips.txt:3: unexpected argument '--device'",
            "clips.txt:4: the following required arguments were not provided",
            "clips.txt:5: a line of a batch has no standard output",
            "clips.txt:6: a line of a batch has no standard input",
            "clips.txt:7: unexpected argument '--help'",
        ] {
            assert!(said.contains(words), "{words:?} is not in {said}");
        }
        assert!(read("# nothing\n\n").unwrap_err().message.contains("asks for no clip"));
    }
}
