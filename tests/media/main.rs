//! Written files, read back by a parser and by decoders that share no code with the writer.

mod bitstream;
mod failures;
mod images;
mod limits;
mod sources;

use std::path::{Path, PathBuf};

use bitstream::bitstream_colour;
use zoetrope::media::{MediaError, Mp4, Mp4Writer};
use zoetrope_test_support::mp4::Read;
use zoetrope_test_support::yuv420::yuv420_bytes;

/// A folder for one test, and a path in it.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    (folder, path)
}

/// Smooth colours that move, [frames, height, width, 3].
fn smooth(width: usize, height: usize, frames: usize) -> Vec<f32> {
    let mut rgb = Vec::new();
    for t in 0..frames {
        let t = t as f32 * 0.1;
        for y in 0..height {
            for x in 0..width {
                let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
                rgb.push(0.5 + 0.4 * (5.0 * u + t).sin() * (3.0 * v).cos());
                rgb.push(0.5 + 0.4 * (4.0 * v - t).sin());
                rgb.push(0.5 + 0.4 * (3.0 * (u - v) + t).cos());
            }
        }
    }
    rgb
}

/// 440 Hz left, 1000 Hz right, [2, samples].
fn tones(samples: usize) -> Vec<f32> {
    let tone = |hertz: f32| {
        (0..samples).map(move |i| 0.4 * (i as f32 * hertz * std::f32::consts::TAU / 48_000.0).sin())
    };
    tone(440.0).chain(tone(1000.0)).collect()
}

/// Writes a file, of as many bytes as it says.
fn save(clip: &Mp4, path: &Path) {
    let mut bytes = Vec::new();
    clip.write(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, clip.bytes());
    std::fs::write(path, bytes).unwrap();
}

/// A clip in memory; audio is [2, samples], or nothing.
struct Clip<'a> {
    width: usize,
    height: usize,
    fps: f64,
    rgb: &'a [f32],
    waveform: &'a [f32],
}

impl Clip<'_> {
    fn try_write(&self, path: &Path, metadata: &[(String, String)]) -> Result<(), MediaError> {
        let mut writer = Mp4Writer::new(self.width, self.height, self.fps, metadata)?;
        let (left, right) = self.waveform.split_at(self.waveform.len() / 2);
        writer.push_audio(left, right)?;
        for frame in yuv420_bytes(self.rgb, self.width, self.height).chunks(self.width * self.height / 2 * 3)
        {
            writer.push_frame(frame)?;
        }
        save(&writer.finish()?, path);
        Ok(())
    }

    fn write(&self, path: &Path) {
        self.try_write(path, &[("comment".into(), "a red fox \u{1f98a}".into())]).unwrap();
    }
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
    let mse = a.iter().zip(b).map(square).sum::<f64>() / a.len() as f64;
    10.0 * (255.0 * 255.0 / mse.max(1e-9)).log10()
}

#[test]
fn frames_come_back() {
    let (_folder, path) = folder();
    let (width, height, frames) = (192, 128, 30);
    let rgb = smooth(width, height, frames);
    Clip { width, height, fps: 23.976, rgb: &rgb, waveform: &[] }.write(&path);

    let read = Read::file(&path);
    assert_eq!(read.mp4.tracks().len(), 1, "no audio, no audio track");
    let decoded = read.frames();
    assert_eq!(decoded.len(), frames);
    let wanted = yuv420_bytes(&rgb, width, height);
    for (frame, wanted) in decoded.iter().zip(wanted.chunks_exact(width * height / 2 * 3)) {
        assert_eq!(frame.len(), wanted.len());
        // Luma, then each of the differences.
        let ends = [0, width * height, width * height / 4 * 5, wanted.len()];
        for plane in ends.windows(2).map(|ends| ends[0]..ends[1]) {
            let psnr = psnr(&frame[plane.clone()], &wanted[plane]);
            assert!(psnr > 40.0, "{psnr} dB");
        }
    }
}

#[test]
fn flat_colours_come_back() {
    let (_folder, path) = folder();
    // RGB and, by hand, Y, Cb, Cr.
    let colours = [
        ([1.0, 0.0, 0.0], [62, 102, 240]),
        ([0.0, 1.0, 0.0], [172, 41, 26]),
        ([0.0, 0.0, 1.0], [31, 240, 117]),
        ([1.0, 1.0, 1.0], [235, 128, 128]),
        ([0.0, 0.0, 0.0], [16, 128, 128]),
    ];
    for (rgb, yuv) in colours {
        let rgb = rgb.repeat(64 * 32);
        Clip { width: 64, height: 32, fps: 24.0, rgb: &rgb, waveform: &[] }.write(&path);
        let frames = Read::file(&path).frames();
        assert_eq!(frames.len(), 1);
        let (luma, differences) = frames[0].split_at(64 * 32);
        let (blue, red) = differences.split_at(differences.len() / 2);
        for (plane, wanted) in [luma, blue, red].into_iter().zip(yuv) {
            assert!(plane.iter().all(|got| got.abs_diff(wanted) <= 1), "{} for {wanted}", plane[0]);
        }
    }
}

