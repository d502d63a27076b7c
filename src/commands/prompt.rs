//! Where prompts come from: the command line, or a file.

use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use zoetrope_runtime::files::{decode, given_text};

use crate::failure::Failure;
use crate::output::STREAM;

/// A prompt is a paragraph or two; what is longer than this is none.
const MAX_BYTES: u64 = 1 << 20;

/// What the clip shows.
#[derive(Args, Clone, Debug, Default)]
pub struct PromptArgs {
    /// What the clip shows and sounds like
    #[arg(required_unless_present_any = ["prompt_flag", "prompt_file", "prompts"])]
    prompt: Option<String>,
    #[arg(
        long = "prompt",
        value_name = "PROMPT",
        conflicts_with = "prompt",
        hide = true,
        allow_hyphen_values = true
    )]
    prompt_flag: Option<String>,
    /// The prompt from a text file instead; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "prompt_flag"])]
    prompt_file: Option<PathBuf>,
    /// A prompt for every window of a long clip from a text file, one a line; the last one is that of all windows behind
    /// (docs/long-clips.md)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "prompt_flag", "prompt_file"])]
    prompts: Option<PathBuf>,
}

impl PromptArgs {
    /// The file that prompts are read from, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.prompts.as_deref().or(self.prompt_file.as_deref())
    }

    /// The prompts of so many windows, in order; there may be fewer.
    ///
    /// # Errors
    /// As [`PromptArgs::text`], and more prompts than windows.
    pub fn of_windows(&self, windows: usize) -> Result<Vec<String>, Failure> {
        let Some(path) = &self.prompts else { return Ok(vec![self.text()?]) };
        let text = read(path)?;
        let lines: Vec<String> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string).collect();
        if lines.len() > windows {
            return Err(Failure::usage(format!(
                "{} holds {} prompts\n  want  at most {windows}, one for every window of the clip\n  help  a longer clip: \
                 --seconds",
                path.display(),
                lines.len()
            )));
        }
        Ok(lines)
    }

    /// The prompt.
    ///
    /// # Errors
    /// A file that cannot be read, holds no text, or is too long for a prompt.
    pub fn text(&self) -> Result<String, Failure> {
        match (&self.prompt_file, self.prompt.as_ref().or(self.prompt_flag.as_ref())) {
            (Some(path), _) => read(path),
            (None, said) => Ok(said.cloned().unwrap_or_default()),
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let text = text_of(path, MAX_BYTES).and_then(|text| match text.trim() {
        "" => Err(io::Error::new(ErrorKind::InvalidData, "it holds no text")),
        text => Ok(text.to_string()),
    });
    text.map_err(|e| Failure::usage(format!("cannot read the prompt from {}: {e}", path.display())))
}

/// A text of at most `limit` bytes: of a file, or of standard input where the path is `-`.
///
/// # Errors
/// What the system says, a longer text, or none.
pub fn text_of(path: &Path, limit: u64) -> io::Result<String> {
    if path.as_os_str() != STREAM {
        return given_text(path, limit);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("longer than {limit} bytes")));
    }
    decode(bytes).map_err(|problem| io::Error::new(ErrorKind::InvalidData, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_one_prompt() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prompt.txt");
        std::fs::write(&path, "\u{feff}-5 degrees,\r\nsnow\n\n").unwrap();
        let args = PromptArgs { prompt_file: Some(path), ..PromptArgs::default() };
        assert_eq!(args.text().unwrap(), "-5 degrees,\r\nsnow");
        assert_eq!(args.of_windows(3).unwrap(), ["-5 degrees,\r\nsnow"]);
    }

    #[test]
    fn a_line_is_the_prompt_of_a_window() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prompts.txt");
        std::fs::write(&path, "a red ball\r\n\n  a blue ball \n").unwrap();
        let args = PromptArgs { prompts: Some(path), ..PromptArgs::default() };
        assert_eq!(args.of_windows(2).unwrap(), ["a red ball", "a blue ball"]);
        let refused = args.of_windows(1).unwrap_err().to_string();
        assert!(refused.contains("holds 2 prompts") && refused.contains("at most 1"), "{refused}");
    }
}
