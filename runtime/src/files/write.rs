//! Writing a tensor file: small models, saved latents, results of one phase.

use serde_json::{Map, Value, json};

use super::FileDtype;

/// A tensor to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewTensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// The element type of `bytes`.
    pub dtype: FileDtype,
    /// Row-major extents.
    pub shape: &'a [usize],
    /// The values, little-endian.
    pub bytes: &'a [u8],
}

/// The bytes of a safetensors file. Equal arguments give equal bytes.
///
/// As official files do, the data begin at a multiple of 8 and wider elements come first, so that every element is
/// aligned; equally wide tensors keep the order of the argument.
///
/// # Panics
/// If the bytes of a tensor do not match its shape and type.
pub fn write_tensors(metadata: &[(&str, &str)], tensors: &[NewTensor<'_>]) -> Vec<u8> {
    let mut order: Vec<&NewTensor<'_>> = tensors.iter().collect();
    order.sort_by_key(|tensor| std::cmp::Reverse(tensor.dtype.bits()));
    let mut header = Map::new();
    if !metadata.is_empty() {
        let texts = metadata.iter().map(|&(key, text)| (key.to_string(), Value::from(text)));
        header.insert("__metadata__".to_string(), texts.collect::<Map<_, _>>().into());
    }
    let mut end = 0;
    for tensor in &order {
        let begin = end;
        end += tensor.bytes.len();
        let size = tensor.dtype.bytes_of(tensor.shape.iter().product());
        assert_eq!(size, Some(tensor.bytes.len()), "{}: shape and bytes disagree", tensor.name);
        let entry =
            json!({ "dtype": tensor.dtype.name(), "shape": tensor.shape, "data_offsets": [begin, end] });
        header.insert(tensor.name.to_string(), entry);
    }
    let mut text = Value::from(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut file = Vec::with_capacity(8 + text.len() + end);
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text);
    for tensor in order {
        file.extend(tensor.bytes);
    }
    file
}
