//! How loud a clip is, side by side and moment by moment.

use crate::mp4::Read;

/// Moments of a second, and how many of them are looked at: decoders lose the end of the shortest clips.
const MOMENTS: usize = 50;
const LOOKED_AT: usize = 48;

/// The audio of a clip, -1 to 1.
#[derive(Clone, Debug)]
pub struct Sound {
    /// Samples of a second.
    pub rate: usize,
    /// Left and right.
    pub sides: [Vec<f32>; 2],
}

impl Sound {
    /// The audio of an MP4 file.
    ///
    /// # Panics
    /// If there is none, or it cannot be decoded.
    pub fn of_mp4(file: &Read) -> Sound {
        Sound { rate: file.audio().timescale as usize, sides: file.sound() }
    }

    /// The root mean squares of the first 0.96 s, one for each 20 ms: left, then right.
    pub fn loudness(&self) -> Vec<f32> {
        let moment = self.rate / MOMENTS;
        let loud = |wave: &[f32]| (wave.iter().map(|x| x * x).sum::<f32>() / wave.len() as f32).sqrt();
        self.sides.iter().flat_map(|side| side.chunks_exact(moment).take(LOOKED_AT).map(loud)).collect()
    }

    /// The largest sample.
    pub fn peak(&self) -> f32 {
        self.sides.iter().flatten().fold(0.0, |peak, x| x.abs().max(peak))
    }
}

/// Pearson's correlation; 0 where one side does not change.
///
/// # Panics
/// If there are not as many numbers on both sides.
pub fn correlation(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let centred = |v: &[f32]| {
        let mean = v.iter().sum::<f32>() / v.len() as f32;
        v.iter().map(|x| x - mean).collect::<Vec<f32>>()
    };
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let (a, b) = (centred(a), centred(b));
    let size = (product(&a, &a) * product(&b, &b)).sqrt();
    if size > 0.0 { product(&a, &b) / size } else { 0.0 }
}
