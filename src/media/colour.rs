//! RGB to 8-bit 4:2:0 in BT.709, limited range.

/// One picture in planar 4:2:0, 8 bit, BT.709, limited range: luma 16..=235, chroma 16..=240.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Yuv420 {
    /// Width in pixels, even.
    pub width: usize,
    /// Height in pixels, even.
    pub height: usize,
    /// Luma, row-major [height, width].
    pub y: Vec<u8>,
    /// Blue difference, row-major [height / 2, width / 2].
    pub cb: Vec<u8>,
    /// Red difference, row-major [height / 2, width / 2].
    pub cr: Vec<u8>,
}

impl Yuv420 {
    /// A picture of `width` x `height` pixels, all bytes 0.
    ///
    /// # Panics
    ///
    /// If a side is odd.
    pub fn new(width: usize, height: usize) -> Self {
        assert!(width.is_multiple_of(2) && height.is_multiple_of(2), "{width}x{height} has an odd side");
        let chroma = width * height / 4;
        Self { width, height, y: vec![0; width * height], cb: vec![0; chroma], cr: vec![0; chroma] }
    }

    /// Replaces the picture by `rgb`, row-major [height, width, 3], in 0..1.
    ///
    /// In f32, per pixel: Y = .2126 R + .7152 G + .0722 B, Cb = -.1146 R - .3854 G + .5 B,
    /// Cr = .5 R - .4542 G - .0458 B. Chroma is the mean of 2x2 pixels. Then Y * 219 + 16 and C * 224 + 128,
    /// clamped to 0..=255 and **truncated**. NaN becomes 0.
    ///
    /// # Panics
    ///
    /// If `rgb` does not hold height x width x 3 values.
    pub fn fill_from_rgb(&mut self, rgb: &[f32]) {
        assert_eq!(
            rgb.len(),
            self.width * self.height * 3,
            "RGB values of a {}x{} frame",
            self.width,
            self.height
        );
        let (w, half) = (self.width, self.width / 2);
        let rows = rgb.chunks_exact(2 * w * 3);
        let lumas = self.y.chunks_exact_mut(2 * w);
        let chromas = self.cb.chunks_exact_mut(half).zip(self.cr.chunks_exact_mut(half));
        for ((rgb, y), (cb, cr)) in rows.zip(lumas).zip(chromas) {
            let (rgb0, rgb1) = rgb.split_at(w * 3);
            let (y0, y1) = y.split_at_mut(w);
            for x in 0..half {
                let (mut blue, mut red) = (0.0f32, 0.0f32);
                for (rgb, y) in [(rgb0, &mut *y0), (rgb1, &mut *y1)] {
                    for column in [2 * x, 2 * x + 1] {
                        let p = &rgb[3 * column..3 * column + 3];
                        let (r, g, b) = (p[0], p[1], p[2]);
                        y[column] = to_byte((0.2126 * r + 0.7152 * g + 0.0722 * b) * 219.0 + 16.0);
                        blue += -0.1146 * r - 0.3854 * g + 0.5 * b;
                        red += 0.5 * r - 0.4542 * g - 0.0458 * b;
                    }
                }
                cb[x] = to_byte(blue * 0.25 * 224.0 + 128.0);
                cr[x] = to_byte(red * 0.25 * 224.0 + 128.0);
            }
        }
    }
}

/// Clamps to 0..=255 and truncates.
fn to_byte(v: f32) -> u8 {
    v.clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 2x2 picture from four RGB pixels: its four lumas, Cb and Cr.
    fn convert(pixels: [[f32; 3]; 4]) -> ([u8; 4], u8, u8) {
        let mut yuv = Yuv420::new(2, 2);
        yuv.fill_from_rgb(pixels.as_flattened());
        (yuv.y.try_into().unwrap(), yuv.cb[0], yuv.cr[0])
    }

    #[test]
    fn primaries_by_hand() {
        // Y = 16 + 219 * (1, 0, .2126, .7152, .0722): 235, 16, 62.56, 172.63, 31.81.
        // Cb = 128 + 224 * (-.1146, -.3854, .5): 102.33, 41.67, 240. Cr likewise: 240, 26.26, 117.74.
        assert_eq!(convert([[0.0; 3]; 4]), ([16; 4], 128, 128));
        assert_eq!(convert([[1.0, 0.0, 0.0]; 4]), ([62; 4], 102, 240));
        assert_eq!(convert([[0.0, 1.0, 0.0]; 4]), ([172; 4], 41, 26));
        assert_eq!(convert([[0.0, 0.0, 1.0]; 4]), ([31; 4], 240, 117));
    }

    #[test]
    fn white_is_235() {
        assert_eq!(convert([[1.0; 3]; 4]).0, [235; 4]);
    }

    #[test]
    fn values_are_truncated_not_rounded() {
        // 16 + 219 * .5 = 125.5.
        assert_eq!(convert([[0.5; 3]; 4]).0, [125; 4]);
    }

    #[test]
    fn chroma_is_the_mean_of_four() {
        // One blue pixel among black ones: 128 + 224 * .5 / 4 = 156, 128 - 224 * .0458 / 4 = 125.4.
        for at in 0..4 {
            let mut pixels = [[0.0; 3]; 4];
            pixels[at] = [0.0, 0.0, 1.0];
            let (y, cb, cr) = convert(pixels);
            let mut wanted = [16; 4];
            wanted[at] = 31;
            assert_eq!((y, cb, cr), (wanted, 156, 125));
        }
    }

    #[test]
    fn out_of_range_values_are_clamped() {
        assert_eq!(convert([[2.0; 3]; 4]).0, [255; 4]);
        assert_eq!(convert([[-1.0; 3]; 4]).0, [0; 4]);
        assert_eq!(convert([[f32::NAN; 3]; 4]), ([0; 4], 0, 0));
    }

    #[test]
    fn every_pixel_lands_in_its_place() {
        let (w, h) = (6, 4);
        let rgb: Vec<f32> = (0..w * h).flat_map(|i| [i as f32 / 24.0; 3]).collect();
        let mut yuv = Yuv420::new(w, h);
        yuv.fill_from_rgb(&rgb);
        let wanted: Vec<u8> = (0..w * h).map(|i| (i as f64 / 24.0 * 219.0 + 16.0) as u8).collect();
        let off = yuv.y.iter().zip(&wanted).filter(|(a, b)| a.abs_diff(**b) > 1).count();
        assert_eq!(off, 0, "{:?}", yuv.y);
    }
}
