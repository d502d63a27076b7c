//! Metadata of GGUF files.

use std::ops::Range;

use super::GgufError;
use super::cursor::Cursor;
use crate::files::header::shown;

/// Arrays inside arrays that are read.
const MAX_DEPTH: usize = 4;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Integer(i128),
    Real(f64),
    Bool(bool),
    Text(String),
    Array(Array),
}

/// An array, which stays in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    kind: Kind,
    count: usize,
    place: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

impl Kind {
    /// In the order of their numbers.
    const ALL: [Kind; 13] = [
        Kind::U8,
        Kind::I8,
        Kind::U16,
        Kind::I16,
        Kind::U32,
        Kind::I32,
        Kind::F32,
        Kind::Bool,
        Kind::Text,
        Kind::Array,
        Kind::U64,
        Kind::I64,
        Kind::F64,
    ];

    fn read(cursor: &mut Cursor<'_>, key: &str) -> Result<Kind, GgufError> {
        let kind = cursor.u32()?;
        let known = Kind::ALL.get(kind as usize).copied();
        known.ok_or_else(|| GgufError::Kind { key: shown(key), kind })
    }

    /// Bytes of one; `None` where that depends on the value.
    fn bytes(self) -> Option<u64> {
        match self {
            Kind::U8 | Kind::I8 | Kind::Bool => Some(1),
            Kind::U16 | Kind::I16 => Some(2),
            Kind::U32 | Kind::I32 | Kind::F32 => Some(4),
            Kind::U64 | Kind::I64 | Kind::F64 => Some(8),
            Kind::Text | Kind::Array => None,
        }
    }

    /// The number in as many bytes as the kind has.
    fn number(self, bytes: &[u8]) -> Value {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let bits = u64::from_le_bytes(wide);
        match self {
            Kind::I8 => Value::Integer((bits as i8).into()),
            Kind::I16 => Value::Integer((bits as i16).into()),
            Kind::I32 => Value::Integer((bits as i32).into()),
            Kind::I64 => Value::Integer((bits as i64).into()),
            Kind::F32 => Value::Real(f32::from_bits(bits as u32).into()),
            Kind::F64 => Value::Real(f64::from_bits(bits)),
            Kind::Bool => Value::Bool(bits != 0),
            _ => Value::Integer(bits.into()),
        }
    }
}

impl Value {
    pub(super) fn read(cursor: &mut Cursor<'_>, key: &str) -> Result<Value, GgufError> {
        let kind = Kind::read(cursor, key)?;
        match (kind, kind.bytes()) {
            (_, Some(bytes)) => Ok(kind.number(cursor.take(bytes)?)),
            (Kind::Array, None) => Array::read(cursor, key, MAX_DEPTH).map(Value::Array),
            (_, None) => cursor.text().map(Value::Text),
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number that is no fraction and not negative.
    pub fn integer(&self) -> Option<u64> {
        match self {
            Value::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A number, whole or not.
    pub fn real(&self) -> Option<f64> {
        match self {
            Value::Integer(number) => Some(*number as f64),
            Value::Real(number) => Some(*number),
            _ => None,
        }
    }

    pub fn array(&self) -> Option<&Array> {
        match self {
            Value::Array(array) => Some(array),
            _ => None,
        }
    }
}

impl Array {
    fn read(cursor: &mut Cursor<'_>, key: &str, depth: usize) -> Result<Array, GgufError> {
        if depth == 0 {
            return Err(GgufError::Depth { key: shown(key) });
        }
        let kind = Kind::read(cursor, key)?;
        let count = cursor.u64()?;
        let from = cursor.at();
        match kind.bytes() {
            Some(bytes) => {
                cursor.take(count.saturating_mul(bytes))?;
            }
            // Each takes bytes of the file, so their number is bounded by it.
            None => {
                for _ in 0..count {
                    if kind == Kind::Array {
                        Array::read(cursor, key, depth - 1)?;
                    } else {
                        let length = cursor.u64()?;
                        cursor.take(length)?;
                    }
                }
            }
        }
        Ok(Array { kind, count: count as usize, place: from..cursor.at() })
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The elements as integers, out of the contents of the file; `None` for those that are none.
    pub fn integers<'f>(&self, file: &'f [u8]) -> impl Iterator<Item = Option<i128>> + use<'f> {
        self.numbers(file).map(|value| match value {
            Value::Integer(number) => Some(number),
            _ => None,
        })
    }

    /// The elements as real numbers; `None` for those that are none.
    pub fn reals<'f>(&self, file: &'f [u8]) -> impl Iterator<Item = Option<f64>> + use<'f> {
        self.numbers(file).map(|value| match value {
            Value::Real(number) => Some(number),
            _ => None,
        })
    }

    /// The elements of an array of numbers; none where it holds something else.
    fn numbers<'f>(&self, file: &'f [u8]) -> impl Iterator<Item = Value> + use<'f> {
        let (kind, size) = (self.kind, self.kind.bytes());
        let bytes = size.and_then(|_| file.get(self.place.clone())).unwrap_or_default();
        bytes.chunks_exact(size.unwrap_or(1) as usize).map(move |bytes| kind.number(bytes))
    }

    /// The elements of an array of texts; `None` for one that is no UTF-8, and nothing where it holds something else.
    pub fn texts<'f>(&self, file: &'f [u8]) -> impl Iterator<Item = Option<String>> + use<'f> {
        let count = if self.kind == Kind::Text { self.count } else { 0 };
        let mut cursor = Cursor::new(file, self.place.start);
        (0..count).map(move |_| cursor.text().ok())
    }
}
