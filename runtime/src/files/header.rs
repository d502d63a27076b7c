//! The header of a safetensors file: eight bytes of length, then JSON; and everything that has to be true of it.
//!
//! The rules are those of the format's own library, so that a file which passes here is readable everywhere: the
//! tensors tile the data section without gap or overlap, and the file ends with the last one. The checks are ours
//! because an owner of a 46 GB file deserves to hear which of them failed, with numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::{FileDtype, HeaderError};

/// The longest header that the format allows.
pub const MAX_HEADER_BYTES: usize = 100_000_000;

const LENGTH_BYTES: usize = 8;

/// A header that passed every check.
#[derive(Debug)]
pub(super) struct Header {
    pub metadata: BTreeMap<String, String>,
    pub tensors: BTreeMap<String, Entry>,
}

/// One tensor; `place` is a range of the whole file, inside its bounds.
#[derive(Debug)]
pub(super) struct Entry {
    pub dtype: FileDtype,
    pub shape: Vec<usize>,
    pub place: Range<usize>,
}

impl Header {
    /// Reads and checks the header of a whole file.
    pub fn parse(file: &[u8]) -> Result<Header, HeaderError> {
        let actual = file.len() as u64;
        let Some((length, rest)) = file.split_first_chunk::<LENGTH_BYTES>() else {
            return Err(HeaderError::Truncated { expected: LENGTH_BYTES as u64, actual });
        };
        if let Some((found, help)) = other_format(file) {
            return Err(HeaderError::OtherFormat { found, help });
        }
        let length = u64::from_le_bytes(*length);
        if length > MAX_HEADER_BYTES as u64 {
            return Err(HeaderError::HeaderLength { length, max: MAX_HEADER_BYTES });
        }
        let data_start = LENGTH_BYTES + length as usize;
        let Some(json) = rest.get(..length as usize) else {
            return Err(HeaderError::Truncated { expected: data_start as u64, actual });
        };
        // A private copy: the file may be a mapping that another process writes to, and the parser relies on text
        // that it has checked.
        let json = json.to_vec();
        if json.first() != Some(&b'{') {
            return Err(HeaderError::Json("it does not begin with {".to_string()));
        }
        let raw: RawHeader =
            serde_json::from_slice(&json).map_err(|e| HeaderError::Json(shown(&e.to_string())))?;
        let places = raw.tensors.into_iter().map(place).collect::<Result<Vec<_>, _>>()?;
        let tensors = tile(places, data_start as u64, actual)?;
        Ok(Header { metadata: raw.metadata, tensors })
    }
}

/// Files that are often there in place of the weights.
fn other_format(file: &[u8]) -> Option<(&'static str, &'static str)> {
    const DOWNLOAD: &str = "download it again; the address must be that of the file, not of its page";
    const CONVERT: &str = "download the .safetensors version of the model";
    let signs: [(&[u8], _, _); 6] = [
        (b"version https://git-lfs", "a Git LFS pointer", "run `git lfs pull` in its repository"),
        (b"<!DOCTYPE", "a web page", DOWNLOAD),
        (b"<!doctype", "a web page", DOWNLOAD),
        (b"<html", "a web page", DOWNLOAD),
        (b"GGUF", "a GGUF file", CONVERT),
        (b"PK\x03\x04", "a zip archive, perhaps of PyTorch", CONVERT),
    ];
    signs.into_iter().find(|(sign, ..)| file.starts_with(sign)).map(|(_, found, help)| (found, help))
}

/// A tensor whose size is that of its place, which is still relative to the data section.
struct Placed {
    name: String,
    dtype: FileDtype,
    shape: Vec<usize>,
    begin: u64,
    end: u64,
}

fn place((name, raw): (String, RawEntry)) -> Result<Placed, HeaderError> {
    let (begin, end) = raw.data_offsets;
    let Some(dtype) = FileDtype::from_name(&raw.dtype) else {
        return Err(HeaderError::Dtype { tensor: shown(&name), dtype: shown(&raw.dtype) });
    };
    let text = shown(&format!("{:?}", raw.shape));
    let shape: Option<Vec<usize>> = raw.shape.iter().map(|&n| usize::try_from(n).ok()).collect();
    let elements = shape.iter().flatten().try_fold(1usize, |product, &n| product.checked_mul(n));
    let wanted = elements.and_then(|elements| dtype.bytes_of(elements));
    let (Some(shape), Some(wanted)) = (shape, wanted) else {
        return Err(HeaderError::Shape { tensor: shown(&name), dtype, shape: text });
    };
    if end.checked_sub(begin) != Some(wanted as u64) {
        return Err(HeaderError::Size { tensor: shown(&name), dtype, shape: text, wanted, begin, end });
    }
    Ok(Placed { name, dtype, shape, begin, end })
}

/// Checks that the tensors fill the file from `data_start` to its end, each byte once.
fn tile(
    mut placed: Vec<Placed>,
    data_start: u64,
    actual: u64,
) -> Result<BTreeMap<String, Entry>, HeaderError> {
    placed.sort_by_key(|tensor| (tensor.begin, tensor.end));
    let (mut filled, mut last) = (0, None);
    for tensor in &placed {
        if tensor.begin < filled {
            let first = last.map_or_else(String::new, shown);
            return Err(HeaderError::Overlap { first, second: shown(&tensor.name), at: tensor.begin });
        }
        if tensor.begin > filled {
            return Err(HeaderError::Gap { tensor: shown(&tensor.name), bytes: tensor.begin - filled });
        }
        filled = tensor.end;
        last = Some(tensor.name.as_str());
    }
    let expected = data_start.saturating_add(filled);
    match actual {
        _ if actual < expected => return Err(HeaderError::Truncated { expected, actual }),
        _ if actual > expected => return Err(HeaderError::Trailing { expected, actual }),
        _ => {}
    }
    // Every offset is now at most the length of a byte slice, hence a usize.
    let in_file = |offset: u64| (data_start + offset) as usize;
    let entries = placed.into_iter().map(|tensor| {
        let place = in_file(tensor.begin)..in_file(tensor.end);
        (tensor.name, Entry { dtype: tensor.dtype, shape: tensor.shape, place })
    });
    Ok(entries.collect())
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

/// The header as it is written, with duplicate names refused.
struct RawHeader {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, RawEntry)>,
}

#[derive(serde::Deserialize)]
struct RawEntry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
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
                        "__metadata__" => metadata = map.next_value::<Option<Metadata>>()?,
                        _ => tensors.push((name, map.next_value()?)),
                    }
                }
                Ok(RawHeader { metadata: metadata.map(|m| m.0).unwrap_or_default(), tensors })
            }
        }
        deserializer.deserialize_map(Tensors)
    }
}

/// Text by name, with duplicate names refused.
struct Metadata(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Metadata, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((key, text)) = map.next_entry::<String, String>()? {
                    if texts.insert(key.clone(), text).is_some() {
                        return Err(A::Error::custom(format!("metadata {key} stands there twice")));
                    }
                }
                Ok(Metadata(texts))
            }
        }
        deserializer.deserialize_map(Texts)
    }
}
