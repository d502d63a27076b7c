//! What a file holds, and how files of that kind are called.

use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

use super::{OutputError, stray};

/// What is in a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A clip: H.264 and AAC.
    Mp4,
    /// Audio alone: PCM.
    Wav,
    /// An image.
    Png,
    /// Named tensors.
    Safetensors,
    /// A page for a browser.
    Html,
    /// Whatever the program itself has named.
    Own,
}

impl Format {
    /// In messages.
    pub(super) fn what(self) -> &'static str {
        match self {
            Format::Mp4 => "a clip",
            Format::Wav => "audio",
            Format::Png => "a preview",
            Format::Safetensors => "tensors",
            Format::Html => "a page",
            Format::Own => "a file",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Format::Mp4 => "MP4",
            Format::Wav => "WAV",
            Format::Png => "PNG",
            Format::Safetensors => "safetensors",
            Format::Html => "HTML",
            Format::Own => "such",
        }
    }

    pub(super) fn example(self) -> &'static str {
        match self {
            Format::Mp4 => "clip.mp4",
            Format::Wav => "audio.wav",
            Format::Png => "now.png",
            Format::Safetensors => "out.safetensors",
            Format::Html => "plan.html",
            Format::Own => "file",
        }
    }

    /// Endings of names, the usual one first; none where every name will do.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Format::Mp4 => &["mp4", "m4v"],
            Format::Wav => &["wav"],
            Format::Png => &["png"],
            Format::Safetensors => &["safetensors"],
            Format::Html => &["html", "htm"],
            Format::Own => &[],
        }
    }

    /// Refuses a name that promises something else.
    pub(super) fn check(self, path: &Path) -> Result<(), OutputError> {
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        let endings = self.endings();
        if endings.is_empty() || endings.iter().any(|fine| ending.eq_ignore_ascii_case(fine)) {
            return Ok(());
        }
        let want: Vec<_> = endings.iter().map(|ending| format!("NAME.{ending}")).collect();
        let have = if ending.is_empty() { "a name without ending".to_string() } else { format!(".{ending}") };
        Err(OutputError::Extension { path: path.into(), format: self.name(), want: want.join(" or "), have })
    }

    /// A new file in `folder` for what could not get its own name.
    pub(super) fn spare(self, folder: &Path) -> io::Result<NamedTempFile> {
        let ending = self.endings().first().map_or(String::new(), |ending| format!(".{ending}"));
        let mut builder = tempfile::Builder::new();
        builder.prefix("zoetrope-").suffix(&ending);
        stray::ordinary(&mut builder);
        builder.tempfile_in(folder)
    }
}
