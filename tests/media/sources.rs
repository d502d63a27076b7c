//! Sound and video of users: files of every kind that is read, and broken ones. Those in tests/fixtures/media are made by
//! ffmpeg (its README says how).

use std::f64::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};

use zoetrope::media::{Footage, Mp4Writer, Sound};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/media").join(name)
}

/// What a frame of one grey has in every pixel, in -1..1: frame n has luma 30 + 15n.
fn grey(frame: usize) -> f32 {
    (14.0 + 15.0 * frame as f32) / 219.0 * 2.0 - 1.0
}

/// The mean of every frame of [3, frames, pixels].
fn means(video: &[f32], frames: usize) -> Vec<f32> {
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    video[..video.len() / 3].chunks_exact(video.len() / 3 / frames).map(mean).collect()
}

#[test]
fn frames_come_in_the_order_in_which_they_are_shown() {
    let footage = Footage::open(&fixture("b-frames.mp4"), 100).unwrap();
    assert_eq!((footage.size(), footage.frames(), footage.total()), ((64, 48), 13, Some(13)));
    assert!((footage.fps() - 25.0).abs() < 1e-6 && footage.notes().is_empty());
    for (frame, mean) in means(&footage.fit(0, 13, 64, 48), 13).into_iter().enumerate() {
        assert!((mean - grey(frame)).abs() < 0.02, "frame {frame}: {mean}, wanted {}", grey(frame));
    }
    // In another size, behind repetitions of the first frame, before those of the last one.
    let longer = means(&footage.fit(2, 17, 32, 32), 17);
    for (place, mean) in longer.into_iter().enumerate() {
        let wanted = grey(place.saturating_sub(2).min(12));
        assert!((mean - wanted).abs() < 0.02, "place {place}: {mean}, wanted {wanted}");
    }
    let some = Footage::open(&fixture("b-frames.mp4"), 5).unwrap();
    assert_eq!((some.frames(), some.total()), (5, Some(13)));
    assert_eq!(some.fit(0, 5, 64, 48), footage.fit(0, 5, 64, 48));
}

/// Where a channel begins to be heard, in seconds.
fn onset(sound: &Sound) -> f64 {
    let first = sound.channels()[0].iter().position(|x| x.abs() > 0.1).unwrap();
    first as f64 / f64::from(sound.rate())
}

/// What encoders of audio put in front is no part of the sound.
#[test]
fn sound_begins_with_its_video() {
    let sound = Sound::open(&fixture("b-frames.mp4")).unwrap();
    assert_eq!(sound.rate(), 44_100);
    assert!((sound.seconds() - 0.52).abs() < 0.002, "{}", sound.seconds());
    assert!((onset(&sound) - 0.2).abs() < 0.003, "{}", onset(&sound));
    let [left, right] = sound.channels();
    assert_eq!(left, right);
}

fn apart(channel: &[f32], wanted: impl Fn(usize) -> f64) -> f64 {
    let errors = channel.iter().enumerate().map(|(i, x)| (f64::from(*x) - wanted(i)).powi(2));
    (errors.sum::<f64>() / channel.len() as f64).sqrt()
}

#[test]
fn all_kinds_of_sound_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let tone = |hertz: f64, level: f64, rate: u32| {
        move |i: usize| level * (TAU * hertz * i as f64 / f64::from(rate)).sin()
    };
    let wav = |name: &str, bits: u16, format: hound::SampleFormat| {
        let path = folder.path().join(name);
        let spec =
            hound::WavSpec { channels: 1, sample_rate: 22_050, bits_per_sample: bits, sample_format: format };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        for i in 0..5512 {
            let sample = tone(440.0, 0.5, 22_050)(i);
            match format {
                hound::SampleFormat::Float => writer.write_sample(sample as f32).unwrap(),
                hound::SampleFormat::Int => {
                    writer.write_sample((sample * f64::from((1u32 << (bits - 1)) - 1)) as i32).unwrap();
                }
            }
        }
        writer.finalize().unwrap();
        path
    };
    use hound::SampleFormat::{Float, Int};
    let mono =
        [wav("8.wav", 8, Int), wav("16.wav", 16, Int), wav("24.wav", 24, Int), wav("32.wav", 32, Float)];
    for (path, tolerance) in mono.iter().zip([1e-2, 1e-4, 1e-6, 1e-7]) {
        let sound = Sound::open(path).unwrap();
        let [left, right] = sound.channels();
        assert_eq!((sound.rate(), left.len()), (22_050, 5512), "{path:?}");
        assert!(left == right && apart(left, tone(440.0, 0.5, 22_050)) < tolerance, "{path:?}");
    }
    for (name, rate, tolerance) in [("sound.flac", 22_050, 1e-4), ("sound.mp3", 44_100, 2e-2)] {
        let sound = Sound::open(&fixture(name)).unwrap();
        assert!(
            sound.rate() == rate && (sound.seconds() - 0.25).abs() < 0.002,
            "{name}: {}",
            sound.seconds()
        );
        let [left, right] = sound.channels();
        let errors = [apart(left, tone(440.0, 0.5, rate)), apart(right, tone(880.0, 0.25, rate))];
        assert!(errors.iter().all(|error| *error < tolerance), "{name}: {errors:?}");
    }
}

