//! A picture as a frame of a given size.

/// Where the pixels of one side of a frame lie between those of a picture: the two neighbours, and how far from the
/// first one.
type Between = Vec<(usize, usize, f32)>;

/// [3, height, width] in −1..1 of a picture's RGB [rows, columns, 3]: it is scaled until it covers the frame, and its middle
/// is cut out. Only what is cut out is computed. Sizes are width and height.
pub(in crate::media) fn fit_rgb(
    rgb: &[u8],
    have: (usize, usize),
    (width, height): (usize, usize),
) -> Vec<f32> {
    let scale = f64::max(height as f64 / have.1 as f64, width as f64 / have.0 as f64);
    let rows = side(have.1, height, scale);
    let columns = side(have.0, width, scale);
    let mut out = Vec::with_capacity(3 * height * width);
    for channel in 0..3 {
        for (above, below, down) in &rows {
            let [above, below] = [above, below].map(|row| &rgb[row * have.0 * 3..][..have.0 * 3]);
            out.extend(columns.iter().map(|(left, right, across)| {
                let mix = |line: &[u8]| {
                    let [left, right] = [left, right].map(|x| f32::from(line[x * 3 + channel]));
                    (1.0 - across) * left + across * right
                };
                ((1.0 - down) * mix(above) + down * mix(below)) / 127.5 - 1.0
            }));
        }
    }
    out
}

/// The middle `wanted` of the places that `have` pixels are scaled to. Scales and places are those of
/// `torch.nn.functional.interpolate` in f32: corners are not aligned, and what lies before the first pixel is that one.
fn side(have: usize, wanted: usize, scale: f64) -> Between {
    let scaled = ((have as f64 * scale).ceil() as usize).max(wanted);
    let first = (scaled - wanted) / 2;
    let step = have as f32 / scaled as f32;
    let place = |i: usize| {
        if scaled == have {
            return (i, i, 0.0);
        }
        let at = (step * (i as f32 + 0.5) - 0.5).max(0.0);
        let before = (at.floor() as usize).min(have - 1);
        (before, (before + 1).min(have - 1), (at - before as f32).clamp(0.0, 1.0))
    };
    (first..first + wanted).map(place).collect()
}
