//! Tensors whose values are decoded when they are read.

use std::sync::Arc;

use rayon::prelude::*;
use zoetrope_encodings::{Encoding, Matrix};

use super::convert::{PIECE, finite, store, store_finite};
use super::header::shown;
use super::pieces::in_pieces;
use super::{Computed, FileDtype, FileError, TensorFile};

/// Elements that a thread counts at a time.
const SHARE: usize = 1 << 16;

/// What stands beside the codes of a tensor, and what becomes of its values.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// The tensor that has the scales, in the bytes that the encoding wants.
    pub scales: Option<String>,
    /// The second scale of NVFP4.
    pub tensor_scale: Option<f32>,
    /// What the columns are multiplied by.
    pub column_factors: Option<Vec<f32>>,
    /// What is added to every value.
    pub add: f32,
}

/// A stored tensor, and how its values are made of it. They are made in f32, on all cores, and rounded once.
pub struct Decoded {
    file: Arc<TensorFile>,
    /// The name of the codes in the file.
    name: String,
    shape: Vec<usize>,
    encoding: Encoding,
    stored: [usize; 2],
    beside: Beside,
}

impl Decoded {
    /// The tensor `name` of a file as a matrix of `stored` rows and columns, which are read as `shape`. `None` where the
    /// file has other bytes than the encoding says.
    pub fn new(
        file: &Arc<TensorFile>,
        name: &str,
        encoding: Encoding,
        stored: [usize; 2],
        shape: Vec<usize>,
        beside: Beside,
    ) -> Option<Decoded> {
        let columns = shape.last().copied().unwrap_or(1);
        let factors = beside.column_factors.as_ref().is_none_or(|factors| factors.len() == columns);
        let elements = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n))?;
        let whole = elements == stored[0].checked_mul(stored[1])? && factors;
        let decoded =
            Decoded { file: Arc::clone(file), name: name.to_string(), shape, encoding, stored, beside };
        let there = decoded.matrix().is_some();
        (whole && there).then_some(decoded)
    }

    /// How its values are stored.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The file that it is stored in.
    pub fn file(&self) -> &TensorFile {
        &self.file
    }

    /// Its extents as the model has them.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Makes it `rows` rows long: those that are not stored are zeros. It never becomes shorter.
    pub fn extend_rows(&mut self, rows: usize) {
        if let Some(first) = self.shape.first_mut() {
            *first = rows.max(*first);
        }
    }

    /// The stored scales, if the encoding has any beside its codes.
    fn scales(&self) -> Option<&[u8]> {
        self.beside.scales.as_ref().map_or(Some(&[]), |scales| Some(self.file.get(scales)?.bytes))
    }

    fn matrix(&self) -> Option<Matrix<'_>> {
        let codes = self.file.get(&self.name)?.bytes;
        Matrix::new(
            self.encoding,
            self.stored,
            codes,
            self.scales()?,
            self.beside.tensor_scale.unwrap_or(1.0),
        )
    }

    /// Elements from `first` on, rounded to `dtype`.
    fn piece(
        &self,
        matrix: &Matrix<'_>,
        dtype: FileDtype,
        first: usize,
        out: &mut [u8],
    ) -> Result<(), FileError> {
        let (stored, columns) = (self.stored[0] * self.stored[1], self.shape.last().copied().unwrap_or(1));
        let mut values = [0f32; PIECE];
        let size = dtype.bits() / 8;
        for (i, out) in out.chunks_mut(PIECE * size).enumerate() {
            let at = first + i * PIECE;
            let values = &mut values[..out.len() / size];
            let (there, beyond) = values.split_at_mut(stored.saturating_sub(at).min(values.len()));
            matrix.decode(at.min(stored), there);
            beyond.fill(0.0);
            let plain = self.beside.column_factors.is_none() && self.beside.add == 0.0;
            let whole = plain && dtype == FileDtype::Bf16 && beyond.is_empty();
            let good = if whole { store_finite(there, out) } else { finite(there) };
            if !good && let Some(element) = there.iter().position(|value| !value.is_finite()) {
                return Err(self.error(at + element, there[element]));
            }
            if whole {
                continue;
            }
            if let Some(factors) = &self.beside.column_factors {
                let (mut column, mut left) = (at % columns, &mut there[..]);
                while !left.is_empty() {
                    let (row, behind) = left.split_at_mut((columns - column).min(left.len()));
                    row.iter_mut().zip(&factors[column..]).for_each(|(value, factor)| *value *= factor);
                    (column, left) = (0, behind);
                }
            }
            if self.beside.add != 0.0 {
                there.iter_mut().for_each(|value| *value += self.beside.add);
            }
            store(dtype, values, out);
        }
        Ok(())
    }

    /// How many of the stored values are NaN, and how many infinite. All are decoded, on all cores.
    pub fn not_finite(&self) -> [u64; 2] {
        let Some(matrix) = self.matrix() else { return [0; 2] };
        let all = self.stored[0] * self.stored[1];
        let starts = (0..all.div_ceil(SHARE)).into_par_iter().map(|share| share * SHARE);
        let counts = starts.map(|first| {
            let mut values = [0f32; PIECE];
            let mut counts = [0; 2];
            for at in (first..all.min(first + SHARE)).step_by(PIECE) {
                let values = &mut values[..PIECE.min(all - at)];
                matrix.decode(at, values);
                counts[0] += values.iter().filter(|value| value.is_nan()).count() as u64;
                counts[1] += values.iter().filter(|value| value.is_infinite()).count() as u64;
            }
            counts
        });
        counts.reduce(|| [0; 2], |a, b| [a[0] + b[0], a[1] + b[1]])
    }

    fn error(&self, element: usize, value: f32) -> FileError {
        FileError::NotFinite {
            path: self.file.path().to_owned(),
            tensor: shown(&self.name),
            element,
            value: format!("{value:?}").to_lowercase(),
            encoding: self.encoding.to_string(),
        }
    }
}

