//! RGB as 8-bit 4:2:0 in BT.709, limited range, by the official code's formula in f64 (docs/model/pipelines.md 2.6).

/// Frames of RGB in 0..1, [frames, height, width, 3], as planes of luma, blue and red difference, frame by frame; neither
/// limited nor truncated.
///
/// # Panics
/// If a side is odd.
pub fn yuv420(rgb: &[f32], width: usize, height: usize) -> Vec<f64> {
    assert!(width.is_multiple_of(2) && height.is_multiple_of(2), "{width}x{height} has an odd side");
    let weigh = |pixel: &[f32], factors: [f64; 3]| -> f64 {
        pixel.iter().zip(factors).map(|(x, factor)| f64::from(*x) * factor).sum()
    };
    let mut planes = Vec::new();
    for frame in rgb.chunks_exact(width * height * 3) {
        let pixel = |row: usize, column: usize| &frame[(row * width + column) * 3..][..3];
        planes.extend(frame.chunks_exact(3).map(|p| weigh(p, [0.2126, 0.7152, 0.0722]) * 219.0 + 16.0));
        for factors in [[-0.1146, -0.3854, 0.5], [0.5, -0.4542, -0.0458]] {
            for (row, column) in (0..height / 2).flat_map(|row| (0..width / 2).map(move |c| (row, c))) {
                let four = [0, 1, 2, 3].map(|i| weigh(pixel(2 * row + i / 2, 2 * column + i % 2), factors));
                planes.push(four.iter().sum::<f64>() / 4.0 * 224.0 + 128.0);
            }
        }
    }
    planes
}

/// As [`yuv420`], in 8 bits: limited to 0..=255 and truncated.
///
/// # Panics
/// If a side is odd.
pub fn yuv420_bytes(rgb: &[f32], width: usize, height: usize) -> Vec<u8> {
    yuv420(rgb, width, height).into_iter().map(|x| x as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::yuv420_bytes;

    fn square(pixels: [[f32; 3]; 4]) -> Vec<u8> {
        yuv420_bytes(pixels.as_flattened(), 2, 2)
    }

    #[test]
    fn primaries_by_hand() {
        // Y = 16 + 219 · (1, 0, .2126, .7152, .0722): 235, 16, 62.56, 172.63, 31.81.
        // Cb = 128 + 224 · (-.1146, -.3854, .5): 102.33, 41.67, 240. Cr likewise: 240, 26.26, 117.74.
        assert_eq!(square([[0.0; 3]; 4]), [16, 16, 16, 16, 128, 128]);
        assert_eq!(square([[1.0, 0.0, 0.0]; 4]), [62, 62, 62, 62, 102, 240]);
        assert_eq!(square([[0.0, 1.0, 0.0]; 4]), [172, 172, 172, 172, 41, 26]);
        assert_eq!(square([[0.0, 0.0, 1.0]; 4]), [31, 31, 31, 31, 240, 117]);
        // Truncated: 16 + 219 · .5 = 125.5.
        assert_eq!(square([[0.5; 3]; 4])[..4], [125; 4]);
    }

    #[test]
    fn chroma_is_the_mean_of_four() {
        // One blue pixel among black ones: 128 + 224 · .5 / 4 = 156, 128 - 224 · .0458 / 4 = 125.4.
        for at in 0..4 {
            let mut pixels = [[0.0; 3]; 4];
            pixels[at] = [0.0, 0.0, 1.0];
            let mut wanted = [16, 16, 16, 16, 156, 125];
            wanted[at] = 31;
            assert_eq!(square(pixels), wanted);
        }
    }
}
