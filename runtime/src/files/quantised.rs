//! Weights in 8 bits: a whole number for every element, and a scale for every row of the first axis.

use half::bf16;

use super::{FileDtype, Tensor};

impl Tensor<'_> {
    /// The values of an I8 tensor as bf16, little-endian: each element times the scale of its row, one product in f32,
    /// rounded once. `scales` is F32, one for each row of the first axis.
    ///
    /// # Errors
    /// Another element type, another number of scales, or a scale that is not finite, in words.
    pub fn dequantised(&self, scales: &Tensor<'_>) -> Result<Vec<u8>, String> {
        for (tensor, want) in [(self, FileDtype::I8), (scales, FileDtype::F32)] {
            if tensor.dtype != want || tensor.computed.is_some() {
                return Err(format!("tensor {} is {}, {want} wanted", tensor.name, tensor.dtype));
            }
        }
        let rows = self.shape.first().copied().unwrap_or(1);
        if scales.shape != [rows] {
            let (name, have) = (scales.name, scales.shape);
            return Err(format!("tensor {name} has shape {have:?}, [{rows}] wanted"));
        }
        let scale = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let scales: Vec<f32> = scales.bytes.chunks_exact(4).map(scale).collect();
        if let Some(row) = scales.iter().position(|scale| !scale.is_finite()) {
            return Err(format!("tensor {}: the scale of row {row} is {}", self.name, scales[row]));
        }
        let mut values = vec![0; 2 * self.bytes.len()];
        let row = (self.bytes.len() / rows.max(1)).max(1);
        for ((from, to), scale) in self.bytes.chunks(row).zip(values.chunks_mut(2 * row)).zip(scales) {
            for (from, to) in from.iter().zip(to.chunks_exact_mut(2)) {
                let value = f32::from(i8::from_le_bytes([*from])) * scale;
                to.copy_from_slice(&bf16::from_f32(value).to_le_bytes());
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FileDtype, NewTensor, TensorFile, write_tensors};
    use half::bf16;

    /// A tensor `w` of three rows, and its scales `s`.
    fn file(dtype: FileDtype, shape: &[usize], bytes: &[u8], scales: &[f32]) -> TensorFile {
        let scale_bytes: Vec<u8> = scales.iter().flat_map(|s| s.to_le_bytes()).collect();
        let tensors = [
            NewTensor { name: "w", dtype, shape, bytes },
            NewTensor { name: "s", dtype: FileDtype::F32, shape: &[scales.len()], bytes: &scale_bytes },
        ];
        TensorFile::from_bytes("m", write_tensors(&[], &tensors)).unwrap()
    }

    fn dequantised(file: &TensorFile) -> Result<Vec<f32>, String> {
        let bytes = file.get("w").unwrap().dequantised(&file.get("s").unwrap())?;
        Ok(bytes.chunks(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect())
    }

    #[test]
    fn elements_are_multiplied_by_the_scale_of_their_row() {
        let bytes = [1, 0xff, 127, 0x81, 0, 5];
        let values = dequantised(&file(FileDtype::I8, &[3, 1, 2], &bytes, &[0.5, 2.0, 0.1])).unwrap();
        // 0.5 in f32 is rounded to the bf16 next to it.
        assert_eq!(values, [0.5, -0.5, 254.0, -254.0, 0.0, bf16::from_f32(5.0 * 0.1).to_f32()]);
        assert_eq!(dequantised(&file(FileDtype::I8, &[0, 4], &[], &[])).unwrap(), [0.0; 0]);
        assert_eq!(dequantised(&file(FileDtype::I8, &[], &[3], &[2.0])).unwrap(), [6.0]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let said = |file: TensorFile| dequantised(&file).unwrap_err();
        assert_eq!(said(file(FileDtype::U8, &[2], &[1, 2], &[1.0; 2])), "tensor w is U8, I8 wanted");
        let few = file(FileDtype::I8, &[2], &[1, 2], &[1.0]);
        assert_eq!(said(few), "tensor s has shape [1], [2] wanted");
        let nan = file(FileDtype::I8, &[2], &[1, 2], &[1.0, f32::NAN]);
        assert_eq!(said(nan), "tensor w: the scale of row 1 is NaN");
    }
}
