//! Named tensors on the host: what goes into phases and comes out of them.

use std::collections::BTreeMap;
use std::path::Path;

use half::bf16;
use zoetrope_runtime::files::{
    FileDtype, FileError, NewTensor, Tensor as FileTensor, TensorFile, write_tensors,
};
use zoetrope_runtime::plan::{Dtype, Port};

/// Elements on the host.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    Real(Vec<f32>),
    Int(Vec<i32>),
    Byte(Vec<u8>),
}

/// A tensor on the host, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub values: Values,
}

pub type Named = BTreeMap<String, Tensor>;

impl Tensor {
    pub fn real(shape: &[usize], values: Vec<f32>) -> Tensor {
        Tensor { shape: shape.to_vec(), values: Values::Real(values) }
    }

    pub fn int(shape: &[usize], values: Vec<i32>) -> Tensor {
        Tensor { shape: shape.to_vec(), values: Values::Int(values) }
    }

    /// The elements, if they are integers; none otherwise.
    pub fn ints(&self) -> &[i32] {
        match &self.values {
            Values::Int(v) => v,
            _ => &[],
        }
    }

    /// The elements as real numbers.
    pub fn reals(&self) -> Vec<f32> {
        match &self.values {
            Values::Real(v) => v.clone(),
            Values::Int(v) => v.iter().map(|i| *i as f32).collect(),
            Values::Byte(v) => v.iter().map(|i| f32::from(*i)).collect(),
        }
    }

    pub fn elements(&self) -> usize {
        match &self.values {
            Values::Real(v) => v.len(),
            Values::Int(v) => v.len(),
            Values::Byte(v) => v.len(),
        }
    }

    /// The elements as a port stores them.
    pub fn bytes_for(&self, port: &Port) -> Vec<u8> {
        match (&self.values, port.dtype) {
            (Values::Int(v), Dtype::I32) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            (Values::Byte(v), Dtype::U8) => v.clone(),
            (_, Dtype::F32) => self.reals().iter().flat_map(|x| x.to_le_bytes()).collect(),
            (_, Dtype::Bf16) => self.reals().iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
            (_, Dtype::I32) => self.reals().iter().flat_map(|x| (*x as i32).to_le_bytes()).collect(),
            (_, Dtype::U8) => self.reals().iter().map(|x| *x as u8).collect(),
        }
    }

    /// What a port holds.
    pub fn from_port(port: &Port, bytes: &[u8]) -> Tensor {
        let shape: Vec<usize> = port.shape.iter().map(|d| *d as usize).collect();
        match port.dtype {
            Dtype::F32 => Tensor::real(&shape, words(bytes).map(f32::from_le_bytes).collect()),
            Dtype::I32 => Tensor::int(&shape, words(bytes).map(i32::from_le_bytes).collect()),
            Dtype::U8 => Tensor { shape, values: Values::Byte(bytes.to_vec()) },
            Dtype::Bf16 => Tensor::real(
                &shape,
                bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            ),
        }
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    bytes.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]])
}

/// All tensors of a safetensors file; real numbers of any width, and integers of 32 or 64 bits.
///
/// # Errors
/// The file cannot be read, or holds a type that no phase takes.
pub fn load(path: &Path) -> Result<Named, FileError> {
    let file = TensorFile::open(path)?;
    file.iter().map(|t| Ok((t.name.to_string(), read(&t)?))).collect()
}

fn read(t: &FileTensor<'_>) -> Result<Tensor, FileError> {
    let shape = t.shape.to_vec();
    let values = match t.dtype {
        FileDtype::I32 => Values::Int(words(t.bytes).map(i32::from_le_bytes).collect()),
        FileDtype::I64 => {
            let wide = t.bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap_or([0; 8])));
            Values::Int(wide.map(|i| i.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32).collect())
        }
        FileDtype::F64 => {
            let wide = t.bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap_or([0; 8])));
            Values::Real(wide.map(|x| x as f32).collect())
        }
        _ => {
            let mut bytes = vec![0; t.elements() * 4];
            t.read_into(FileDtype::F32, &mut bytes)?;
            Values::Real(words(&bytes).map(f32::from_le_bytes).collect())
        }
    };
    Ok(Tensor { shape, values })
}

/// The bytes of a safetensors file with these tensors: f32, i32 and u8.
pub fn to_bytes(tensors: &Named) -> Vec<u8> {
    let stored: Vec<(&String, &Tensor, FileDtype, Vec<u8>)> = tensors
        .iter()
        .map(|(name, t)| match &t.values {
            Values::Real(v) => (name, t, FileDtype::F32, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Values::Int(v) => (name, t, FileDtype::I32, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Values::Byte(v) => (name, t, FileDtype::U8, v.clone()),
        })
        .collect();
    let list: Vec<NewTensor<'_>> = stored
        .iter()
        .map(|(name, t, dtype, bytes)| NewTensor { name, dtype: *dtype, shape: &t.shape, bytes })
        .collect();
    write_tensors(&[], &list)
}
