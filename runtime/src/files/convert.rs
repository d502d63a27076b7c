//! A tensor's values in another element type.

use half::f16;
use half::slice::HalfFloatSliceExt;
use multiversion::multiversion;
use zoetrope_encodings::{Encoding, Matrix, Number};

use super::header::shown;
use super::pieces::in_pieces;
use super::{FileDtype, FileError, Tensor};

impl<'a> Tensor<'a> {
    /// How many elements there are.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The stored bytes, if they are the values, as elements of `dtype` at an address that is a multiple of `align`.
    pub fn in_place(&self, dtype: FileDtype, align: usize) -> Option<&'a [u8]> {
        let stored = self.computed.is_none() && self.dtype == dtype;
        let fits = stored && self.bytes.as_ptr().addr().is_multiple_of(align.max(1));
        fits.then_some(self.bytes)
    }

    /// Whether [`Tensor::read_into`] can give `dtype`: the stored type itself, or F32, F16 and BF16 among each other.
    pub fn reads_as(&self, dtype: FileDtype) -> bool {
        let real = |dtype| matches!(dtype, FileDtype::F32 | FileDtype::F16 | FileDtype::Bf16);
        (self.dtype == dtype && self.computed.is_none()) || (real(self.dtype) && real(dtype))
    }

    /// Writes the values as elements of `dtype`, each rounded once, to the nearest and halves to even.
    ///
    /// # Errors
    /// The type cannot be converted ([`Tensor::reads_as`]), or `out` is not exactly as long as the result.
    pub fn read_into(&self, dtype: FileDtype, out: &mut [u8]) -> Result<(), FileError> {
        // The same number of elements, of at most twice the size: no overflow where the stored size had none.
        let stored = self.dtype == dtype && self.computed.is_none();
        let wanted = if stored { self.bytes.len() } else { self.elements() * dtype.bits() / 8 };
        if self.reads_as(dtype) && out.len() != wanted {
            return Err(self.place_error(dtype, wanted, out.len()));
        }
        self.read_range(dtype, 0, out)
    }

    /// As [`Tensor::read_into`], of as many elements as `out` holds, from element `first` on.
    ///
    /// # Errors
    /// The type cannot be converted, or there are not so many elements.
    pub fn read_range(&self, dtype: FileDtype, first: usize, out: &mut [u8]) -> Result<(), FileError> {
        if !self.reads_as(dtype) {
            let (path, tensor) = (self.file.to_owned(), shown(self.name));
            return Err(FileError::Conversion { path, tensor, found: self.dtype, wanted: dtype });
        }
        if let Some(computed) = self.computed {
            let end = (out.len() / (dtype.bits() / 8)).checked_add(first);
            if end.is_none_or(|end| end > self.elements()) {
                return Err(self.place_error(dtype, self.elements() * dtype.bits() / 8, out.len()));
            }
            return computed.read(dtype, first, out);
        }
        // Bytes before, and bytes of, what is read.
        let stored = |elements: usize| elements.checked_mul(self.dtype.bits()).map(|bits| bits / 8);
        let from = stored(first);
        let same = self.dtype == dtype;
        let bytes = if same { Some(out.len()) } else { stored(out.len() / (dtype.bits() / 8).max(1)) };
        let range = from.zip(bytes).and_then(|(from, bytes)| self.bytes.get(from..from.checked_add(bytes)?));
        let range = range.ok_or_else(|| self.place_error(dtype, self.bytes.len(), out.len()))?;
        // What is read as another type is a real number.
        let [stored, wanted] = [self.dtype, dtype].map(|dtype| if same { 1 } else { dtype.bits() / 8 });
        if range.len() / stored != out.len() / wanted {
            return Err(self.place_error(dtype, range.len(), out.len()));
        }
        in_pieces(out, wanted, |at, out| {
            let from = &range[at / wanted * stored..][..out.len() / wanted * stored];
            match same {
                true => out.copy_from_slice(from),
                false => convert(self.dtype, from, dtype, out),
            }
            Ok(())
        })
    }

    pub(super) fn place_error(&self, dtype: FileDtype, wanted: usize, given: usize) -> FileError {
        FileError::Place { path: self.file.to_owned(), tensor: shown(self.name), dtype, wanted, given }
    }
}

