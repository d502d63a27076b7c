//! RGB to the planes of 4:2:0 (docs/model/pipelines.md 2.6).

use crate::eval::row_op::{Prepared, Setup, fresh};
use crate::eval::scratch::Scratch;

/// Factors of red, green and blue in BT.709's luma and its differences of blue and red.
const LUMA: [f32; 3] = [0.2126, 0.7152, 0.0722];
const CHROMA: [[f32; 3]; 2] = [[-0.1146, -0.3854, 0.5], [0.5, -0.4542, -0.0458]];

fn weigh(pixel: &[f32], [red, green, blue]: [f32; 3]) -> f32 {
    red * pixel[0] + green * pixel[1] + blue * pixel[2]
}

/// Row (frame, line) of the result is a line of luma, or two lines of a chroma plane.
pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let x = setup.input(0).tensor()?;
    let (height, width) = (x.shape[1], x.shape[2]);
    let lines = height / 2 * 3;
    fresh(move |panel, out| {
        let mut pixels = Scratch::new(2 * width * 3);
        for (row, out) in panel.rows.clone().zip(out.chunks_exact_mut(width)) {
            let (frame, line) = (row / lines, row % lines);
            let first = frame * height;
            if line < height {
                let from = (first + line) * width;
                x.load_rows(from..from + width, &mut pixels[..width * 3]);
                let luma = pixels.chunks_exact(3).map(|pixel| weigh(pixel, LUMA) * 219.0 + 16.0);
                out.iter_mut().zip(luma).for_each(|(out, y)| *out = y);
                continue;
            }
            let half = 2 * (line - height);
            let (plane, place) = (half / (height / 2), half % (height / 2));
            for (i, out) in out.chunks_exact_mut(width / 2).enumerate() {
                let from = (first + 2 * (place + i)) * width;
                x.load_rows(from..from + 2 * width, &mut pixels);
                let (upper, lower) = pixels.split_at(width * 3);
                for ((out, upper), lower) in
                    out.iter_mut().zip(upper.chunks_exact(6)).zip(lower.chunks_exact(6))
                {
                    let four = [&upper[..3], &upper[3..], &lower[..3], &lower[3..]];
                    let sum = four.into_iter().fold(0.0, |sum, pixel| sum + weigh(pixel, CHROMA[plane]));
                    *out = sum * 0.25 * 224.0 + 128.0;
                }
            }
        }
    })
}
