//! Sizes and rates at the edge of what is written: every target that compiles has a clip.

use zoetrope::media::Mp4Writer;
use zoetrope_model_spec::limits::{FRAME_RATES, written_size};
use zoetrope_model_spec::target::{PRESETS, Target};
use zoetrope_test_support::mp4::Read;

use super::{folder, save};

/// A grey frame whose rows are as light as they are far down.
fn ramp(width: usize, height: usize) -> Vec<u8> {
    let luma = (0..height).flat_map(|y| std::iter::repeat_n((16 + y * 200 / height) as u8, width));
    luma.chain(std::iter::repeat_n(128, width * height / 2)).collect()
}

/// The frames of a file of two frames, and their size as its tables say it.
fn written(width: usize, height: usize, fps: f64) -> ((u16, u16), Vec<Vec<u8>>) {
    let (_folder, path) = folder();
    let mut writer = Mp4Writer::new(width, height, fps, &[]).unwrap();
    assert_eq!(Some(writer.size()), written_size(width, height));
    let frame = ramp(width, height);
    (0..2).for_each(|_| writer.push_frame(&frame).unwrap());
    save(&writer.finish().unwrap(), &path);
    let read = Read::file(&path);
    ((read.video().width, read.video().height), read.frames())
}

#[test]
fn every_preset_has_a_writer() {
    for (name, _) in &PRESETS {
        let target = Target::preset(name).unwrap();
        target.check_writable().unwrap();
        let size = &target.size;
        let writer = Mp4Writer::new(size.width, size.height, size.fps, &[]).unwrap();
        assert!(writer.likely_bytes(size.frames) > 0, "{name}");
    }
}

#[test]
fn the_largest_frames_lose_their_edges() {
    let (size, frames) = written(3840, 2176, 24.0);
    assert_eq!((size, frames.len()), ((3840, 2160), 2));
    let whole = ramp(3840, 2176);
    for (row, want) in [(0, 8), (1079, 1087), (2159, 2167)] {
        let (have, want) = (frames[1][row * 3840 + 1000], whole[want * 3840]);
        assert!(have.abs_diff(want) <= 2, "row {row}: {have}, wanted {want}");
    }
}

#[test]
fn extreme_sizes_and_rates_are_written() {
    let (slow, fast) = (*FRAME_RATES.start(), *FRAME_RATES.end());
    for (width, height, fps) in
        [(32, 32, slow), (32, 32, fast), (3840, 32, 24.0), (32, 3840, fast), (2176, 64, slow)]
    {
        let (size, frames) = written(width, height, fps);
        assert_eq!((size, frames.len()), ((width as u16, height as u16), 2), "{width}x{height} at {fps}");
    }
    let (size, _) = written(2176, 3840, fast);
    assert_eq!(size, (2160, 3840));
}