#[test]
fn video_track_says_what_it_is() {
    let (_folder, path) = folder();
    let rgb = smooth(96, 64, 50);
    Clip { width: 96, height: 64, fps: 29.97, rgb: &rgb, waveform: &[] }.write(&path);
    let read = Read::file(&path);
    let track = read.video();
    assert_eq!((track.width, track.height), (96, 64));
    assert_eq!((track.timescale, track.duration), (30_000, 50 * 1001));
    assert_eq!(track.samples.len(), 50);
    for (i, sample) in track.samples.iter().enumerate() {
        assert_eq!((sample.decode_timestamp, sample.duration), (i as i64 * 1001, 1001));
        assert_eq!(sample.composition_timestamp, sample.decode_timestamp);
    }
    assert!(track.samples[0].is_sync && !track.samples[1].is_sync);
    assert_eq!(read.mp4.moov.mvhd.timescale, 48_000);
    assert_eq!(read.mp4.moov.mvhd.duration, 80_080);
    // BT.709 three times, limited range: in the container and in the bit stream.
    assert!(read.contains(b"colrnclx\x00\x01\x00\x01\x00\x01\x00"));
    assert_eq!(bitstream_colour(&read.parameter_sets().0), (false, [1, 1, 1]));
    assert!(read.contains(b"comment") && read.contains("a red fox \u{1f98a}".as_bytes()));
    let place = |kind: &[u8]| read.bytes.windows(4).position(|w| w == kind).unwrap();
    assert!(place(b"moov") < place(b"mdat"), "tables come first");
}

#[cfg(feature = "aac-fdk")]
#[test]
fn audio_comes_back() {
    let (_folder, path) = folder();
    let (rgb, samples) = (smooth(64, 64, 48), 96_000);
    Clip { width: 64, height: 64, fps: 24.0, rgb: &rgb, waveform: &tones(samples) }.write(&path);
    let read = Read::file(&path);
    let track = read.audio();
    assert_eq!(track.timescale, 48_000);
    let elst = track.trak(&read.mp4).edts.as_ref().unwrap().elst.as_ref().unwrap();
    let (priming, real) = (elst.entries[0].media_time as usize, elst.entries[0].segment_duration as usize);
    assert_eq!((elst.entries.len(), real), (1, samples));
    assert!(track.duration as usize >= priming + samples);
    assert_eq!(read.audio_config(), (2, 3, 2), "AAC-LC, 48 kHz, stereo");

    let audio = read.decoded_audio();
    assert_eq!(audio.len(), track.samples.len() * 2048, "a whole frame for every packet");
    for (channel, hertz) in [(0, 440.0), (1, 1000.0)] {
        let wave: Vec<i16> = audio.iter().skip(channel).step_by(2).copied().collect();
        let middle = &wave[24_000..72_000];
        let crossings = middle.windows(2).filter(|w| (w[0] < 0) != (w[1] < 0)).count() as f64;
        assert!((crossings / 2.0 - hertz).abs() < 2.0, "{crossings} zero crossings for {hertz} Hz");
        let peak = middle.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!((12_000..14_500).contains(&peak), "{peak}");
    }
}

#[cfg(feature = "aac-fdk")]
#[test]
fn audio_may_be_shorter_or_longer_than_the_video() {
    let (_folder, path) = folder();
    let rgb = smooth(32, 32, 24);
    for samples in [1, 10_000, 48_000, 100_000] {
        Clip { width: 32, height: 32, fps: 24.0, rgb: &rgb, waveform: &tones(samples) }.write(&path);
        let read = Read::file(&path);
        assert_eq!(read.mp4.moov.mvhd.duration, samples.max(48_000) as u64);
        assert_eq!(read.frames().len(), 24);
        assert!(!read.decoded_audio().is_empty());
    }
}

#[test]
fn what_is_stored_last_is_in_the_file() {
    let (_folder, path) = folder();
    let mut writer = Mp4Writer::new(64, 32, 25.0, &[("comment".into(), "said first".into())]).unwrap();
    writer.set_metadata("comment", "said last");
    writer.set_metadata("original_prompt", "a fox");
    yuv420_bytes(&smooth(64, 32, 2), 64, 32)
        .chunks(64 * 32 / 2 * 3)
        .for_each(|frame| writer.push_frame(frame).unwrap());
    save(&writer.finish().unwrap(), &path);
    let file = std::fs::read(&path).unwrap();
    let holds = |text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("said last") && holds("original_prompt") && holds("a fox") && !holds("said first"));
}

#[cfg(feature = "aac-fdk")]
#[test]
fn the_same_clip_gives_the_same_bytes_in_any_order() {
    let (_folder, path) = folder();
    let (rgb, waveform) = (smooth(64, 32, 20), tones(40_000));
    let clip = Clip { width: 64, height: 32, fps: 25.0, rgb: &rgb, waveform: &waveform };
    clip.try_write(&path, &[]).unwrap();
    let whole = std::fs::read(&path).unwrap();

    let mut writer = Mp4Writer::new(64, 32, 25.0, &[]).unwrap();
    let (left, right) = waveform.split_at(40_000);
    let mut audio = left.chunks(1234).zip(right.chunks(1234));
    for frame in yuv420_bytes(&rgb, 64, 32).chunks(64 * 32 / 2 * 3) {
        writer.push_frame(frame).unwrap();
        if let Some((left, right)) = audio.next() {
            writer.push_audio(left, right).unwrap();
        }
    }
    for (left, right) in audio {
        writer.push_audio(left, right).unwrap();
    }
    save(&writer.finish().unwrap(), &path);
    assert!(std::fs::read(&path).unwrap() == whole);
}

#[cfg(not(feature = "aac-fdk"))]
#[test]
fn audio_is_refused_without_an_encoder() {
    let (_folder, path) = folder();
    let (rgb, waveform) = (smooth(32, 32, 1), tones(2000));
    let clip = Clip { width: 32, height: 32, fps: 24.0, rgb: &rgb, waveform: &waveform };
    let error = clip.try_write(&path, &[]).unwrap_err();
    assert!(error.to_string().contains("aac-fdk"), "{error}");
    // Known before there is audio.
    let mut writer = Mp4Writer::new(32, 32, 24.0, &[]).unwrap();
    assert!(matches!(writer.expect_audio(), Err(MediaError::NoAudioEncoder)));
}