/// What is written is what is read: frame by frame, and the sound where it was.
#[cfg(feature = "aac-fdk")]
#[test]
fn a_written_clip_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    for rate in [48_000u32, 44_100, 16_000] {
        let path = folder.path().join(format!("{rate}.mp4"));
        let mut writer = Mp4Writer::new(64, 32, 24.0, &[]).unwrap();
        for frame in 0..10u8 {
            let planes = [vec![40 + 15 * frame; 64 * 32], vec![90; 32 * 16], vec![150; 32 * 16]].concat();
            writer.push_frame(&planes).unwrap();
        }
        let samples = rate as usize / 2;
        let wave: Vec<f32> = (0..samples)
            .map(|i| if i < samples / 2 { 0.0 } else { 0.5 * (i as f32 * 500.0 / rate as f32).sin() })
            .collect();
        writer.set_audio_rate(rate).unwrap();
        writer.push_audio(&wave, &wave).unwrap();
        let mut file = Vec::new();
        writer.finish().unwrap().write(&mut file).unwrap();
        fs::write(&path, &file).unwrap();

        let footage = Footage::open(&path, 100).unwrap();
        assert_eq!((footage.size(), footage.total()), ((64, 32), Some(10)));
        assert!((footage.fps() - 24.0).abs() < 1e-6);
        // R = Y + 1.5748·Cr of limited range.
        let red: Vec<f32> = means(&footage.fit(0, 10, 64, 32), 10);
        for (frame, red) in red.into_iter().enumerate() {
            let wanted =
                ((24.0 + 15.0 * frame as f32) * 255.0 / 219.0 + 1.5748 * 22.0 * 255.0 / 224.0) / 127.5 - 1.0;
            assert!((red - wanted).abs() < 0.03, "{rate}, frame {frame}: {red}, wanted {wanted}");
        }
        let sound = Sound::open(&path).unwrap();
        assert_eq!((sound.rate(), sound.channels()[0].len()), (rate, samples));
        assert!((onset(&sound) - 0.25).abs() < 0.004, "{rate}: {}", onset(&sound));
    }
}

#[test]
fn broken_files_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let clip = fs::read(fixture("b-frames.mp4")).unwrap();
    let says = |error: String, words: &[&str]| {
        assert!(words.iter().all(|word| error.contains(word)), "{words:?} are not in: {error}");
    };
    let mdat = clip.windows(4).position(|w| w == b"mdat").unwrap();
    let cases: [(PathBuf, &str); 4] = [
        (folder.path().join("nothing.mp4"), "cannot read"),
        (file("empty.mp4", b""), "empty file"),
        (folder.path().to_path_buf(), "cannot read"),
        (file("short.mp4", &clip[..mdat + 300]), ""),
    ];
    for (path, words) in cases {
        says(Footage::open(&path, 9).unwrap_err().to_string(), &[words, path.to_str().unwrap()]);
        says(Sound::open(&path).unwrap_err().to_string(), &[words, path.to_str().unwrap()]);
    }
    let silent = Sound::open(&fixture("hevc.mp4")).unwrap_err();
    assert!(silent.is_missing() && silent.to_string().contains("has no sound"), "{silent}");
    let flac = fs::read(fixture("sound.flac")).unwrap();
    let mut changed = flac.clone();
    changed[9000] ^= 0xff;
    says(Sound::open(&file("changed.flac", &changed)).unwrap_err().to_string(), &["damaged"]);
}
