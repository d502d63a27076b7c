//! A quantised layer: its weight, the scales beside it, and everything that has to be true of them.

use std::sync::Arc;

use zoetrope_encodings::{Blocks, Code, Encoding, is_group, tiled};
use zoetrope_runtime::files::{Beside, Decoded, FileDtype, Tensor, TensorFile};

use super::marker::{Format, Marker};

/// Tables of tokens are also quantised without a scale.
const TOKEN_TABLE: &str = "embed_tokens";

/// What decodes the weight of a module.
pub fn decoded(file: &Arc<TensorFile>, module: &str, marker: &Marker) -> Result<Decoded, String> {
    let layer = Layer { file, module, format: marker.format };
    let weight = layer.required("weight")?;
    let (want, per_byte) = match marker.format {
        Format::E4m3 | Format::Mxfp8 => (FileDtype::F8E4M3, 1),
        Format::E5m2 => (FileDtype::F8E5M2, 1),
        Format::Nvfp4 => (FileDtype::U8, 2),
        Format::Int8 => (FileDtype::I8, 1),
    };
    let (name, found) = (marker.format.name(), weight.dtype);
    if found != want {
        return Err(format!("module {module}: {name} has {want} weights, and {module}.weight is {found}"));
    }
    let &[rows, stored_columns] = weight.shape else {
        return Err(format!(
            "tensor {module}.weight has shape {:?}, a matrix wanted for {name}",
            weight.shape
        ));
    };
    let columns = stored_columns.checked_mul(per_byte).ok_or("too many columns")?;
    let mut beside = Beside::default();
    let encoding = match marker.format {
        Format::E4m3 => layer.scaled(Code::E4m3, &weight, &mut beside)?,
        Format::E5m2 => layer.scaled(Code::E5m2, &weight, &mut beside)?,
        Format::Int8 => match (layer.scaled(Code::I8, &weight, &mut beside)?, marker.rotated) {
            (Encoding::Scaled { blocks, .. }, Some(group)) => {
                Encoding::Rotated { blocks, group: layer.group(group, columns)? }
            }
            (encoding, _) => encoding,
        },
        Format::Mxfp8 => {
            layer.tiles(rows, columns, 32, &[FileDtype::F8E8M0, FileDtype::U8], &mut beside)?;
            Encoding::Mxfp8
        }
        Format::Nvfp4 => {
            layer.tiles(rows, columns, 16, &[FileDtype::F8E4M3, FileDtype::U8], &mut beside)?;
            let scale = layer.required("weight_scale_2")?;
            beside.tensor_scale = Some(layer.one(&scale)?);
            beside.column_factors = layer.column_factors(columns)?;
            Encoding::Nvfp4
        }
    };
    let shape = [rows, columns];
    let made = Decoded::new(file, weight.name, encoding, shape, shape.to_vec(), beside);
    made.ok_or_else(|| {
        format!("tensor {module}.weight of shape {shape:?} is no whole number of blocks of {name}")
    })
}

struct Layer<'a> {
    file: &'a Arc<TensorFile>,
    module: &'a str,
    format: Format,
}

