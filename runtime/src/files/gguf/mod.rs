//! The header of a GGUF file, and everything that has to be true of it.
//!
//! It is read here and by no library. `gguf-rs`, the most used one, turns metadata into JSON values, cuts arrays unless it
//! is told how long they may be, lets the last of two equal keys win, and does not check that tensors lie in the file: what
//! would be left for it is to read little-endian numbers. Here nothing is allocated by what a file claims: texts are copied
//! once they are known to be there, arrays stay where they are.

mod cursor;
mod error;
mod types;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::FileDtype;
use super::header::{Entry, shown};
use cursor::Cursor;
pub use error::GgufError;
use types::{Type, TypeId};
pub use value::{Array, Value};

/// How a file begins.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";
const VERSIONS: [u32; 2] = [2, 3];
const MAX_DIMENSIONS: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;
/// What stands before the name of a tensor whose real shape differs from that of its blocks.
const ORIGINAL_SHAPE: &str = "comfy.gguf.orig_shape.";

/// A header that passed every check.
#[derive(Debug)]
pub struct Gguf {
    values: BTreeMap<String, Value>,
    /// Tensors that are offered, in the order of their names.
    pub(super) names: BTreeSet<String>,
    tensors: BTreeMap<String, Info>,
}

#[derive(Debug)]
struct Info {
    dtype: FileDtype,
    /// Slowest extent first.
    shape: Vec<usize>,
    place: Range<usize>,
}

impl Gguf {
    /// Reads and checks the header of a whole file that begins with the magic.
    pub(super) fn parse(file: &[u8]) -> Result<Gguf, GgufError> {
        let mut cursor = Cursor::new(file, MAGIC.len());
        let version = cursor.u32()?;
        if !VERSIONS.contains(&version) {
            return Err(match VERSIONS.contains(&version.swap_bytes()) {
                true => GgufError::BigEndian,
                false => GgufError::Version(version),
            });
        }
        let (tensors, keys) = (cursor.u64()?, cursor.u64()?);
        let mut values = BTreeMap::new();
        for _ in 0..keys {
            let key = cursor.text()?;
            let value = Value::read(&mut cursor, &key)?;
            if values.contains_key(&key) {
                return Err(GgufError::Twice { what: "key", name: shown(&key) });
            }
            values.insert(key, value);
        }
        let mut infos = BTreeMap::new();
        for _ in 0..tensors {
            let name = cursor.text()?;
            let info = read_info(&mut cursor, &name)?;
            if infos.contains_key(&name) {
                return Err(GgufError::Twice { what: "tensor", name: shown(&name) });
            }
            infos.insert(name, info);
        }
        let alignment = match values.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(value) => value.integer().filter(|n| n.is_power_of_two()).ok_or(GgufError::Alignment)?,
        };
        let start = (cursor.at() as u64).checked_next_multiple_of(alignment).ok_or(GgufError::Alignment)?;
        let mut placed = BTreeMap::new();
        for (name, info) in infos {
            let place = info.place(&name, start, alignment, file.len() as u64)?;
            let shape = real_shape(&values, file, &name, &info.shape)?;
            placed.insert(name, Info { dtype: info.dtype, shape, place });
        }
        apart(&placed)?;
        Ok(Gguf { values, names: placed.keys().cloned().collect(), tensors: placed })
    }

    /// The metadata of this key.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// The tensor of this name, if it is offered.
    pub(super) fn entry(&self, name: &str) -> Option<(&str, Entry<'_>)> {
        let name = self.names.get(name)?;
        let info = self.tensors.get(name)?;
        Some((name, Entry { dtype: info.dtype, shape: &info.shape, place: info.place.clone() }))
    }
}

/// A tensor as the header has it.
struct Raw {
    dtype: FileDtype,
    shape: Vec<usize>,
    bytes: u64,
    offset: u64,
}

fn read_info(cursor: &mut Cursor<'_>, name: &str) -> Result<Raw, GgufError> {
    let tensor = || shown(name);
    let count = cursor.u32()?;
    if count > MAX_DIMENSIONS {
        return Err(GgufError::Dimensions { tensor: tensor(), count });
    }
    // The fastest extent stands first.
    let mut shape = Vec::new();
    for _ in 0..count {
        let extent = usize::try_from(cursor.u64()?);
        shape.insert(0, extent.map_err(|_| GgufError::Size { tensor: tensor() })?);
    }
    let id = TypeId(cursor.u32()?);
    let offset = cursor.u64()?;
    let dtype = match id.known() {
        Type::Read(dtype) => dtype,
        Type::NotRead(name) => return Err(GgufError::NotRead { tensor: tensor(), id: id.0, name }),
        Type::Removed(name) => return Err(GgufError::Removed { tensor: tensor(), id: id.0, name }),
        Type::Unknown => return Err(GgufError::Unknown { tensor: tensor(), id: id.0 }),
    };
    let (block, row) = (dtype.block_elements(), shape.last().copied().unwrap_or(1));
    if !row.is_multiple_of(block) {
        return Err(GgufError::Row { tensor: tensor(), name: dtype.name(), row, block });
    }
    let elements = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let bytes = elements.and_then(|elements| dtype.bytes_of(elements));
    let bytes = bytes.ok_or_else(|| GgufError::Size { tensor: tensor() })? as u64;
    Ok(Raw { dtype, shape, bytes, offset })
}