impl Computed for Decoded {
    fn stored(&self) -> Option<Matrix<'_>> {
        let changed = self.beside.column_factors.is_some() || self.beside.add != 0.0;
        let whole = self.shape.iter().product::<usize>() == self.stored[0] * self.stored[1];
        self.matrix().filter(|_| whole && !changed)
    }

    fn beside(&self) -> &[u8] {
        self.scales().unwrap_or_default()
    }

    fn read(&self, dtype: FileDtype, first: usize, out: &mut [u8]) -> Result<(), FileError> {
        let Some(matrix) = self.matrix() else {
            // It was there when this was made: the file offers less now.
            return Err(FileError::Conversion {
                path: self.file.path().to_owned(),
                tensor: shown(&self.name),
                found: FileDtype::U8,
                wanted: dtype,
            });
        };
        let size = dtype.bits() / 8;
        in_pieces(out, size, |at, out| self.piece(&matrix, dtype, first + at / size, out))
    }
}

impl std::fmt::Debug for Decoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}{:?} in {}", self.name, self.encoding, self.shape, self.file.path().display())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use half::bf16;
    use zoetrope_encodings::{Blocks, Code, Encoding, e4m3};

    use super::super::{FileDtype, FileError, NewTensor, TensorFile, TensorSet, View, Viewed, write_tensors};
    use super::{Beside, Decoded};

    const ROWS: usize = 300;
    const COLUMNS: usize = 500;

    fn file(nan: Option<usize>) -> Arc<TensorFile> {
        let mut codes: Vec<u8> = (0..ROWS * COLUMNS).map(|i| (i * 7 % 120) as u8).collect();
        nan.into_iter().for_each(|at| codes[at] = 0x7f);
        let scales: Vec<u8> = (0..ROWS).flat_map(|row| (1.0 + row as f32 / 64.0).to_le_bytes()).collect();
        let (dtype, shape) = (FileDtype::F8E4M3, &[ROWS, COLUMNS][..]);
        let tensors = [
            NewTensor { name: "w", dtype, shape, bytes: &codes },
            NewTensor { name: "s", dtype: FileDtype::F32, shape: &[ROWS], bytes: &scales },
        ];
        Arc::new(TensorFile::from_bytes("m", write_tensors(&[], &tensors)).unwrap())
    }

    fn decoded(file: &Arc<TensorFile>) -> Decoded {
        let encoding = Encoding::Scaled { code: Code::E4m3, blocks: Blocks::Row };
        let factors = (0..COLUMNS).map(|column| if column == 3 { 2.0 } else { 1.0 }).collect();
        let beside = Beside {
            scales: Some("s".to_string()),
            column_factors: Some(factors),
            add: -1.0,
            ..Beside::default()
        };
        let shape = [ROWS, COLUMNS];
        Decoded::new(file, "w", encoding, shape, shape.to_vec(), beside).unwrap()
    }

    fn set(file: &Arc<TensorFile>, decoded: Decoded) -> TensorSet {
        let viewed = Viewed { name: "model.w".to_string(), stored: "w".to_string(), decoded: Some(decoded) };
        TensorSet::of(vec![View { file: Arc::clone(file), tensors: vec![viewed] }])
    }

    #[test]
    fn values_are_made_once_and_from_anywhere() {
        let file = file(None);
        let mut tensor = decoded(&file);
        tensor.extend_rows(ROWS + 2);
        let set = set(&file, tensor);
        let tensor = set.get("model.w").unwrap();
        assert_eq!(tensor.shape, [ROWS + 2, COLUMNS]);
        assert!(
            tensor.in_place(FileDtype::F8E4M3, 1).is_none() && tensor.in_place(FileDtype::F32, 1).is_none()
        );
        let value = |i: usize| match i / COLUMNS {
            row if row >= ROWS => 0.0,
            row => {
                let plain = e4m3((i * 7 % 120) as u8) * (1.0 + row as f32 / 64.0);
                plain * if i % COLUMNS == 3 { 2.0 } else { 1.0 } - 1.0
            }
        };
        let mut all = vec![0; tensor.elements() * 2];
        tensor.read_into(FileDtype::Bf16, &mut all).unwrap();
        for (i, got) in all.as_chunks::<2>().0.iter().enumerate() {
            assert_eq!(bf16::from_le_bytes(*got), bf16::from_f32(value(i)), "{i}");
        }
        let mut some = [0; 4 * 7];
        tensor.read_range(FileDtype::F32, 123_457, &mut some).unwrap();
        for (i, got) in some.as_chunks::<4>().0.iter().enumerate() {
            assert_eq!(f32::from_le_bytes(*got), value(123_457 + i));
        }
        assert!(tensor.read_range(FileDtype::F32, tensor.elements() - 6, &mut some).is_err());
        assert!(tensor.read_into(FileDtype::I32, &mut some).is_err());
    }

    #[test]
    fn numbers_that_are_none_are_named() {
        let file = file(Some(7));
        assert_eq!(decoded(&file).not_finite(), [1, 0]);
        let set = set(&file, decoded(&file));
        let tensor = set.get("model.w").unwrap();
        let error = tensor.read_into(FileDtype::F32, &mut vec![0; tensor.elements() * 4]).unwrap_err();
        assert!(matches!(error, FileError::NotFinite { element: 7, .. }));
        let said = "m: tensor w: element 7 is nan, a finite number wanted (e4m3 with a scale for each row)";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn bytes_that_do_not_fit_are_no_tensor() {
        let file = file(None);
        let encoding = Encoding::Scaled { code: Code::E4m3, blocks: Blocks::Tensor };
        let beside = || Beside { scales: Some("s".to_string()), ..Beside::default() };
        let new = |stored, shape: &[usize], beside| {
            Decoded::new(&file, "w", encoding, stored, shape.to_vec(), beside)
        };
        assert!(new([ROWS, COLUMNS], &[ROWS, COLUMNS], beside()).is_none(), "too many scales");
        assert!(new([ROWS, COLUMNS], &[ROWS, COLUMNS], Beside::default()).is_none(), "no scale");
        let plain = Encoding::Plain(zoetrope_encodings::Number::E4m3);
        let new = |stored, shape: &[usize]| {
            Decoded::new(&file, "w", plain, stored, shape.to_vec(), Beside::default())
        };
        assert!(new([ROWS, COLUMNS], &[COLUMNS, ROWS]).is_some());
        assert!(new([ROWS, COLUMNS + 1], &[ROWS, COLUMNS + 1]).is_none());
        assert!(new([ROWS, COLUMNS], &[ROWS, COLUMNS + 1]).is_none());
    }
}
