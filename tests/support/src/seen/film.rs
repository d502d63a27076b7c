//! Pictures of a clip, as numbers that can be compared with colours.

use std::path::Path;

use crate::Error;
use crate::mp4::Read;

/// RGB in 0..255, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Pixels of a row.
    pub width: usize,
    /// All pixels.
    pub pixels: Vec<[f32; 3]>,
}

/// The pictures of a clip, all of one size.
#[derive(Clone, Debug)]
pub struct Film {
    /// In their order.
    pub pictures: Vec<Picture>,
}

impl Picture {
    /// The picture of `rgb` [height, width, 3], which is in 0..1.
    pub fn of_rgb(rgb: &[f32], width: usize) -> Picture {
        let pixels = rgb.as_chunks::<3>().0.iter().map(|pixel| pixel.map(|x| 255.0 * x)).collect();
        Picture { width, pixels }
    }

    /// An 8-bit RGB file.
    ///
    /// # Errors
    /// It cannot be read, or holds other pixels.
    pub fn of_png(path: &Path) -> Result<Picture, Error> {
        let file = std::io::Cursor::new(crate::read(path)?);
        let mut reader = png::Decoder::new(file).read_info().map_err(|e| Error::format(path, e))?;
        let mut bytes = vec![0; reader.output_buffer_size().unwrap_or_default()];
        let info = reader.next_frame(&mut bytes).map_err(|e| Error::format(path, e))?;
        if (info.color_type, info.bit_depth) != (png::ColorType::Rgb, png::BitDepth::Eight) {
            return Err(Error::format(path, "no picture of 8-bit RGB"));
        }
        let pixels = bytes.as_chunks::<3>().0.iter().map(|pixel| pixel.map(f32::from)).collect();
        Ok(Picture { width: info.width as usize, pixels })
    }

    /// A frame of 8-bit 4:2:0, BT.709, limited range; four pixels share a chroma sample.
    pub fn of_planes(planes: &[u8], width: usize, height: usize) -> Picture {
        let (luma, chroma) = planes.split_at(width * height);
        let (blue, red) = chroma.split_at(chroma.len() / 2);
        let pixel = |(at, luma): (usize, &u8)| {
            let shared = at / width / 2 * (width / 2) + at % width / 2;
            let y = (f32::from(*luma) - 16.0) / 219.0;
            let [blue, red] = [blue, red].map(|plane| (f32::from(plane[shared]) - 128.0) / 224.0);
            let rgb = [y + 1.5748 * red, y - 0.1873 * blue - 0.4681 * red, y + 1.8556 * blue];
            rgb.map(|x| (255.0 * x).clamp(0.0, 255.0))
        };
        Picture { width, pixels: luma.iter().enumerate().map(pixel).collect() }
    }

    /// Pixels of a column.
    pub fn height(&self) -> usize {
        self.pixels.len() / self.width
    }

    /// As wide as `width`, which divides its width: each pixel is the mean of a square.
    pub fn reduced(&self, width: usize) -> Picture {
        let side = self.width / width;
        let mean = |at: usize| {
            let corner = at / width * side * self.width + at % width * side;
            let square = (0..side * side).map(|i| self.pixels[corner + i / side * self.width + i % side]);
            let sum = square.fold([0.0; 3], |sum, pixel| [0, 1, 2].map(|c| sum[c] + pixel[c]));
            sum.map(|x| x / (side * side) as f32)
        };
        Picture { width, pixels: (0..self.pixels.len() / (side * side)).map(mean).collect() }
    }

    /// Without its colours: BT.709's luma.
    pub fn grey(&self) -> Picture {
        let grey = |p: &[f32; 3]| [0.2126 * p[0] + 0.7152 * p[1] + 0.0722 * p[2]; 3];
        Picture { width: self.width, pixels: self.pixels.iter().map(grey).collect() }
    }

    /// What is added to another picture of its size to make this one.
    pub fn minus(&self, other: &Picture) -> Picture {
        let both = self.pixels.iter().zip(&other.pixels);
        Picture { width: self.width, pixels: both.map(|(a, b)| [0, 1, 2].map(|c| a[c] - b[c])).collect() }
    }

    /// Each pixel as the mean of the five by five around it, of fewer at the edges.
    pub fn smoothed(&self) -> Picture {
        self.smoothed_across().turned().smoothed_across().turned()
    }

    fn smoothed_across(&self) -> Picture {
        let rows = self.pixels.chunks(self.width);
        let near = |at: usize| at.saturating_sub(2)..(at + 3).min(self.width);
        let pixels = rows.flat_map(|row| (0..self.width).map(move |at| mean(&row[near(at)]))).collect();
        Picture { width: self.width, pixels }
    }

    /// Rows as columns.
    fn turned(&self) -> Picture {
        let column = |x: usize| self.pixels.iter().skip(x).step_by(self.width).copied();
        Picture { width: self.height(), pixels: (0..self.width).flat_map(column).collect() }
    }

    /// Peak signal to noise of this picture against another one of its size, in decibels.
    pub fn psnr(&self, other: &Picture) -> f64 {
        let (mine, others) = (self.pixels.as_flattened(), other.pixels.as_flattened());
        let squares = mine.iter().zip(others).map(|(a, b)| f64::from(a - b).powi(2));
        10.0 * (255.0 * 255.0 * mine.len() as f64 / squares.sum::<f64>().max(1e-9)).log10()
    }
}

fn mean(pixels: &[[f32; 3]]) -> [f32; 3] {
    let sum = pixels.iter().fold([0.0; 3], |sum, pixel| [0, 1, 2].map(|c| sum[c] + pixel[c]));
    sum.map(|x| x / pixels.len() as f32)
}

impl Film {
    /// The frames of an MP4 file in half its size, where each pixel has a chroma sample of its own.
    ///
    /// # Panics
    /// If it cannot be read or decoded.
    pub fn of_mp4(file: &Read) -> Film {
        let (width, height) = (usize::from(file.video().width), usize::from(file.video().height));
        let picture = |planes: &Vec<u8>| Picture::of_planes(planes, width, height).reduced(width / 2);
        Film { pictures: file.frames().iter().map(picture).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::Picture;
    use crate::yuv420::yuv420_bytes;

    #[test]
    fn planes_become_the_colours_they_were_made_of() {
        let colours = [[0.9, 0.1, 0.1], [0.1, 0.5, 0.9], [0.95, 0.9, 0.2], [0.5, 0.5, 0.5]];
        // Each colour fills a square of two pixels; two squares a row.
        let rgb: Vec<f32> = (0..16).flat_map(|i| colours[i / 8 * 2 + i % 4 / 2]).collect();
        let picture = Picture::of_planes(&yuv420_bytes(&rgb, 4, 4), 4, 4);
        let near = picture.psnr(&Picture::of_rgb(&rgb, 4));
        assert!(near > 40.0, "{near} dB");
        let reduced = picture.reduced(2);
        assert_eq!((reduced.width, reduced.height()), (2, 2));
        assert!(reduced.pixels[0][0] > 220.0 && reduced.pixels[1][2] > 220.0, "{reduced:?}");
    }
}
