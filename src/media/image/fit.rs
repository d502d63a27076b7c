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
    let (columns, rows) = (side(have.0, width, scale), side(have.1, height, scale));
    planes(rgb, have.0, [&columns, &rows], signed)
}

/// [3, height, width] in −1..1 of all of a picture: scaled until it lies in the frame, and then stretched to fill it.
pub(super) fn stretch_rgb(rgb: &[u8], have: (usize, usize), (width, height): (usize, usize)) -> Vec<f32> {
    let scale = width.max(height) as f64 / have.0.max(have.1) as f64;
    let scaled = |side: usize| ((side as f64 * scale) as usize).max(1);
    let inner = (scaled(have.0), scaled(have.1));
    let cover = f64::max(inner.1 as f64 / have.1 as f64, inner.0 as f64 / have.0 as f64);
    let rgb = resized(rgb, have, [&side(have.0, inner.0, cover), &side(have.1, inner.1, cover)]);
    let rgb = resized(&rgb, inner, [&places(inner.0, width), &places(inner.1, height)]);
    planes(&rgb, width, [&places(width, width), &places(height, height)], signed)
}

/// A picture at these columns and rows. As PyTorch does with numbers of 8 bits, they are rounded after either direction.
fn resized(rgb: &[u8], have: (usize, usize), [columns, rows]: [&Between; 2]) -> Vec<u8> {
    let rounded = |rgb: &[u8], width: usize, columns: &Between, rows: &Between| -> Vec<u8> {
        let planes = planes(rgb, width, [columns, rows], |x| x.round() as u8);
        let pixels = columns.len() * rows.len();
        (0..pixels).flat_map(|i| [planes[i], planes[pixels + i], planes[2 * pixels + i]]).collect()
    };
    let across = rounded(rgb, have.0, columns, &places(have.1, have.1));
    rounded(&across, columns.len(), &places(columns.len(), columns.len()), rows)
}

/// A number of 0 to 255 in −1..1.
fn signed(x: f32) -> f32 {
    x / 127.5 - 1.0
}

/// Red, then green, then blue at some columns and rows of a picture that is `width` pixels wide, each finished by `finish`.
fn planes<T>(rgb: &[u8], width: usize, [columns, rows]: [&Between; 2], finish: impl Fn(f32) -> T) -> Vec<T> {
    let mut out = Vec::with_capacity(3 * rows.len() * columns.len());
    for channel in 0..3 {
        for (above, below, down) in rows {
            let [above, below] = [above, below].map(|row| &rgb[row * width * 3..][..width * 3]);
            out.extend(columns.iter().map(|(left, right, across)| {
                let mix = |line: &[u8]| {
                    let [left, right] = [left, right].map(|x| f32::from(line[x * 3 + channel]));
                    (1.0 - across) * left + across * right
                };
                finish((1.0 - down) * mix(above) + down * mix(below))
            }));
        }
    }
    out
}

/// The middle `wanted` of the places that `have` pixels are scaled to.
fn side(have: usize, wanted: usize, scale: f64) -> Between {
    let scaled = ((have as f64 * scale).ceil() as usize).max(wanted);
    let first = (scaled - wanted) / 2;
    places(have, scaled)[first..first + wanted].to_vec()
}

/// The places that `have` pixels are scaled to. Scales and places are those of `torch.nn.functional.interpolate` in f32: corners
/// are not aligned, and what lies before the first pixel is that one.
fn places(have: usize, scaled: usize) -> Between {
    let step = have as f32 / scaled as f32;
    let place = |i: usize| {
        if scaled == have {
            return (i, i, 0.0);
        }
        let at = (step * (i as f32 + 0.5) - 0.5).max(0.0);
        let before = (at.floor() as usize).min(have - 1);
        (before, (before + 1).min(have - 1), (at - before as f32).clamp(0.0, 1.0))
    };
    (0..scaled).map(place).collect()
}
