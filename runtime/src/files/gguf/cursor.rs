//! Little-endian numbers and texts, one after the other.

use super::GgufError;

/// A place in a file.
pub struct Cursor<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(file: &'a [u8], at: usize) -> Cursor<'a> {
        Cursor { file, at }
    }

    /// How many bytes lie before the place.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next bytes.
    pub fn take(&mut self, bytes: u64) -> Result<&'a [u8], GgufError> {
        let cut = || GgufError::HeaderCut { actual: self.file.len() as u64, at: self.at as u64 };
        let bytes = usize::try_from(bytes).map_err(|_| cut())?;
        let end = self.at.checked_add(bytes).ok_or_else(cut)?;
        let taken = self.file.get(self.at..end).ok_or_else(cut)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64)?);
        Ok(out)
    }

    pub fn u32(&mut self) -> Result<u32, GgufError> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, GgufError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A text behind its length.
    pub fn text(&mut self) -> Result<String, GgufError> {
        let length = self.u64()?;
        let at = self.at;
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| GgufError::Text { at })
    }
}
