//! Where a prompt comes from: the command line, or a file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::Failure;
use crate::output::STREAM;

/// A prompt is a paragraph or two; what is longer than this is none.
const MAX_BYTES: u64 = 1 << 20;

/// What the clip shows.
#[derive(Args, Clone, Debug, Default)]
pub struct PromptArgs {
    /// What the clip shows and sounds like
    #[arg(required_unless_present_any = ["prompt_flag", "prompt_file"])]
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
}

impl PromptArgs {
    /// The file that the prompt is read from, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.prompt_file.as_deref()
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
    let refused =
        |why: String| Failure::usage(format!("cannot read the prompt from {}: {why}", path.display()));
    let mut bytes = Vec::new();
    let mut limited = |from: &mut dyn Read| from.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    let read = match path.as_os_str() == STREAM {
        true => limited(&mut std::io::stdin().lock()),
        false => File::open(path).and_then(|mut file| limited(&mut file)),
    };
    read.map_err(|e| refused(e.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refused(format!("it is longer than {MAX_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("it is no UTF-8 text".to_string()))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() { Err(refused("it holds no text".to_string())) } else { Ok(text.to_string()) }
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
    }
}
