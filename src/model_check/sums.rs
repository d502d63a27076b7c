//! Files against a list of SHA-256 sums, as `sha256sum` writes it.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use zoetrope_runtime::files::TensorFile;
use zoetrope_runtime::plan::Source;

use super::{Problem, Report, text};
use crate::model_files::ModelFiles;

/// Sums by the names of files, without folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums(BTreeMap<String, String>);

impl Sums {
    /// Reads a list: a sum of 64 hexadecimal digits and a file's name in each line.
    ///
    /// # Errors
    /// A line that is none, or two sums for one name.
    pub fn parse(list: &str) -> Result<Sums, String> {
        let mut sums = BTreeMap::new();
        for (number, line) in list.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |what: &str| format!("line {} {what}", number + 1);
            let (sum, path) = line.trim().split_once([' ', '\t']).ok_or_else(|| wrong("names no file"))?;
            if sum.len() != 64 || !sum.chars().all(|c| c.is_ascii_hexdigit()) {
                return Err(wrong("does not begin with a SHA-256 sum"));
            }
            let path = Path::new(path.trim_start().trim_start_matches('*'));
            let name = path.file_name().ok_or_else(|| wrong("names no file"))?.to_string_lossy().into_owned();
            let sum = sum.to_ascii_lowercase();
            if sums.insert(name.clone(), sum.clone()).is_some_and(|other| other != sum) {
                return Err(wrong(&format!("has another sum for {name}")));
            }
        }
        Ok(Sums(sums))
    }
}

/// Adds to a report every file whose sum is another than the list says; files that it does not name are noted.
pub fn compare(report: &mut Report, sums: &Sums, files: &ModelFiles) {
    for source in Source::FILES {
        let given: Vec<&TensorFile> = files.source(source).files().collect();
        let checked = given.par_iter().map(|file| {
            let name = file.path().file_name().unwrap_or_default().to_string_lossy();
            let Some(wanted) = sums.0.get(name.as_ref()) else {
                return Err(format!("{}: the list has no SHA-256 sum for it", file.path().display()));
            };
            let found: String = Sha256::digest(file.contents()).iter().map(|b| format!("{b:02x}")).collect();
            Ok((found != *wanted)
                .then(|| format!("{}: its SHA-256 sum is {found}, {wanted} wanted", file.path().display())))
        });
        for checked in checked.collect::<Vec<_>>() {
            match checked {
                Ok(None) => {}
                Ok(Some(message)) => report.problems.push(Problem::Unreadable { source, message }),
                Err(note) => report.notes.push(note),
            }
        }
    }
    report.help = text::help(&report.problems, files);
}

#[cfg(test)]
mod tests {
    use super::Sums;

    #[test]
    fn lists_are_read_line_by_line() {
        let sum = "0123456789abcdef".repeat(4);
        let both = format!("{sum}  a/x.safetensors\n\n{} *y.gguf\n", sum.to_uppercase());
        let sums = Sums::parse(&both).unwrap();
        assert_eq!(sums.0.keys().collect::<Vec<_>>(), ["x.safetensors", "y.gguf"]);
        assert!(sums.0.values().all(|found| *found == sum));
        assert!(Sums::parse("abc x").unwrap_err().contains("line 1 does not begin with a SHA-256 sum"));
        assert!(Sums::parse(&sum).unwrap_err().contains("names no file"));
        let other = format!("{sum} x\n{} x", "0".repeat(64));
        assert!(Sums::parse(&other).unwrap_err().contains("line 2 has another sum for x"));
    }
}
