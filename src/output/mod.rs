//! The files that commands write. Each is tried before the work, under the name that it will have, and appears there only
//! when it is whole.
//!
//! What is there stays as it is until then. A link is followed, and the mode and owner of a file that is replaced are kept.
//! What is no plain file is refused, and so is a file that the same command reads. A finished file that cannot get its name
//! after all is kept under another one.

mod error;
mod folder;
mod format;
mod inputs;
mod place;
mod room;
mod stray;

pub use error::OutputError;
pub use folder::OutputFolder;
pub use format::Format;
pub use inputs::Inputs;
pub use room::check_room;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use place::Place;
use tempfile::NamedTempFile;

use crate::terminal;

/// The name that means standard output.
pub const STREAM: &str = "-";

/// Where a file will be written.
#[derive(Debug)]
pub struct OutputFile {
    format: Format,
    to: To,
}

#[derive(Debug)]
enum To {
    Stream,
    File(Place),
}

/// Writes the bytes of a file; may be called twice.
pub type Fill<'a> = &'a dyn Fn(&mut dyn Write) -> io::Result<()>;

impl OutputFile {
    /// Tries whether `path` can be written, and leaves it as it is; `-` is standard output.
    ///
    /// # Errors
    /// Everything that can be known beforehand: no such folder, a name that the system does not take, something that is no
    /// file or cannot be replaced, one of the `inputs`, an ending of another format, a terminal behind `-`.
    pub fn open(path: &Path, format: Format, inputs: &Inputs) -> Result<OutputFile, OutputError> {
        if path.as_os_str() == STREAM {
            return match io::stdout().is_terminal() {
                true => Err(OutputError::Terminal),
                false => Ok(OutputFile { format, to: To::Stream }),
            };
        }
        let place = Place::find(path, &format)?;
        if place.existing().is_some_and(|there| inputs.contain(&place.path, &there)) {
            return Err(OutputError::IsInput { path: path.into() });
        }
        Ok(OutputFile { format, to: To::File(place) })
    }

    /// As [`OutputFile::open`], for what no stream can take.
    ///
    /// # Errors
    /// As there, and `-`.
    pub fn open_file(path: &Path, format: Format, inputs: &Inputs) -> Result<OutputFile, OutputError> {
        match path.as_os_str() == STREAM {
            true => Err(OutputError::NoStream { what: format.what() }),
            false => OutputFile::open(path, format, inputs),
        }
    }

    /// Whether this is standard output, where then nothing else belongs.
    pub fn is_stream(&self) -> bool {
        matches!(self.to, To::Stream)
    }

    /// Where the file will lie, links followed; nowhere for standard output.
    pub fn path(&self) -> Option<&Path> {
        match &self.to {
            To::Stream => None,
            To::File(place) => Some(&place.path),
        }
    }

    /// The folder that takes the file, where there is one.
    pub fn folder(&self) -> Option<&Path> {
        match &self.to {
            To::Stream => None,
            To::File(place) => Some(&place.folder),
        }
    }

    /// Whether both are one file.
    pub fn is(&self, other: &OutputFile) -> bool {
        matches!((&self.to, &other.to), (To::File(a), To::File(b)) if a.path == b.path)
    }

    /// Refuses a file of about `bytes` bytes where the process may not write so large ones.
    ///
    /// # Errors
    /// The limit is lower.
    pub fn check_limit(&self, bytes: u64) -> Result<(), OutputError> {
        match &self.to {
            To::Stream if room::is_file(&io::stdout()) => room::check_limit(Path::new(STREAM), bytes),
            To::Stream => Ok(()),
            To::File(place) => room::check_limit(&place.path, bytes),
        }
    }

    /// Writes the file of `bytes` bytes. What is finished is not lost: if it cannot get its name, or its disk is full, it is
    /// kept elsewhere, and the error says where.
    ///
    /// # Errors
    /// The file could not be written, or a reader of standard output went away in the midst of it.
    pub fn finish(&self, bytes: u64, fill: Fill<'_>) -> Result<(), OutputError> {
        self.check_limit(bytes)?;
        let written = match &self.to {
            To::Stream => {
                let mut out = io::stdout().lock();
                fill(&mut out).and_then(|()| out.flush()).map_err(|source| (source, None))
            }
            To::File(place) => written(place, fill),
        };
        written.map_err(|(source, part)| self.failed(source, self.keep(part, fill)))
    }

    /// Writes the file anew; what cannot be written is gone, and a reader that has enough may go away.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn replace(&self, bytes: &[u8]) -> Result<(), OutputError> {
        self.check_limit(bytes.len() as u64)?;
        let written = match &self.to {
            To::Stream => terminal::result(bytes),
            To::File(place) => written(place, &|out| out.write_all(bytes)).map_err(|(source, _)| source),
        };
        written.map_err(|source| self.failed(source, None))
    }

    fn failed(&self, source: io::Error, kept_as: Option<PathBuf>) -> OutputError {
        let path = match &self.to {
            To::Stream => "standard output".to_string(),
            To::File(place) => place.path.display().to_string(),
        };
        OutputError::Write { path, source, kept_as }
    }

    /// Another name for what could not get its own: beside it if it is whole, else in the system's folder for such.
    fn keep(&self, part: Option<NamedTempFile>, fill: Fill<'_>) -> Option<PathBuf> {
        let beside = part.zip(self.folder()).and_then(|(part, folder)| {
            let name = self.format.spare(folder).ok()?;
            let path = name.path().to_path_buf();
            part.persist(&path).ok()?;
            name.keep().ok();
            Some(path)
        });
        beside.or_else(|| self.spare_in(&std::env::temp_dir(), fill))
    }

    /// Writes what is finished of a file that will not be, under another name beside it, or else in the system's folder for
    /// such. Where it lies, if it could be written.
    pub fn keep_part(&self, fill: Fill<'_>) -> Option<PathBuf> {
        let beside = self.folder().and_then(|folder| self.spare_in(folder, fill));
        beside.or_else(|| self.spare_in(&std::env::temp_dir(), fill))
    }

    fn spare_in(&self, folder: &Path, fill: Fill<'_>) -> Option<PathBuf> {
        let mut spare = self.format.spare(folder).ok()?;
        fill(spare.as_file_mut()).ok()?;
        spare.keep().ok().map(|(_, path)| path)
    }
}

