//! Triangular filters on Slaney's mel scale (docs/model/audio.md 3): what the audio encoder hears of a sound, and a weight of
//! the vocoder that nobody learnt.

use libm::{log, pow};

/// `mels` triangles over `bins` frequencies from 0 to `top` Hz, each with area 1: the first frequency that one hears, and
/// weights from there on.
pub fn triangles(mels: usize, bins: usize, top: f64) -> Vec<(usize, Vec<f64>)> {
    let (step, mel_step) = (top / (bins - 1) as f64, to_mel(top) / (mels + 1) as f64);
    let edge = |i: usize| to_hertz(mel_step * i as f64);
    let triangle = |mel: usize| {
        let [low, middle, high] = [mel, mel + 1, mel + 2].map(edge);
        let weight = |bin: usize| {
            let at = step * bin as f64;
            let height = ((at - low) / (middle - low)).min((high - at) / (high - middle));
            height.max(0.0) * 2.0 / (high - low)
        };
        let (first, last) = ((low / step) as usize, (high / step) as usize);
        (first, (first..=last.min(bins - 1)).map(weight).collect())
    };
    (0..mels).map(triangle).collect()
}

/// Linear up to 1000 Hz (15 mel), logarithmic above.
const LOG_STEP_MELS: f64 = 27.0;

/// A frequency in Hz on the scale.
pub fn to_mel(hertz: f64) -> f64 {
    match hertz < 1000.0 {
        true => hertz * 3.0 / 200.0,
        false => 15.0 + log(hertz / 1000.0) / (log(6.4) / LOG_STEP_MELS),
    }
}

/// The inverse of [`to_mel`].
pub fn to_hertz(mel: f64) -> f64 {
    match mel < 15.0 {
        true => mel * 200.0 / 3.0,
        false => 1000.0 * pow(6.4, (mel - 15.0) / LOG_STEP_MELS),
    }
}
