//! Text files that others wrote: configurations, tokenizers, indices, targets.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::{FileError, Instead};

/// A file's text: UTF-8, with or without a byte order mark, or UTF-16 with one, as some editors and shells write it.
///
/// # Errors
/// What the bytes are not.
pub fn decode(bytes: Vec<u8>) -> Result<String, &'static str> {
    let wide = |from: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes[2..].as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| from(*pair)).collect();
        rest.is_empty().then(|| String::from_utf16(&units).ok()).flatten().ok_or("no UTF-16 text")
    };
    match bytes.as_slice() {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] => String::from_utf8(text.to_vec()).map_err(|_| "no UTF-8 text"),
        _ => String::from_utf8(bytes).map_err(|_| "no UTF-8 text"),
    }
}

/// The text of a file of a model, of at most `limit` bytes.
///
/// # Errors
/// The file cannot be read, is no regular file, is longer, is no text, or is what a failed download leaves.
pub fn read_text(path: &Path, limit: u64) -> Result<String, FileError> {
    regular(path)?;
    let bytes = limited(path, limit).map_err(FileError::io(path))?;
    let refused = |problem: String| FileError::Text { path: path.to_owned(), problem };
    if let Some(Instead { found, help }) = Instead::of(&bytes) {
        return Err(refused(format!("this is {found} ({help})")));
    }
    decode(bytes).map_err(|problem| refused(problem.to_string()))
}

/// A text of at most `limit` bytes that a user gives by name; it may come out of a pipe.
///
/// # Errors
/// What the system says, a longer text, or none.
pub fn given_text(path: &Path, limit: u64) -> io::Result<String> {
    decode(limited(path, limit)?).map_err(|problem| io::Error::new(io::ErrorKind::InvalidData, problem))
}

fn limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Counted while reading: a pipe has no length, and a file may grow.
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {limit} bytes"))),
        false => Ok(bytes),
    }
}

/// Refuses pipes and devices before they are opened: opening a pipe waits for somebody who writes.
pub(super) fn regular(path: &Path) -> Result<(), FileError> {
    if let (Ok(target), false) = (path.read_link(), path.exists()) {
        // Caches of downloads are made of such links.
        let problem = format!("not downloaded: it is a link to {}, which is not there", target.display());
        return Err(FileError::Text { path: path.to_owned(), problem });
    }
    let found = path.metadata().map_err(FileError::io(path))?;
    let refused = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
    if found.is_file() { Ok(()) } else { Err(FileError::io(path)(refused())) }
}

#[cfg(test)]
mod tests {
    use super::{decode, read_text};

    #[test]
    fn byte_order_marks_are_read_over() {
        let text = "{\"é\": 1}";
        let wide = |mark: [u8; 2], bytes: fn(u16) -> [u8; 2]| {
            [mark.to_vec(), text.encode_utf16().flat_map(bytes).collect()].concat()
        };
        let written = [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            wide([0xff, 0xfe], u16::to_le_bytes),
            wide([0xfe, 0xff], u16::to_be_bytes),
        ];
        for bytes in written {
            assert_eq!(decode(bytes).as_deref(), Ok(text));
        }
        assert_eq!(decode(vec![0xff, 0xfe, 0]), Err("no UTF-16 text"));
        assert_eq!(decode(vec![b'{', 0xff]), Err("no UTF-8 text"));
    }

    #[test]
    fn what_is_no_text_file_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let said = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_text(&path, 100).unwrap_err().to_string()
        };
        assert!(said(b"<html>").contains("config.json: this is a web page (download it again"));
        assert!(said(&[b' '; 101]).contains("config.json: cannot be read: longer than 100 bytes"));
        assert!(said(&[0xff]).contains("config.json: no UTF-8 text"));
        assert!(read_text(folder.path(), 100).unwrap_err().to_string().contains("not a regular file"));
    }
}
