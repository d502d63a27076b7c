//! What cannot be encoded is refused in words.

use zoetrope::media::{MediaError, Mp4Writer};

use super::{Clip, folder, smooth, tones};

#[test]
fn bad_clips_are_refused() {
    let (_folder, path) = folder();
    let rgb = smooth(32, 32, 2);
    let good = Clip { width: 32, height: 32, fps: 24.0, rgb: &rgb, waveform: &[] };
    let refused = |clip: &Clip| {
        let error = clip.try_write(&path, &[]).unwrap_err();
        assert!(!path.exists(), "{error}");
        error
    };
    for (width, height) in [(31, 32), (32, 33), (2, 2), (0, 0), (8192, 32), (usize::MAX - 1, usize::MAX - 1)]
    {
        assert!(
            matches!(refused(&Clip { width, height, ..good }), MediaError::Size { .. }),
            "{width}x{height}"
        );
    }
    assert!(matches!(refused(&Clip { rgb: &[], ..good }), MediaError::NoFrames));
    assert!(matches!(refused(&Clip { fps: 0.0, ..good }), MediaError::FrameRate(_)));
    assert!(matches!(
        refused(&Clip { waveform: &[0.0; 3], ..good }),
        MediaError::Channels { left: 1, right: 2 }
    ));
    let error = good.try_write(&path, &[(String::new(), "x".into())]).unwrap_err();
    assert!(matches!(error, MediaError::EmptyKey(_)));
}

#[test]
fn bad_pieces_are_refused() {
    let mut writer = Mp4Writer::new(32, 32, 24.0, &[]).unwrap();
    let error = writer.push_frame(&[0; 32 * 34 / 2 * 3]).unwrap_err();
    assert!(matches!(error, MediaError::FrameLength { frame: 0, got: 1632, wanted: 1536 }), "{error}");
    let error = writer.push_audio(&tones(10), &[]).unwrap_err();
    assert!(matches!(error, MediaError::Channels { left: 20, right: 0 }), "{error}");
}
