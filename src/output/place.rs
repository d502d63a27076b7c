//! Where an output file will lie: found out, and tried, before there is anything to write.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{Format, OutputError, stray};

/// Links that lead to links before the system gives up.
const MAX_LINKS: usize = 40;

/// A name in a folder that is there and takes files.
#[derive(Debug)]
pub(super) struct Place {
    /// What links lead to.
    pub(super) path: PathBuf,
    pub(super) folder: PathBuf,
}

impl Place {
    /// The place that `given` means, where a file of this format can be written. What is there is not touched.
    pub(super) fn find(given: &Path, format: &Format) -> Result<Place, OutputError> {
        let example = format.example();
        let ends_as_folder = given.as_os_str().as_encoded_bytes().last().is_some_and(|b| is_separator(*b));
        let there = fs::metadata(given);
        if ends_as_folder || there.as_ref().is_ok_and(Metadata::is_dir) {
            return Err(OutputError::IsFolder { path: given.into(), example });
        }
        if given.file_name().is_none() {
            return Err(OutputError::NoName { path: given.into(), example });
        }
        if let Some(what) = there.as_ref().ok().and_then(special) {
            return Err(OutputError::NotPlain { path: given.into(), what });
        }
        format.check(given)?;
        let refused = |source| OutputError::Refused { path: given.into(), source };
        let path = match there {
            Ok(_) => fs::canonicalize(given).map_err(refused)?,
            Err(_) => follow(given).map_err(refused)?,
        };
        let folder = folder_of(&path).to_path_buf();
        check_folder(given, &folder)?;
        let name = path.file_name().ok_or(OutputError::NoName { path: given.into(), example })?;
        let place = Place { path: folder.join(name), folder };
        stray::sweep(&place.folder);
        place.try_out().map_err(|refusal| match refusal {
            Refusal::System(source) => refused(source),
            Refusal::Kept(why) => OutputError::Kept { path: given.into(), why },
        })?;
        Ok(place)
    }

    /// The file that is there, if there is one.
    pub(super) fn existing(&self) -> Option<Metadata> {
        fs::metadata(&self.path).ok()
    }

    /// A file under a temporary name in the folder, which goes away when it is dropped.
    pub(super) fn temporary(&self) -> io::Result<NamedTempFile> {
        stray::temporary(&self.folder)
    }

    /// Whether a file could be renamed to this name. Only the system knows, so it is asked with an empty one where
    /// nothing is there.
    fn try_out(&self) -> Result<(), Refusal> {
        match fs::symlink_metadata(&self.path) {
            Ok(there) => self.try_replacing(&there)?,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                match OpenOptions::new().write(true).create_new(true).open(&self.path) {
                    Ok(_) => fs::remove_file(&self.path)?,
                    // Somebody made it in this moment.
                    Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                    Err(e) => return Err(e.into()),
                }
            }
            Err(e) => return Err(e.into()),
        }
        Ok(self.temporary()?.close()?)
    }

    fn try_replacing(&self, there: &Metadata) -> Result<(), Refusal> {
        match OpenOptions::new().write(true).open(&self.path) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                return Err(Refusal::Kept("it is write-protected".to_string()));
            }
            Err(e) => return Err(Refusal::Kept(e.to_string())),
        }
        match blocked(&self.path, &self.folder, there) {
            Some(why) => Err(Refusal::Kept(why.to_string())),
            None => Ok(()),
        }
    }
}

/// Why a name cannot be used.
enum Refusal {
    System(io::Error),
    /// What is there cannot be replaced.
    Kept(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::System(error)
    }
}

fn is_separator(byte: u8) -> bool {
    std::path::is_separator(byte as char)
}

/// The folder of a path.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where a path leads whose last link, or which itself, has no file yet.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(there) if there.is_symlink() => path = folder_of(&path).join(fs::read_link(&path)?),
            _ => return Ok(path),
        }
    }
    Err(io::Error::other("links lead in a circle"))
}

/// Whether the `folder` of the output `path` is one; says from where on it is not there.
pub(super) fn check_folder(path: &Path, folder: &Path) -> Result<(), OutputError> {
    let path = path.to_path_buf();
    match fs::metadata(folder) {
        Ok(there) if there.is_dir() => return Ok(()),
        Ok(_) => return Err(OutputError::NotAFolder { path, folder: folder.into() }),
        Err(e) if e.kind() == ErrorKind::NotADirectory || e.kind() == ErrorKind::NotFound => {}
        Err(source) => return Err(OutputError::Refused { path, source }),
    }
    let mut missing = folder;
    loop {
        let near = folder_of(missing);
        match fs::metadata(near) {
            Ok(there) if there.is_dir() => {
                let near = fs::canonicalize(near).unwrap_or(near.into());
                return Err(OutputError::NoFolder { path, missing: missing.into(), near });
            }
            Ok(_) => return Err(OutputError::NotAFolder { path, folder: near.into() }),
            Err(source) if near == missing => return Err(OutputError::Refused { path, source }),
            Err(_) => missing = near,
        }
    }
}

#[cfg(unix)]
fn special(there: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;
    let kind = there.file_type();
    let kinds = [
        (kind.is_fifo(), "a pipe"),
        (kind.is_socket(), "a socket"),
        (kind.is_char_device() || kind.is_block_device(), "a device"),
    ];
    kinds.into_iter().find(|(is, _)| *is).map(|(_, what)| what)
}

#[cfg(not(unix))]
fn special(_there: &Metadata) -> Option<&'static str> {
    None
}

/// What keeps a file that may be written from being replaced.
#[cfg(unix)]
fn blocked(path: &Path, folder: &Path, there: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;
    const STICKY: u32 = 0o1000;
    let me = rustix::process::geteuid().as_raw();
    let others = |owner: u32| owner != me && me != 0;
    let sticky = fs::metadata(folder).is_ok_and(|f| f.mode() & STICKY != 0 && others(f.uid()));
    if sticky && others(there.uid()) {
        return Some("it belongs to another user, and in this folder only owners replace files");
    }
    is_mounted(path).then_some("something is mounted there; mount its folder instead")
}

#[cfg(not(unix))]
fn blocked(_path: &Path, _folder: &Path, _there: &Metadata) -> Option<&'static str> {
    None
}

/// Whether something is mounted at a file: nothing can be renamed to its name then.
#[cfg(target_os = "linux")]
fn is_mounted(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::empty());
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(all(unix, not(target_os = "linux")))]
fn is_mounted(_path: &Path) -> bool {
    false
}

/// Gives a new file the mode and, where that is allowed, the owner of the one that it replaces.
pub(super) fn keep_mode_and_owner(file: &File, old: &Metadata) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        // Who may not give files away keeps them.
        let _ = fchown(file, Some(old.uid()), Some(old.gid()));
    }
    let _ = file.set_permissions(old.permissions());
}
