//! Tensors as rows that stay encoded.

use zoetrope_encodings::Kept;

use super::convert::finite;
use super::header::shown;
use super::pieces::in_pieces;
use super::{FileDtype, FileError, Tensor};

impl Tensor<'_> {
    /// Writes rows of a matrix, from row `first` on, as they are kept, on all cores. What is stored so is copied; all else
    /// is encoded, each number from its value in f32.
    ///
    /// # Errors
    /// The values cannot be read as f32, or one is not finite; there are not so many rows, or they are no whole number of
    /// the encoding's granules.
    pub fn read_kept(&self, kept: Kept, first: usize, out: &mut [u8]) -> Result<(), FileError> {
        let columns: usize = self.shape.iter().skip(1).product();
        let row = kept.row_bytes(columns).filter(|row| out.len().is_multiple_of(*row));
        let rows = row.map(|row| (row, out.len() / row));
        let rows_here = self.shape.first().copied().unwrap_or(1);
        let fits = |(_, rows): &(usize, usize)| first.checked_add(*rows).is_some_and(|end| end <= rows_here);
        let Some((row, _)) = rows.filter(fits) else {
            let wanted = row.unwrap_or(0).saturating_mul(rows_here);
            return Err(self.place_error(FileDtype::U8, wanted, out.len()));
        };
        in_pieces(out, row, |at, out| self.piece_of_rows(kept, columns, first + at / row, out))
    }

    fn piece_of_rows(
        &self,
        kept: Kept,
        columns: usize,
        first: usize,
        out: &mut [u8],
    ) -> Result<(), FileError> {
        let row = kept.row_bytes(columns).unwrap_or(1);
        let stored = self.computed.and_then(|computed| computed.stored());
        let mut taken = stored.is_some();
        if let Some(stored) = stored {
            for (i, row) in out.chunks_exact_mut(row).enumerate() {
                taken = taken && kept.take(&stored, (first + i) * columns, columns, row);
            }
        }
        if !taken {
            let mut values = vec![0f32; columns];
            for (i, row) in out.chunks_exact_mut(row).enumerate() {
                let at = (first + i) * columns;
                self.read_range(FileDtype::F32, at, bytemuck::cast_slice_mut(&mut values))?;
                // Encoding makes a large code of what is no number.
                if !finite(&values)
                    && let Some(element) = values.iter().position(|value| !value.is_finite())
                {
                    return Err(self.not_finite(at + element, values[element], kept));
                }
                kept.encode(&values, row);
            }
        }
        let odd = out.chunks_exact(row).position(|row| !kept.is_finite(row, columns));
        match odd {
            Some(odd) => Err(self.not_finite((first + odd) * columns, f32::NAN, kept)),
            None => Ok(()),
        }
    }

    fn not_finite(&self, element: usize, value: f32, kept: Kept) -> FileError {
        FileError::NotFinite {
            path: self.file.to_owned(),
            tensor: shown(self.name),
            element,
            value: format!("{value:?}").to_lowercase(),
            encoding: kept.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use half::bf16;
    use zoetrope_encodings::{Blocks, Code, Encoding, Kept};

    use super::super::{
        Beside, Decoded, FileDtype, NewTensor, TensorFile, TensorSet, View, Viewed, write_tensors,
    };

    const SHAPE: [usize; 2] = [600, 512];

    fn file(dtype: FileDtype, bytes: &[u8]) -> TensorFile {
        let scale = 0.25f32.to_le_bytes();
        let tensors = [
            NewTensor { name: "w", dtype, shape: &SHAPE, bytes },
            NewTensor { name: "s", dtype: FileDtype::F32, shape: &[], bytes: &scale },
        ];
        TensorFile::from_bytes("m", write_tensors(&[], &tensors)).unwrap()
    }

    fn bf16s(value: impl Fn(usize) -> f32) -> Vec<u8> {
        (0..SHAPE[0] * SHAPE[1]).flat_map(|i| bf16::from_f32(value(i)).to_le_bytes()).collect()
    }

    /// Each row is what one row alone is, wherever one begins.
    #[test]
    fn rows_are_encoded_when_they_are_read() {
        let value = |i: usize| bf16::from_f32(((i * 31 % 977) as f32 - 400.0) / 999.0).to_f32();
        let file = file(FileDtype::Bf16, &bf16s(value));
        let tensor = file.get("w").unwrap();
        for kept in Kept::ALL {
            let row = kept.row_bytes(SHAPE[1]).unwrap();
            let mut all = vec![0; SHAPE[0] * row];
            tensor.read_kept(kept, 0, &mut all).unwrap();
            let mut some = vec![0; 3 * row];
            tensor.read_kept(kept, 577, &mut some).unwrap();
            assert_eq!(some, all[577 * row..580 * row]);
            for number in [0, 300, 599] {
                let values: Vec<f32> = (0..SHAPE[1]).map(|c| value(number * SHAPE[1] + c)).collect();
                let mut alone = vec![0; row];
                kept.encode(&values, &mut alone);
                assert_eq!(alone, all[number * row..(number + 1) * row], "{kept} {number}");
            }
            assert!(
                tensor.read_kept(kept, 598, &mut some).is_err()
                    && tensor.read_kept(kept, 0, &mut some[1..]).is_err()
            );
        }
    }

    #[test]
    fn what_is_stored_so_is_copied() {
        let codes: Vec<u8> = (0..SHAPE[0] * SHAPE[1]).map(|i| (i * 13 % 127) as u8).collect();
        let read = |codes: &[u8]| {
            let file = Arc::new(file(FileDtype::F8E4M3, codes));
            let encoding = Encoding::Scaled { code: Code::E4m3, blocks: Blocks::Tensor };
            let beside = Beside { scales: Some("s".to_string()), ..Beside::default() };
            let decoded = Decoded::new(&file, "w", encoding, SHAPE, SHAPE.to_vec(), beside);
            let viewed = Viewed { name: "w".to_string(), stored: "w".to_string(), decoded };
            let set = TensorSet::of(vec![View { file: Arc::clone(&file), tensors: vec![viewed] }]);
            let mut rows = vec![0; 2 * (SHAPE[1] + 16)];
            set.get("w").unwrap().read_kept(Kept::Fp8, 300, &mut rows).map(|()| rows)
        };
        let rows = read(&codes).unwrap();
        let (row, behind) = rows.split_at(SHAPE[1]);
        assert_eq!(row, &codes[300 * SHAPE[1]..301 * SHAPE[1]]);
        assert_eq!(behind[..4], 0.25f32.to_le_bytes());
        let mut odd = codes;
        odd[301 * SHAPE[1] + 5] = 0xff;
        let error = read(&odd).unwrap_err().to_string();
        assert!(error.contains("tensor w") && error.contains("finite"), "{error}");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let file = file(FileDtype::Bf16, &bf16s(|i| if i == 1000 { f32::INFINITY } else { 0.5 }));
        for kept in Kept::ALL {
            let row = kept.row_bytes(SHAPE[1]).unwrap();
            let error = file.get("w").unwrap().read_kept(kept, 0, &mut vec![0; 2 * row]).unwrap_err();
            assert!(error.to_string().contains("element 1000 is inf"), "{error}");
        }
    }
}
