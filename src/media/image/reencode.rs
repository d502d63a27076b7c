//! A picture as one frame of H.264: the model knows pictures that were compressed.
//!
//! The official tool has libx264 do this, with its rate factor (CRF). Ours is OpenH264, with a constant quantiser and
//! other decisions in every block: the loss is of the same kind and about the same size, the bits are not the same.

use openh264::decoder::Decoder;
use openh264::encoder::{BitRate, Complexity, Encoder, EncoderConfig, QpRange, RateControlMode};
use openh264::formats::{YUVSlices, YUVSource};
use openh264::{Error, OpenH264API};

use super::{Image, MAX_CRF};
use crate::media::quiet::quiet;

/// The largest side of what is encoded at once. OpenH264 takes at most 3840x2160; of a larger picture every tile is a
/// frame of its own.
const MAX_SIDES: [usize; 2] = [3840, 2160];
/// Its smallest side.
const MIN_SIDE: usize = 16;

/// How far the quantiser of libx264's one frame is above its CRF: 2 for a smooth picture, 9 for one full of detail (preset
/// `veryfast`, measured).
const QUANTIZER_OF_CRF: u8 = 5;

/// The picture after a way through an encoder with this CRF and a decoder; without a last odd row and column. With 0, or
/// where a side has one pixel, the picture as it is.
pub(super) fn reencode(image: Image, crf: u8) -> Result<Image, String> {
    if crf == 0 || image.width.min(image.height) < 2 {
        return Ok(image);
    }
    let (width, height) = (image.width & !1, image.height & !1);
    let mut rgb = vec![0; width * height * 3];
    let wide = width >= height;
    let [most_across, most_down] = if wide { MAX_SIDES } else { [MAX_SIDES[1], MAX_SIDES[0]] };
    for (top, down) in tiles(height, most_down) {
        for (left, across) in tiles(width, most_across) {
            let tile = Planes::of(&image, [left, top], [across, down]);
            let tile = tile.compressed(crf).map_err(|error| error.to_string())?;
            for y in 0..down {
                let line = &mut rgb[((top + y) * width + left) * 3..][..across * 3];
                line.chunks_exact_mut(3)
                    .enumerate()
                    .for_each(|(x, pixel)| pixel.copy_from_slice(&tile.rgb(x, y)));
            }
        }
    }
    Ok(Image { width, height, rgb, ..image })
}

/// Starts and lengths, even, of the fewest pieces of a side.
fn tiles(side: usize, most: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let each = side.div_ceil(side.div_ceil(most)).next_multiple_of(2);
    (0..side).step_by(each).map(move |start| (start, each.min(side - start)))
}

/// Planes of 4:2:0, BT.601 in limited range: what tools take for pictures that do not say otherwise.
struct Planes {
    /// Of luma.
    width: usize,
    height: usize,
    luma: Vec<u8>,
    /// Blue and red difference.
    chroma: [Vec<u8>; 2],
}

/// Of a byte of red, green and blue: luma and the differences.
const WEIGHTS: [[f32; 3]; 3] = [
    [65.481 / 255.0, 128.553 / 255.0, 24.966 / 255.0],
    [-37.797 / 255.0, -74.203 / 255.0, 112.0 / 255.0],
    [112.0 / 255.0, -93.786 / 255.0, -18.214 / 255.0],
];

impl Planes {
    /// Of a part of a picture with even sides; where it is too small to be encoded, its edges are repeated.
    fn of(image: &Image, [left, top]: [usize; 2], [across, down]: [usize; 2]) -> Planes {
        let (width, height) = (across.max(MIN_SIDE), down.max(MIN_SIDE));
        let pixel = |x: usize, y: usize| {
            let at = (top + y.min(down - 1)) * image.width + left + x.min(across - 1);
            [0, 1, 2].map(|c| f32::from(image.rgb[at * 3 + c]))
        };
        let weighed = |rgb: [f32; 3], w: [f32; 3], offset: f32| {
            (w[0] * rgb[0] + w[1] * rgb[1] + w[2] * rgb[2] + offset).round() as u8
        };
        let luma =
            (0..width * height).map(|i| weighed(pixel(i % width, i / width), WEIGHTS[0], 16.0)).collect();
        let square = |i: usize| {
            let (x, y) = (i % (width / 2) * 2, i / (width / 2) * 2);
            let four = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| pixel(x + dx, y + dy));
            [0, 1, 2].map(|c| four.iter().map(|p| p[c]).sum::<f32>() / 4.0)
        };
        let chroma = [1, 2].map(|difference| {
            (0..width * height / 4).map(|i| weighed(square(i), WEIGHTS[difference], 128.0)).collect()
        });
        Planes { width, height, luma, chroma }
    }

    /// What an encoder and a decoder leave of them.
    fn compressed(&self, crf: u8) -> Result<Planes, Error> {
        let quantizer = (crf + QUANTIZER_OF_CRF).min(MAX_CRF);
        let config = EncoderConfig::new()
            // Quantisers are what bounds the bits, not this.
            .bitrate(BitRate::from_bps(100_000_000))
            .rate_control_mode(RateControlMode::Quality)
            .qp(QpRange::new(quantizer, quantizer))
            .skip_frames(false)
            .complexity(Complexity::High)
            .num_threads(1);
        let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config)?;
        quiet(&mut encoder);
        let (width, height) = (self.width, self.height);
        let [blue, red] = &self.chroma;
        let source = YUVSlices::new((&self.luma, blue, red), (width, height), (width, width / 2, width / 2));
        let stream = encoder.encode(&source)?.to_vec();
        let mut decoder = Decoder::new()?;
        if let Some(frame) = decoder.decode(&stream)? {
            return Ok(self.like(&frame));
        }
        let late = decoder.flush_remaining()?;
        late.first().map(|frame| self.like(frame)).ok_or_else(|| Error::msg("the decoder gave no frame"))
    }

    /// Planes of the same size.
    fn like(&self, frame: &impl YUVSource) -> Planes {
        let (luma, blue, red) = frame.strides();
        let plane = |samples: &[u8], stride: usize, width: usize, height: usize| -> Vec<u8> {
            samples.chunks(stride).take(height).flat_map(|line| &line[..width]).copied().collect()
        };
        let (width, height) = (self.width, self.height);
        Planes {
            width,
            height,
            luma: plane(frame.y(), luma, width, height),
            chroma: [
                plane(frame.u(), blue, width / 2, height / 2),
                plane(frame.v(), red, width / 2, height / 2),
            ],
        }
    }

    fn rgb(&self, x: usize, y: usize) -> [u8; 3] {
        let luma = 1.164_384 * (f32::from(self.luma[y * self.width + x]) - 16.0);
        let [blue, red] = [0, 1].map(|i| f32::from(self.chroma[i][y / 2 * (self.width / 2) + x / 2]) - 128.0);
        [luma + 1.596_027 * red, luma - 0.391_762 * blue - 0.812_968 * red, luma + 2.017_232 * blue]
            .map(|byte| byte.round().clamp(0.0, 255.0) as u8)
    }
}
