//! The header of a safetensors file: eight bytes of length, then JSON; and everything that has to be true of it.
//!
//! The format's own library reads the entries and has the last word (`Metadata::new`): the tensors tile the data
//! section without gap or overlap. The checks before it are ours, because an owner of a 46 GB file deserves to hear
//! which of them failed, with names and numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::unique::Texts;
use super::{FileDtype, HeaderError, Instead};

/// The longest header that the format allows.
pub const MAX_HEADER_BYTES: usize = 100_000_000;

const LENGTH_BYTES: usize = 8;

/// A header that passed every check.
#[derive(Debug)]
pub(super) struct Header {
    pub metadata: BTreeMap<String, String>,
    /// Tensors that are offered, in the order of their names.
    pub names: BTreeSet<String>,
    tensors: Metadata,
    /// Where the data section begins.
    data_start: usize,
}

/// One tensor; `place` is a range of the whole file, inside its bounds.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub dtype: FileDtype,
    pub shape: &'a [usize],
    pub place: Range<usize>,
}

impl Header {
    /// Reads and checks the header of a whole file.
    pub fn parse(file: &[u8]) -> Result<Header, HeaderError> {
        let actual = file.len() as u64;
        if let Some(instead) = Instead::of(file) {
            return Err(HeaderError::OtherFormat(instead));
        }
        let Some((length, rest)) = file.split_first_chunk::<LENGTH_BYTES>() else {
            return Err(HeaderError::HeaderCut { expected: LENGTH_BYTES as u64, actual });
        };
        let length = u64::from_le_bytes(*length);
        if length > MAX_HEADER_BYTES as u64 {
            let message = Instead::message(file).map(HeaderError::OtherFormat);
            let magic = shown(&String::from_utf8_lossy(&file[..4]));
            return Err(message.unwrap_or(HeaderError::HeaderLength {
                length,
                max: MAX_HEADER_BYTES,
                magic,
            }));
        }
        let data_start = LENGTH_BYTES + length as usize;
        let Some(json) = rest.get(..length as usize) else {
            return Err(HeaderError::HeaderCut { expected: data_start as u64, actual });
        };
        // A private copy: the file may be a mapping that another process writes to, and the parser relies on text
        // that it has checked.
        let json = json.to_vec();
        if json.first() != Some(&b'{') {
            return Err(HeaderError::Json("it does not begin with {".to_string()));
        }
        let mut raw: RawHeader =
            serde_json::from_slice(&json).map_err(|e| HeaderError::Json(shown(&e.to_string())))?;
        raw.tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
        raw.tensors.iter().try_for_each(|(name, tensor)| size(name, tensor))?;
        tile(&raw.tensors, data_start as u64, actual)?;
        let names = raw.tensors.iter().map(|(name, _)| name.clone()).collect();
        let tensors =
            Metadata::new(None, raw.tensors).map_err(|e| HeaderError::Json(shown(&e.to_string())))?;
        Ok(Header { metadata: raw.metadata, names, tensors, data_start })
    }

    /// The tensor of this name, if it is offered.
    pub fn entry(&self, name: &str) -> Option<(&str, Entry<'_>)> {
        let name = self.names.get(name)?;
        let info = self.tensors.info(name)?;
        let (begin, end) = info.data_offsets;
        let dtype = FileDtype::of(info.dtype)?;
        Some((
            name,
            Entry { dtype, shape: &info.shape, place: self.data_start + begin..self.data_start + end },
        ))
    }
}

/// Checks that a tensor's place has the size that its shape and type say.
fn size(name: &str, tensor: &TensorInfo) -> Result<(), HeaderError> {
    let TensorInfo { dtype, shape, data_offsets: (begin, end) } = tensor;
    let Some(dtype) = FileDtype::of(*dtype) else {
        return Err(HeaderError::Dtype { tensor: shown(name), dtype: dtype.to_string() });
    };
    let text = shown(&format!("{shape:?}"));
    let elements = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let Some(wanted) = elements.and_then(|elements| dtype.bytes_of(elements)) else {
        return Err(HeaderError::Shape { tensor: shown(name), dtype, shape: text });
    };
    if end.checked_sub(*begin) != Some(wanted) {
        let (begin, end) = (*begin as u64, *end as u64);
        return Err(HeaderError::Size { tensor: shown(name), dtype, shape: text, wanted, begin, end });
    }
    Ok(())
}

/// Checks that the tensors, sorted by their places, fill the file from `data_start` to its end, each byte once.
fn tile(tensors: &[(String, TensorInfo)], data_start: u64, actual: u64) -> Result<(), HeaderError> {
    let (mut filled, mut last) = (0, "");
    for (name, TensorInfo { data_offsets: (begin, end), .. }) in tensors {
        let (begin, end) = (*begin as u64, *end as u64);
        if begin < filled {
            return Err(HeaderError::Overlap { first: shown(last), second: shown(name), at: begin });
        }
        if begin > filled {
            return Err(HeaderError::Gap { tensor: shown(name), bytes: begin - filled });
        }
        (filled, last) = (end, name);
    }
    let expected = data_start.saturating_add(filled);
    match actual {
        _ if actual < expected => Err(HeaderError::Truncated { expected, actual }),
        _ if actual > expected => Err(HeaderError::Trailing { expected, actual }),
        // Every offset is now at most the length of a byte slice.
        _ => Ok(()),
    }
}

/// A name from a file as it may stand in a message: no control characters, and not endless.
pub(super) fn shown(name: &str) -> String {
    const LONGEST: usize = 160;
    let mut text: String = name.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if name.chars().nth(LONGEST).is_some() {
        text.push('…');
    }
    text
}

/// The header as it is written, with duplicate names refused: the library lets the last of them win.
struct RawHeader {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, TensorInfo)>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawHeader, D::Error> {
        struct Tensors;
        impl<'de> Visitor<'de> for Tensors {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let (mut metadata, mut tensors, mut seen) = (None, Vec::new(), BTreeSet::new());
                while let Some(name) = map.next_key::<String>()? {
                    if !seen.insert(name.clone()) {
                        return Err(A::Error::custom(format!("{name} stands there twice")));
                    }
                    match name.as_str() {
                        "__metadata__" => metadata = map.next_value::<Option<Texts>>()?,
                        _ => match map.next_value() {
                            Ok(tensor) => tensors.push((name, tensor)),
                            Err(error) => return Err(A::Error::custom(format!("tensor {name}: {error}"))),
                        },
                    }
                }
                Ok(RawHeader { metadata: metadata.map(|texts| texts.0).unwrap_or_default(), tensors })
            }
        }
        deserializer.deserialize_map(Tensors)
    }
}
