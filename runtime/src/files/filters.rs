//! Filters of convolutions with the channels of each tap side by side.

use rayon::prelude::*;

use super::{FileDtype, FileError, Tensor};

impl Tensor<'_> {
    /// As [`Tensor::read_range`], of rows of the first axis from `first` on, and with the second axis as the last one:
    /// `[out, channels, taps..]` is read as `[out, taps.., channels]`. On all cores.
    ///
    /// # Errors
    /// The type cannot be converted, or there are not so many rows.
    pub fn read_channels_last(
        &self,
        dtype: FileDtype,
        first: usize,
        out: &mut [u8],
    ) -> Result<(), FileError> {
        let channels = self.shape.get(1).copied().unwrap_or(1);
        let taps: usize = self.shape.iter().skip(2).product();
        let size = dtype.bits() / 8;
        let row = channels * taps;
        if !out.len().is_multiple_of((row * size).max(1)) {
            return Err(self.place_error(dtype, row * size, out.len()));
        }
        let rows = out.par_chunks_exact_mut((row * size).max(1)).enumerate();
        rows.try_for_each_init(
            || vec![0; row * size],
            |stored, (number, out)| {
                self.read_range(dtype, (first + number) * row, stored)?;
                match size {
                    4 => turn::<4>(stored, taps, channels, out),
                    2 => turn::<2>(stored, taps, channels, out),
                    _ => turn::<1>(stored, taps, channels, out),
                }
                Ok(())
            },
        )
    }
}

/// A matrix [channels, taps] of elements of so many bytes as [taps, channels].
fn turn<const BYTES: usize>(stored: &[u8], taps: usize, channels: usize, out: &mut [u8]) {
    let (stored, out) = (stored.as_chunks::<BYTES>().0, out.as_chunks_mut::<BYTES>().0);
    for (tap, out) in out.chunks_exact_mut(channels.max(1)).enumerate() {
        out.iter_mut().zip(stored[tap..].iter().step_by(taps)).for_each(|(to, from)| *to = *from);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FileDtype, NewTensor, TensorFile, write_tensors};

    const SHAPE: [usize; 4] = [3, 5, 7, 3];

    /// A file whose one tensor counts its elements.
    fn counting() -> TensorFile {
        let all = SHAPE.iter().product::<usize>();
        let bytes: Vec<u8> = (0..all).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let tensor = NewTensor { name: "t", dtype: FileDtype::F32, shape: &SHAPE, bytes: &bytes };
        TensorFile::from_bytes("m", write_tensors(&[], &[tensor])).unwrap()
    }

    #[test]
    fn channels_of_a_tap_come_to_lie_side_by_side() {
        let file = counting();
        let (tensor, [out, channels, taps]) = (file.get("t").unwrap(), [3, 5, 21]);
        for first in 0..out {
            let rows = out - first;
            let mut bytes = vec![0; rows * channels * taps * 2];
            tensor.read_channels_last(FileDtype::Bf16, first, &mut bytes).unwrap();
            let got = bytes.chunks(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32());
            let places = (first..out).flat_map(|o| (0..taps).map(move |t| (o, t)));
            let places = places.flat_map(|(o, t)| (0..channels).map(move |c| (o * channels + c) * taps + t));
            let want = places.map(|i| half::bf16::from_f32(i as f32).to_f32());
            assert!(got.eq(want), "from row {first}");
        }
    }

    #[test]
    fn rows_that_are_not_there_are_an_error() {
        let (file, row) = (counting(), 5 * 21 * 4);
        let tensor = file.get("t").unwrap();
        assert!(tensor.read_channels_last(FileDtype::F32, 2, &mut vec![0; row]).is_ok());
        assert!(tensor.read_channels_last(FileDtype::F32, 2, &mut vec![0; 2 * row]).is_err());
        assert!(tensor.read_channels_last(FileDtype::F32, 0, &mut vec![0; row / 2]).is_err());
        assert!(tensor.read_channels_last(FileDtype::I32, 0, &mut vec![0; row]).is_err());
    }
}