/// Elements that are converted through f32 at a time: they stay in a core's first cache.
pub(super) const PIECE: usize = 2048;

/// Real numbers of one type as those of another.
fn convert(from: FileDtype, bytes: &[u8], to: FileDtype, out: &mut [u8]) {
    let [from_size, to_size] = [from, to].map(|dtype| dtype.bits() / 8);
    let mut values = [0f32; PIECE];
    for (bytes, out) in bytes.chunks(PIECE * from_size).zip(out.chunks_mut(PIECE * to_size)) {
        let values = &mut values[..bytes.len() / from_size];
        load(from, bytes, values);
        store(to, values, out);
    }
}

/// Real numbers as f32, exactly. Those of any other type are none.
fn load(dtype: FileDtype, bytes: &[u8], values: &mut [f32]) {
    let number = match dtype {
        FileDtype::F32 => Number::F32,
        FileDtype::F16 => Number::F16,
        FileDtype::Bf16 => Number::Bf16,
        _ => return,
    };
    let stored = Matrix::new(Encoding::Plain(number), [1, values.len()], bytes, &[], 1.0);
    stored.into_iter().for_each(|stored| stored.decode(0, values));
}

/// Writes at most [`PIECE`] values as elements of a type, each rounded once, to the nearest and halves to even; nothing for
/// a type that is none of F32, F16 and BF16.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2", "x86_64+avx2"))]
pub(super) fn store(dtype: FileDtype, values: &[f32], out: &mut [u8]) {
    match dtype {
        FileDtype::F32 => {
            let to = out.as_chunks_mut::<4>().0;
            to.iter_mut().zip(values).for_each(|(bytes, value)| *bytes = value.to_le_bytes());
        }
        FileDtype::Bf16 => {
            let to = out.as_chunks_mut::<2>().0;
            to.iter_mut().zip(values).for_each(|(bytes, value)| *bytes = rounded(*value).to_le_bytes());
        }
        FileDtype::F16 => {
            let mut halves = [f16::ZERO; PIECE];
            let halves = &mut halves[..values.len().min(PIECE)];
            halves.convert_from_f32_slice(values);
            let to = out.as_chunks_mut::<2>().0;
            to.iter_mut().zip(halves).for_each(|(bytes, half)| *bytes = half.to_le_bytes());
        }
        _ => {}
    }
}

/// As [`store`], as bf16, of finite values; whether they all are. What it writes of others means nothing.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2", "x86_64+avx2"))]
pub(super) fn store_finite(values: &[f32], out: &mut [u8]) -> bool {
    let mut most = 0;
    for (bytes, value) in out.as_chunks_mut::<2>().0.iter_mut().zip(values) {
        most = most.max(value.to_bits() & 0x7fff_ffff);
        *bytes = nearest(value.to_bits()).to_le_bytes();
    }
    most < f32::INFINITY.to_bits()
}

/// The bits of the nearest bf16, without a branch.
#[inline(always)]
fn rounded(value: f32) -> u16 {
    let bits = value.to_bits();
    let quiet = (bits >> 16) as u16 | 0x40;
    if bits & 0x7fff_ffff > 0x7f80_0000 { quiet } else { nearest(bits) }
}

