//! Frame rates as fractions, and how many bits a clip gets.

use zoetrope_model_spec::limits::FRAME_RATES;

use super::MediaError;

/// Frames per second as an exact fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRate {
    /// Ticks per second of the video track.
    pub ticks_per_second: u32,
    /// Ticks that one frame lasts.
    pub ticks_per_frame: u32,
}

impl FrameRate {
    /// The fraction for `fps` frames per second, 1 to 60.
    ///
    /// Rates within 0.006 of 24000/1001, 30000/1001, 48000/1001 or 60000/1001 become those fractions, so 23.98,
    /// 23.976, 29.97 and 59.94 mean what they mean in broadcasting; others are rounded to thousandths.
    ///
    /// # Errors
    ///
    /// [`MediaError::FrameRate`] outside 1..=60, where the encoder's rate control stops, and for NaN.
    pub fn new(fps: f64) -> Result<Self, MediaError> {
        if !FRAME_RATES.contains(&fps) {
            return Err(MediaError::FrameRate(fps));
        }
        for whole in [24u32, 30, 48, 60] {
            let ticks_per_second = whole * 1000;
            if (fps - f64::from(ticks_per_second) / 1001.0).abs() < 0.006 {
                return Ok(Self { ticks_per_second, ticks_per_frame: 1001 });
            }
        }
        Ok(Self { ticks_per_second: (fps * 1000.0).round() as u32, ticks_per_frame: 1000 })
    }

    /// Frames per second.
    pub fn fps(self) -> f64 {
        f64::from(self.ticks_per_second) / f64::from(self.ticks_per_frame)
    }

    /// The time of `frames` frames counted in units of 1/`clock` second, rounded to the nearest.
    pub fn time(self, frames: u64, clock: u32) -> u64 {
        let ticks = u128::from(frames) * u128::from(self.ticks_per_frame) * u128::from(clock);
        let per_second = u128::from(self.ticks_per_second);
        ((ticks + per_second / 2) / per_second) as u64
    }
}

/// The video bit rate in bits per second for frames of `width` x `height` pixels.
///
/// 14 Mbit/s at 1920x1080 and 24 frames per second. It grows with the power 3/4 of pixels per second: small frames
/// have more detail per pixel, so they get more bits per pixel. Never below 300 kbit/s.
pub fn video_bit_rate(width: usize, height: usize, rate: FrameRate) -> u32 {
    const REFERENCE: f64 = 1920.0 * 1080.0 * 24.0;
    let load = width as f64 * height as f64 * rate.fps() / REFERENCE;
    // Square roots are rounded the same way on every machine, powf is not.
    let scale = load.sqrt() * load.sqrt().sqrt();
    ((14e6 * scale) as u32).max(300_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fraction(fps: f64) -> (u32, u32) {
        let rate = FrameRate::new(fps).unwrap();
        (rate.ticks_per_second, rate.ticks_per_frame)
    }

    #[test]
    fn broadcast_rates_are_exact() {
        for fps in [23.976, 23.98, 24000.0 / 1001.0] {
            assert_eq!(fraction(fps), (24_000, 1001));
        }
        assert_eq!(fraction(29.97), (30_000, 1001));
        assert_eq!(fraction(47.952), (48_000, 1001));
        assert_eq!(fraction(59.94), (60_000, 1001));
        assert_eq!(fraction(24.0), (24_000, 1000));
        assert_eq!(fraction(25.0), (25_000, 1000));
        assert_eq!(fraction(12.5), (12_500, 1000));
    }

    #[test]
    fn other_rates_are_refused() {
        for fps in [0.0, 0.9, -24.0, 60.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(FrameRate::new(fps), Err(MediaError::FrameRate(_))), "{fps}");
        }
    }

    #[test]
    fn times_round_to_the_nearest() {
        let rate = FrameRate::new(29.97).unwrap();
        assert_eq!(rate.time(30, 48_000), 48_048);
        assert_eq!(rate.time(1, 48_000), 1602); // 1601.6
        assert_eq!(FrameRate::new(24.0).unwrap().time(241, 48_000), 482_000);
    }

    #[test]
    fn bits_follow_the_load() {
        let rate = FrameRate::new(24.0).unwrap();
        assert_eq!(video_bit_rate(1920, 1080, rate), 14_000_000);
        assert!((12_000_000..16_000_000).contains(&video_bit_rate(1920, 1088, rate)));
        let half = video_bit_rate(960, 544, rate);
        assert!((4_000_000..6_000_000).contains(&half), "{half}");
        assert_eq!(video_bit_rate(32, 32, rate), 300_000);
    }
}
