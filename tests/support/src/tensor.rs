//! Named tensors, and the safetensors files that hold them.

use crate::{Error, read};
use half::{bf16, f16};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// A tensor's elements, row-major, widened to one of two kinds.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Floating point: F32, or F16, BF16 and F64 converted.
    F32(Vec<f32>),
    /// Integers: I64, or I32 and U8 widened.
    I64(Vec<i64>),
}

/// A tensor in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Length of each dimension, slowest first.
    pub shape: Vec<usize>,
    /// The elements.
    pub values: Values,
}

impl Tensor {
    /// A floating-point tensor. Panics when the number of elements is not the shape's.
    pub fn f32(shape: &[usize], values: Vec<f32>) -> Tensor {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "elements of shape {shape:?}");
        Tensor { shape: shape.to_vec(), values: Values::F32(values) }
    }

    /// An integer tensor. Panics when the number of elements is not the shape's.
    pub fn i64(shape: &[usize], values: Vec<i64>) -> Tensor {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "elements of shape {shape:?}");
        Tensor { shape: shape.to_vec(), values: Values::I64(values) }
    }

    /// The elements of a floating-point tensor. Panics on integers.
    pub fn as_f32(&self) -> &[f32] {
        match &self.values {
            Values::F32(values) => values,
            Values::I64(_) => panic!("a floating-point tensor was expected, this one holds integers"),
        }
    }

    /// The elements of an integer tensor. Panics on floating-point numbers.
    pub fn as_i64(&self) -> &[i64] {
        match &self.values {
            Values::I64(values) => values,
            Values::F32(_) => panic!("an integer tensor was expected, this one is floating-point"),
        }
    }
}

/// Reads every tensor of a safetensors file with elements of type F32, F16, BF16, F64, I32, I64 or U8.
pub fn load_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, Error> {
    let raw = read(path)?;
    let file = safetensors::SafeTensors::deserialize(&raw).map_err(|e| Error::format(path, e))?;
    let tensor = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
        use safetensors::Dtype::{BF16, F16, F32, F64, I32, I64, U8};
        let data = view.data();
        let values = match view.dtype() {
            F32 => Values::F32(elements(data, f32::from_le_bytes)),
            F16 => Values::F32(elements(data, |b| f16::from_le_bytes(b).to_f32())),
            BF16 => Values::F32(elements(data, |b| bf16::from_le_bytes(b).to_f32())),
            F64 => Values::F32(elements(data, |b| f64::from_le_bytes(b) as f32)),
            I32 => Values::I64(elements(data, |b| i64::from(i32::from_le_bytes(b)))),
            I64 => Values::I64(elements(data, i64::from_le_bytes)),
            U8 => Values::I64(elements(data, |[b]| i64::from(b))),
            other => return Err(Error::format(path, format!("{name} has elements of type {other}"))),
        };
        Ok((name.to_owned(), Tensor { shape: view.shape().to_vec(), values }))
    };
    file.iter().map(tensor).collect()
}

fn elements<const N: usize, T>(data: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks().0.iter().map(|bytes| read(*bytes)).collect()
}

/// Element types that [`write_tensors`] writes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Dtype {
    /// 32-bit floating point.
    F32,
    /// 32-bit signed integers.
    I32,
    /// The upper half of an F32.
    Bf16,
}

impl Dtype {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::Bf16 => 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "F32",
            Dtype::I32 => "I32",
            Dtype::Bf16 => "BF16",
        }
    }
}

/// One tensor to write: name, element type, shape, little-endian elements.
pub type TensorBytes<'a> = (&'a str, Dtype, &'a [usize], &'a [u8]);

/// Writes a safetensors file without metadata, tensors in the given order.
///
/// Panics when a tensor's bytes are not as many as its shape and type say.
pub fn write_tensors(path: &Path, tensors: &[TensorBytes<'_>]) -> Result<(), Error> {
    write_safetensors(path, &[], tensors).map(|_| ())
}

/// Writes a safetensors file byte for byte as Python's `json.dumps` with compact separators would
/// make its header, and returns its sha256.
///
/// Panics when a tensor's bytes are not as many as its shape and type say.
pub fn write_safetensors(
    path: &Path,
    metadata: &[(&str, &str)],
    tensors: &[TensorBytes<'_>],
) -> Result<String, Error> {
    let header = header(metadata, tensors);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    let mut file = std::fs::File::create(path).map_err(Error::io(path))?;
    let mut hash = Sha256::new();
    let length = (header.len() as u64).to_le_bytes();
    let parts = [&length[..], header.as_bytes()].into_iter().chain(tensors.iter().map(|t| t.3));
    for part in parts {
        file.write_all(part).map_err(Error::io(path))?;
        hash.update(part);
    }
    Ok(hex(&hash.finalize()))
}

fn header(metadata: &[(&str, &str)], tensors: &[TensorBytes<'_>]) -> String {
    let mut entries = Vec::with_capacity(tensors.len() + 1);
    if !metadata.is_empty() {
        let pairs = metadata.iter().map(|(k, v)| format!("{}:{}", json_string(k), json_string(v)));
        entries.push(format!("\"__metadata__\":{{{}}}", pairs.collect::<Vec<_>>().join(",")));
    }
    let mut begin = 0;
    for (name, dtype, shape, bytes) in tensors {
        let size = shape.iter().product::<usize>() * dtype.size();
        assert_eq!(size, bytes.len(), "bytes of {name}, {} {shape:?}", dtype.name());
        let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let (name, dtype, end) = (json_string(name), dtype.name(), begin + size);
        entries.push(format!(
            "{name}:{{\"dtype\":\"{dtype}\",\"shape\":[{shape}],\"data_offsets\":[{begin},{end}]}}"
        ));
        begin = end;
    }
    let mut header = format!("{{{}}}", entries.join(","));
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    header
}

/// A JSON string as `json.dumps` writes it: everything but printable ASCII is escaped, as UTF-16.
fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("a String takes every write");
                }
            }
        }
    }
    out.push('"');
    out
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_python_does() {
        let text = "a\"\\/\n\t\u{1}\u{7f}é日🎬";
        assert_eq!(json_string(text), r#""a\"\\/\n\t\u0001\u007f\u00e9\u65e5\ud83c\udfac""#);
    }

    #[test]
    fn header_is_compact_and_padded() {
        let header = header(&[("format", "pt")], &[("x", Dtype::Bf16, &[2, 1], &[0; 4])]);
        let text =
            r#"{"__metadata__":{"format":"pt"},"x":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]}}"#;
        assert_eq!(header.trim_end(), text);
        assert_eq!(header.len() % 8, 0);
    }
}