/// Writes under a temporary name, to the disk, and renames; a whole file that could not be renamed comes back.
fn written(place: &Place, fill: Fill<'_>) -> Result<(), (io::Error, Option<NamedTempFile>)> {
    let whole = || -> io::Result<NamedTempFile> {
        let mut part = place.temporary()?;
        fill(part.as_file_mut())?;
        if let Some(old) = place.existing() {
            place::keep_mode_and_owner(part.as_file(), &old);
        }
        // Without this, a crash after the rename could leave an empty file under the final name.
        part.as_file().sync_all()?;
        Ok(part)
    };
    match whole().map_err(|e| (e, None))?.persist(&place.path) {
        Ok(_) => Ok(()),
        Err(e) => Err((e.error, Some(e.file))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn open(path: &Path) -> OutputFile {
        OutputFile::open(path, Format::Mp4, &Inputs::default()).unwrap()
    }

    #[test]
    fn nothing_is_there_before_the_end_and_the_old_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        let file = open(&path);
        assert!(names(folder.path()).is_empty());
        fs::write(&path, "old").unwrap();
        let failed = file.finish(8, &|out| {
            out.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(failed, Err(OutputError::Write { kept_as: None, .. })));
        assert_eq!(
            (names(folder.path()), fs::read(&path).unwrap()),
            (vec!["clip.mp4".to_string()], b"old".to_vec())
        );
        file.finish(3, &|out| out.write_all(b"new")).unwrap();
        assert_eq!((names(folder.path()).len(), fs::read(&path).unwrap()), (1, b"new".to_vec()));
    }

    #[test]
    fn what_is_finished_is_kept_when_its_name_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        let file = open(&path);
        fs::create_dir(&path).unwrap();
        let error = file.finish(1, &|out| out.write_all(b"x")).unwrap_err();
        let OutputError::Write { kept_as: Some(kept), .. } = &error else { panic!("{error}") };
        assert_eq!(kept.parent(), Some(folder.path()), "beside it");
        assert!(error.to_string().contains(kept.to_str().unwrap()), "{error}");
        assert_eq!(fs::read(kept).unwrap(), b"x");
        assert_eq!(names(folder.path()).len(), 2);

        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let file = open(&inner.join("clip.mp4"));
        fs::remove_dir(&inner).unwrap();
        let error = file.finish(1, &|out| out.write_all(b"y")).unwrap_err();
        let OutputError::Write { kept_as: Some(kept), .. } = &error else { panic!("{error}") };
        assert_eq!(fs::read(kept).unwrap(), b"y");
        assert_eq!(kept.extension().unwrap(), "mp4");
        fs::remove_file(kept).unwrap();
    }

    #[test]
    fn what_a_killed_program_left_is_swept_and_what_is_being_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        let part = |name: &str| {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(old).unwrap();
            file
        };
        part(".zoetrope-gone.part");
        part("other.part");
        let busy = part(".zoetrope-busy.part");
        busy.lock().unwrap();
        File::create(folder.path().join(".zoetrope-young.part")).unwrap();
        open(&folder.path().join("clip.mp4"));
        let mut left = names(folder.path());
        left.sort();
        assert_eq!(left, [".zoetrope-busy.part", ".zoetrope-young.part", "other.part"]);
    }

    #[test]
    fn room_is_counted_by_disk() {
        let folder = tempfile::tempdir().unwrap();
        let (here, inner) = (folder.path(), folder.path().join("inner"));
        fs::create_dir(&inner).unwrap();
        check_room(&[(here, 1), (&inner, 1)]).unwrap();
        #[cfg(unix)]
        for folders in [vec![(here, 1 << 60)], vec![(here, 1), (&inner, 1 << 60)]] {
            let error = check_room(&folders).unwrap_err().to_string();
            assert!(error.contains("too little room") && error.contains("have"), "{error}");
        }
    }

    #[test]
    fn a_run_has_its_folder_for_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latents");
        let first = OutputFolder::open_new(&path, "safetensors").unwrap();
        #[cfg(target_os = "linux")]
        assert!(matches!(OutputFolder::open_new(&path, "safetensors"), Err(OutputError::InUse { .. })));
        drop(first);
        assert!(!path.exists(), "it was made for nothing");
        let first = OutputFolder::open_new(&path, "safetensors").unwrap();
        first.file("a.safetensors", Format::Safetensors).unwrap().replace(b"x").unwrap();
        drop(first);
        let error = OutputFolder::open_new(&path, "safetensors").unwrap_err().to_string();
        assert!(error.contains("a.safetensors") && error.contains("another run"), "{error}");
        OutputFolder::open(&path).unwrap();
    }
}