/// The same of a number, by its bits.
#[inline(always)]
fn nearest(bits: u32) -> u16 {
    (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// Whether all of them are finite.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2", "x86_64+avx2"))]
pub(super) fn finite(values: &[f32]) -> bool {
    let top = |value: &f32| u32::from(value.to_bits() & 0x7f80_0000 == 0x7f80_0000);
    values.iter().map(top).fold(0, |any, one| any | one) == 0
}

#[cfg(test)]
mod tests {
    use super::super::{FileDtype, FileError, NewTensor, TensorFile, write_tensors};
    use half::{bf16, f16};

    fn file(dtype: FileDtype, bytes: &[u8], elements: usize) -> TensorFile {
        let tensor = NewTensor { name: "t", dtype, shape: &[elements], bytes };
        TensorFile::from_bytes("m", write_tensors(&[], &[tensor])).unwrap()
    }

    fn read(file: &TensorFile, dtype: FileDtype) -> Vec<u8> {
        let tensor = file.get("t").unwrap();
        let mut out = vec![0; tensor.elements() * dtype.bits() / 8];
        tensor.read_into(dtype, &mut out).unwrap();
        out
    }

    #[test]
    fn each_conversion_rounds_once_to_nearest_even() {
        // 1 + 2^-8 lies half way between two bf16 numbers, 1 + 3 * 2^-8 too: to even means down, then up.
        let values = [1.0f32 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -0.0, 3.4e38, f32::INFINITY, f32::NAN, 1e-40];
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let source = file(FileDtype::F32, &bytes, values.len());
        let as_bf16 = read(&source, FileDtype::Bf16);
        let got: Vec<bf16> = as_bf16.chunks(2).map(|b| bf16::from_le_bytes([b[0], b[1]])).collect();
        assert_eq!(got[0].to_f32(), 1.0);
        assert_eq!(got[1].to_f32(), 1.0 + 4.0 / 256.0);
        assert_eq!(got[2].to_bits(), 0x8000);
        assert_eq!(got[3], bf16::INFINITY);
        assert!(got[5].is_nan());
        assert!(got[6].to_f32() > 0.0, "small numbers stay, as subnormal ones");
        // 1 + 2^-11 and 1 + 3 * 2^-11 lie half way between two f16 numbers.
        let values = [1.0f32 + 1.0 / 2048.0, 1.0 + 3.0 / 2048.0, 65520.0];
        let halves: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let as_f16 = read(&file(FileDtype::F32, &halves, values.len()), FileDtype::F16);
        let got: Vec<f16> = as_f16.chunks(2).map(|b| f16::from_le_bytes([b[0], b[1]])).collect();
        assert_eq!(got, [f16::ONE, f16::from_f32(1.0 + 4.0 / 2048.0), f16::INFINITY]);
        assert_eq!(read(&source, FileDtype::F32), bytes);
    }

    #[test]
    fn half_types_widen_exactly_and_meet_through_f32() {
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        for (dtype, widen) in [
            (FileDtype::Bf16, (|b| bf16::from_bits(b).to_f32()) as fn(u16) -> f32),
            (FileDtype::F16, |b| f16::from_bits(b).to_f32()),
        ] {
            let source = file(dtype, &all, 1 << 16);
            let wide = read(&source, FileDtype::F32);
            for (bits, bytes) in wide.chunks(4).enumerate() {
                let got = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                let want = widen(bits as u16);
                assert!(
                    got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()),
                    "{dtype} {bits:#x}"
                );
            }
        }
        let source = file(FileDtype::F16, &f16::from_f32(0.1).to_le_bytes(), 1);
        let want = bf16::from_f32(f16::from_f32(0.1).to_f32());
        assert_eq!(read(&source, FileDtype::Bf16), want.to_le_bytes());
    }

    #[test]
    fn refuses_what_has_no_conversion_and_wrong_places() {
        let ints = file(FileDtype::I32, &[1, 0, 0, 0], 1);
        assert_eq!(read(&ints, FileDtype::I32), [1, 0, 0, 0]);
        let tensor = ints.get("t").unwrap();
        let error = tensor.read_into(FileDtype::F32, &mut [0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "m: tensor t is I32, which cannot be read as F32");
        let error = tensor.read_into(FileDtype::I32, &mut [0; 3]).unwrap_err();
        assert!(matches!(error, FileError::Place { wanted: 4, given: 3, .. }));
    }

    #[test]
    fn in_place_needs_the_type_and_the_alignment() {
        let source = file(FileDtype::Bf16, &[0; 8], 4);
        let tensor = source.get("t").unwrap();
        assert_eq!(tensor.in_place(FileDtype::Bf16, 1), Some(tensor.bytes));
        assert_eq!(tensor.in_place(FileDtype::F16, 1), None);
        let address = tensor.bytes.as_ptr().addr();
        let fits = 1 << address.trailing_zeros();
        assert!(tensor.in_place(FileDtype::Bf16, fits).is_some());
        assert!(tensor.in_place(FileDtype::Bf16, fits * 2).is_none());
    }
}