impl Raw {
    /// Where the tensor lies in the file.
    fn place(&self, name: &str, start: u64, alignment: u64, file: u64) -> Result<Range<usize>, GgufError> {
        if !self.offset.is_multiple_of(alignment) {
            return Err(GgufError::Offset { tensor: shown(name), offset: self.offset, alignment });
        }
        let from = start.checked_add(self.offset);
        let end = from.and_then(|from| from.checked_add(self.bytes));
        match (from, end) {
            (Some(from), Some(end)) if end <= file => Ok(from as usize..end as usize),
            // What no disk holds is no download that stopped.
            (_, Some(expected)) if expected < 1 << 40 => {
                let (tensor, offset) = (shown(name), self.offset);
                Err(GgufError::Truncated { expected, actual: file, tensor, offset })
            }
            _ => Err(GgufError::Offset { tensor: shown(name), offset: self.offset, alignment }),
        }
    }
}

/// The shape of a tensor whose rows were cut to fit blocks.
fn real_shape(
    values: &BTreeMap<String, Value>,
    file: &[u8],
    name: &str,
    stored: &[usize],
) -> Result<Vec<usize>, GgufError> {
    let Some(value) = values.get(&format!("{ORIGINAL_SHAPE}{name}")) else { return Ok(stored.to_vec()) };
    let wrong = || GgufError::Shape { tensor: shown(name) };
    let list = value.array().filter(|array| array.len() <= MAX_DIMENSIONS as usize).ok_or_else(wrong)?;
    let shape: Option<Vec<usize>> = list.integers(file).map(|n| usize::try_from(n?).ok()).collect();
    let count = |shape: &[usize]| shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    shape.filter(|shape| count(shape) == count(stored)).ok_or_else(wrong)
}

/// Checks that no two tensors share bytes.
fn apart(tensors: &BTreeMap<String, Info>) -> Result<(), GgufError> {
    let mut order: Vec<(&String, &Range<usize>)> = tensors
        .iter()
        .map(|(name, info)| (name, &info.place))
        .filter(|(_, place)| !place.is_empty())
        .collect();
    order.sort_by_key(|(_, place)| place.start);
    let crossing = order.windows(2).find(|pair| pair[1].1.start < pair[0].1.end);
    crossing.map_or(Ok(()), |pair| {
        let [first, second] = [shown(pair[0].0), shown(pair[1].0)];
        Err(GgufError::Overlap { first, second })
    })
}

#[cfg(test)]
mod tests {
    use super::super::{FileDtype, TensorFile};

    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    /// A file of one tensor of 2 x 32 elements.
    fn file(version: u32, dims: &[u64], id: u32, offset: u64, data: usize) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(version.to_le_bytes());
        out.extend(1u64.to_le_bytes());
        out.extend(2u64.to_le_bytes());
        text(&mut out, "general.architecture");
        out.extend(8u32.to_le_bytes());
        text(&mut out, "ltxv");
        text(&mut out, "list");
        out.extend(9u32.to_le_bytes());
        out.extend(5u32.to_le_bytes());
        out.extend(2u64.to_le_bytes());
        out.extend([3i32, -4].iter().flat_map(|n| n.to_le_bytes()));
        text(&mut out, "t");
        out.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(id.to_le_bytes());
        out.extend(offset.to_le_bytes());
        out.resize(out.len().next_multiple_of(32) + data, 1);
        out
    }

    fn said(bytes: Vec<u8>) -> String {
        TensorFile::from_bytes("m", bytes).map_or_else(|e| e.to_string(), |_| "read".to_string())
    }

    #[test]
    fn shapes_are_turned_around_and_values_found() {
        let file = TensorFile::from_bytes("m", file(3, &[32, 2], 8, 0, 68)).unwrap();
        let tensor = file.get("t").unwrap();
        assert_eq!((tensor.shape, tensor.bytes.len()), (&[2, 32][..], 68));
        assert_eq!(tensor.dtype.name(), "Q8_0");
        let gguf = file.gguf().unwrap();
        assert_eq!(gguf.value("general.architecture").unwrap().text(), Some("ltxv"));
        let list: Vec<_> = gguf.value("list").unwrap().array().unwrap().integers(file.contents()).collect();
        assert_eq!(list, [Some(3), Some(-4)]);
        assert!(!tensor.reads_as(FileDtype::F32));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(said(file(1, &[32, 2], 8, 0, 68)).contains("version 1 of GGUF, 2 or 3 wanted"));
        assert!(said(file(3u32.swap_bytes(), &[32, 2], 8, 0, 68)).contains("big-endian"));
        assert!(said(file(3, &[32; 9], 8, 0, 68)).contains("tensor t has 9 dimensions"));
        assert!(
            said(file(3, &[17, 2], 8, 0, 68)).contains("tensor t has rows of 17, and Q8_0 has blocks of 32")
        );
        assert!(said(file(3, &[32, 2], 99, 0, 68)).contains("tensor t has the unknown type 99"));
        assert!(said(file(3, &[32, 2], 16, 0, 68)).contains("tensor t is IQ2_XXS (type 16)"));
        assert!(said(file(3, &[32, 2], 4, 0, 68)).contains("tensor t is Q4_2 (type 4), which was removed"));
        assert!(said(file(3, &[32, 2], 8, 7, 68)).contains("tensor t has the offset 7"));
        assert!(said(file(3, &[32, 2], 8, 1 << 50, 68)).contains("tensor t has the offset"));
        assert!(said(file(3, &[32, 2], 8, 0, 67)).contains("truncated"));
        assert!(said(file(3, &[u64::MAX, u64::MAX], 0, 0, 68)).contains("tensor t"));
        let whole = file(3, &[32, 2], 8, 0, 68);
        for length in 4..whole.len() {
            assert!(said(whole[..length].to_vec()).contains("truncated"), "{length}");
        }
    }
}