impl<'a> Layer<'a> {
    fn beside(&self, what: &str) -> Option<Tensor<'a>> {
        self.file.get(&format!("{}.{what}", self.module))
    }

    fn required(&self, what: &str) -> Result<Tensor<'a>, String> {
        self.beside(what).ok_or_else(|| {
            format!(
                "tensor {}.{what} is missing, which {} has for every weight",
                self.module,
                self.format.name()
            )
        })
    }

    /// 8-bit codes with f32 scales for the tensor, its rows or blocks.
    fn scaled(&self, code: Code, weight: &Tensor<'_>, beside: &mut Beside) -> Result<Encoding, String> {
        let &[rows, columns] = weight.shape else { return Err("no matrix".to_string()) };
        let scale = match self.beside("weight_scale").or(self.beside("scale_weight")) {
            None if self.module.ends_with(TOKEN_TABLE) => {
                let number = match code {
                    Code::E4m3 => zoetrope_encodings::Number::E4m3,
                    Code::E5m2 => zoetrope_encodings::Number::E5m2,
                    Code::I8 => {
                        return Err(format!(
                            "tensor {}.weight_scale is missing, which int8 has for every weight",
                            self.module
                        ));
                    }
                };
                return Ok(Encoding::Plain(number));
            }
            None => self.required("weight_scale")?,
            Some(scale) => scale,
        };
        let blocks = match scale.shape {
            shape if shape.iter().product::<usize>() == 1 => Some(Blocks::Tensor),
            [n] | [n, 1] if *n == rows => Some(Blocks::Row),
            [n, m] if *n > 0 && *m > 0 && rows.is_multiple_of(*n) && columns.is_multiple_of(*m) => {
                Some(Blocks::Of { rows: rows / n, columns: columns / m })
            }
            _ => None,
        };
        let (name, shape) = (scale.name, scale.shape);
        let blocks = blocks.ok_or_else(|| {
            format!("tensor {name} has shape {shape:?}: one value, [{rows}, 1] or one for each block wanted")
        })?;
        if scale.dtype != FileDtype::F32 {
            return Err(format!("tensor {name} is {}, F32 wanted", scale.dtype));
        }
        positive(&scale, blocks, code, weight)?;
        beside.scales = Some(name.to_string());
        Ok(Encoding::Scaled { code, blocks })
    }

    /// Scales in tiles of 128 x 4, one for so many columns.
    fn tiles(
        &self,
        rows: usize,
        columns: usize,
        each: usize,
        dtypes: &[FileDtype],
        beside: &mut Beside,
    ) -> Result<(), String> {
        let scale = self.required("weight_scale")?;
        let (name, dtype) = (scale.name, scale.dtype);
        if !dtypes.contains(&dtype) {
            let wanted: Vec<&str> = dtypes.iter().map(|dtype| dtype.name()).collect();
            return Err(format!("tensor {name} is {dtype}, {} wanted", wanted.join(" or ")));
        }
        let wanted = tiled(rows, columns / each).ok_or("too many scales")?;
        if scale.shape != wanted {
            let (shape, format) = (scale.shape, self.format.name());
            let weight = format!("{}.weight is [{rows}, {columns}]", self.module);
            return Err(format!(
                "tensor {name} has shape {shape:?}, {wanted:?} wanted: {weight} in {format}"
            ));
        }
        beside.scales = Some(name.to_string());
        Ok(())
    }

    /// The one number of a tensor.
    fn one(&self, tensor: &Tensor<'_>) -> Result<f32, String> {
        let name = tensor.name;
        let mut bytes = [0; 4];
        if tensor.elements() != 1 || tensor.read_into(FileDtype::F32, &mut bytes).is_err() {
            return Err(format!(
                "tensor {name} is {} {:?}, one value of F32 wanted",
                tensor.dtype, tensor.shape
            ));
        }
        let value = f32::from_le_bytes(bytes);
        match value.is_finite() && value >= 0.0 {
            true => Ok(value),
            false => Err(format!("tensor {name} is {}, a positive number wanted", shown(value))),
        }
    }

    /// What inputs are multiplied by before the layer, and so the columns of its weight.
    fn column_factors(&self, columns: usize) -> Result<Option<Vec<f32>>, String> {
        let Some(factors) = self.beside("pre_quant_scale") else { return Ok(None) };
        let mut bytes = vec![0; factors.elements() * 4];
        if factors.elements() != columns || factors.read_into(FileDtype::F32, &mut bytes).is_err() {
            let (name, dtype, shape) = (factors.name, factors.dtype, factors.shape);
            return Err(format!("tensor {name} is {dtype} {shape:?}, {columns} numbers wanted"));
        }
        let values: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => {
                Err(format!("tensor {} has the value {}, finite ones wanted", factors.name, shown(*value)))
            }
            None => Ok(Some(values)),
        }
    }

    fn group(&self, group: u64, columns: usize) -> Result<usize, String> {
        let at = format!("module {}: convrot_groupsize is {group}", self.module);
        let known = usize::try_from(group).ok().filter(|group| is_group(*group));
        let known = known.ok_or_else(|| format!("{at}, a power of 4 from 4 to 256 wanted"))?;
        match columns.is_multiple_of(known) {
            true => Ok(known),
            false => Err(format!("{at}, a divisor of the {columns} columns wanted")),
        }
    }
}

/// Checks that scales are positive numbers; one of codes that are all zero may be zero.
fn positive(scale: &Tensor<'_>, blocks: Blocks, code: Code, weight: &Tensor<'_>) -> Result<(), String> {
    let &[rows, columns] = weight.shape else { return Ok(()) };
    let wanted = blocks.counts(rows, columns);
    for (number, bytes) in scale.bytes.as_chunks::<4>().0.iter().enumerate() {
        let value = f32::from_le_bytes(*bytes);
        let zero = || {
            let (r, c) = (rows.div_ceil(wanted[0].max(1)), columns.div_ceil(wanted[1].max(1)));
            let (row, column) = (number / wanted[1].max(1) * r, number % wanted[1].max(1) * c);
            let sign = if code == Code::I8 { 0 } else { 0x80 };
            (row..rows.min(row + r)).all(|row| {
                let codes = &weight.bytes[row * columns..][column..columns.min(column + c)];
                codes.iter().all(|code| code & !sign == 0)
            })
        };
        if !(value.is_finite() && (value > 0.0 || value == 0.0 && zero())) {
            let of = if scale.elements() == 1 { String::new() } else { format!(": value {number}") };
            return Err(format!("tensor {}{of} is {}, a positive number wanted", scale.name, shown(value)));
        }
    }
    Ok(())
}

fn shown(value: f32) -> String {
    format!("{value:?}").to_lowercase()
}
